"""A part of the photos, for a run of its own: several such runs share an output folder."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError

SUFFIXES = r"(-\d+-of-\d+)?"
"""Pattern of each `Shard.suffix`."""


@dataclass(frozen=True)
class Shard:
    """The photos of one run of several.

    Which these are depends on their outputs' names alone: not on what else is there, nor on what is done.

    Attributes:
        index: of this one, 1 to ``count``.
        count: of all.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From ``3/8``.

        Raises:
            UsageError: it is not like that.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"shard '{text}' is not like 3/8, the third of eight")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_slurm(cls, environment: Mapping[str, str]) -> "Shard":
        """That of a task of a SLURM job array, by its variables; all photos outside of one."""
        try:
            task, count = (int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "COUNT"))
            first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
            step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
            index = (task - first) // step + 1
        except (KeyError, ValueError, ZeroDivisionError):
            return cls()
        if not 1 <= index <= count:
            raise UsageError(
                f"SLURM's array task {task} is none of {count} from {first} by steps of {step}: number them evenly "
                f"(--array=0-{count - 1}), or name the part with --shard"
            )
        return cls(index, count)

    @property
    def whole(self) -> bool:
        """Whether it is all photos."""
        return self.count == 1

    @property
    def suffix(self) -> str:
        """What the names of its files have before their extension."""
        return "" if self.whole else f"-{self.index}-of-{self.count}"

    def holds(self, key: str) -> bool:
        """Whether a photo is in it, by `Item.key`."""
        digest = hashlib.sha256(os.fsencode(key)).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
