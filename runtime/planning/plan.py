"""What a run will do, known before the first evaluation."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import ImageError
from ..files.location import is_remote
from ..files.reading import sha256_file, stamp_of
from ..output.folder import Output, damage
from ..output.journal import Entry, Journal
from ..pictures.encoding import rehearse
from ..pictures.photo import probe_photo
from ..recipe.fingerprint import Recipe, Subject
from ..recipe.settings import MAX_MEGAPIXELS, Settings
from ..recipe.size import Size
from .budget import Budget
from .masks import MaskFiles
from .placement import Item


class TaskState(Enum):
    """What a plan says of a photo; the value is the word for the user."""

    TODO = "to do"
    UP_TO_DATE = "up to date"
    KEPT = "kept"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Task:
    """A photo, and what is to be done about it.

    Attributes:
        item: the photo and its output.
        state: what is to be done.
        reason: why.
        size: of the photo as it is stored, for what is to do.
        limit: largest level, in pixels, where memory does not suffice for what was asked.
        tiled: whether it is evaluated in tiles; None where that is not known.
    """

    item: Item
    state: TaskState
    reason: str
    size: Size = Size(0, 0)  # noqa: RUF009 - a named tuple
    limit: int | None = None
    tiled: bool | None = None

    def pixels(self, settings: Settings) -> int:
        """Of the last level that is asked for, for a photo that is to do."""
        return self.size.fit(settings.levels(self.size.long_side)[-1]).pixels

    def shapes(self, settings: Settings) -> list[Size]:
        """Sizes of the levels of a photo that is to do."""
        limited = settings if self.limit is None else settings.at_most(self.limit)
        return [self.size.fit(level) for level in limited.levels(self.size.long_side)]


@dataclass(frozen=True)
class Plan:
    """The tasks of a run, in order."""

    tasks: tuple[Task, ...]

    def count(self, state: TaskState) -> int:
        """Number of tasks in a state."""
        return sum(task.state is state for task in self.tasks)

    def shapes(self, settings: Settings) -> Counter[Size]:
        """Sizes of every level of what is to do, and how many pictures have them."""
        todo = (task for task in self.tasks if task.state is TaskState.TODO)
        return Counter(shape for task in todo for shape in task.shapes(settings))

    def by_shape(self) -> "Plan":
        """The same tasks, with those of one shape in a row: for providers to which another shape is dear."""
        alike: dict[object, list[Task]] = {}
        for task in self.tasks:
            alike.setdefault((task.size, task.limit), []).append(task)
        return Plan(tuple(task for tasks in alike.values() for task in tasks))

    def with_following(self) -> Iterator[tuple[Task, Task | None]]:
        """The tasks in order, each with the next that is to do."""
        following: list[Task | None] = []
        ahead: Task | None = None
        for task in reversed(self.tasks):
            following.append(ahead)
            ahead = task if task.state is TaskState.TODO else ahead
        return zip(self.tasks, reversed(following), strict=True)

    def __str__(self) -> str:
        shown = [state for state in TaskState if state is not TaskState.KEPT or self.count(state)]
        return ", ".join(f"{self.count(state)} {state.value}" for state in shown)


@dataclass(frozen=True)
class Policy:
    """What is done again, and what is refused; nothing that changes pixels, but for ``shrink_to_fit``.

    Attributes:
        force: paint what is up to date, too.
        keep_existing: never replace a file that the journal does not know.
        keep_times: paintings have the modification times of their photos.
        shrink_to_fit: paint smaller what does not fit into memory, instead of refusing it.
        max_megapixels: photos with more are refused.
    """

    force: bool = False
    keep_existing: bool = False
    keep_times: bool = False
    shrink_to_fit: bool = False
    max_megapixels: float = MAX_MEGAPIXELS


def make_plan(
    items: Sequence[Item],
    journals: Mapping[Path, Journal],
    recipe: Recipe,
    policy: Policy | None = None,
    budget: Budget | None = None,
    masks: MaskFiles | None = None,
) -> Plan:
    """Compare photos, outputs and journals.

    A photo is read to its end only where the journal knows its output and the file's stamp has changed.

    Args:
        items: from `make_items`.
        journals: of the output folders, by `Item.root`.
        recipe: what is to be painted.
        policy: what is done again.
        budget: memory; None for no limit.
        masks: of the photos.
    """
    assess = _Assessor(journals, recipe, policy or Policy(), budget, masks or MaskFiles())

    def task(item: Item) -> Task:
        try:
            return assess(item)
        except (ImageError, OSError) as error:
            return Task(item, TaskState.REFUSED, reason(error, item))

    if not any(is_remote(item.source) for item in items):
        return Plan(tuple(task(item) for item in items))
    # Each is asked for over the network, which takes long and no work.
    with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="plan") as pool:
        return Plan(tuple(pool.map(task, items)))


_REQUESTS = 32
"""Photos behind URLs that are looked at at a time."""


def is_known(item: Item, journal: Journal) -> bool:
    """Whether the output, if there is one, is a painting that the journal knows."""
    entry, output = journal.painted.get(item.key), journal.output
    if output.look(item.key) is None or (entry is not None and _damage(output, entry) is None):
        return True
    return output.sha256(item.key) in journal.known.get(item.key, set())


def reason(error: Exception, item: Item) -> str:
    """An error in one line, without the photo's name, which its row has already."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()).removeprefix(f"{item.source}: ") or type(error).__name__


class _Assessor:
    def __init__(
        self, journals: Mapping[Path, Journal], recipe: Recipe, policy: Policy, budget: Budget | None, masks: MaskFiles
    ) -> None:
        self._journals = journals
        self._recipe = recipe
        self._policy = policy
        self._budget = budget
        self._masks = masks

    def __call__(self, item: Item) -> Task:
        if item.error is not None:
            return Task(item, TaskState.REFUSED, item.error)
        journal, policy = self._journals[item.root], self._policy
        entry = journal.painted.get(item.key)
        if policy.keep_existing and not is_known(item, journal):
            return Task(item, TaskState.KEPT, "the output exists, and the journal does not know it")
        guidance = self._masks.digest(item)
        if policy.force:
            return self._to_do(item, "forced")
        if entry is None:
            replaces = journal.output.look(item.key) is not None
            return self._to_do(item, "replaces a file that the journal does not know" if replaces else "new")
        changed = _damage(journal.output, entry)
        if changed:
            return self._to_do(item, changed)
        photo, long_side = self._photo(item, entry)
        asked = self._recipe.fingerprint(Subject(photo, long_side, item.format, guidance, item.style))
        if asked == entry.fingerprint or (policy.shrink_to_fit and asked == entry.asked):
            return Task(item, TaskState.UP_TO_DATE, "painted already")
        return self._to_do(item, "the photo has changed" if photo != entry.photo_sha256 else "the options have changed")

    def _photo(self, item: Item, entry: Entry) -> tuple[str, int]:
        """Sha256 and long side of the photo; from the journal, if the file is as it was."""
        if entry.photo_stamp == stamp_of(item.source):
            return entry.photo_sha256, entry.long_side
        header = probe_photo(item.source, self._policy.max_megapixels)
        return sha256_file(item.source), header.size.long_side

    def _to_do(self, item: Item, why: str) -> Task:
        if len(os.fsencode(item.target.name)) > _NAME_MAX:
            return Task(item, TaskState.REFUSED, f"the output's name would be longer than {_NAME_MAX} bytes")
        output = self._journals[item.root].output
        there = output.look(item.key)
        if there is not None and there.folder:
            return Task(item, TaskState.REFUSED, f"there is a folder where the output would go: {output.place(item.key)}")
        header = probe_photo(item.source, self._policy.max_megapixels)
        if (unwritable := rehearse(header, item.target.suffix)) is not None:
            return Task(item, TaskState.REFUSED, unwritable)
        if self._budget is None:
            return Task(item, TaskState.TODO, why, header.size)
        if self._budget.fits(header.size):
            why += _in_tiles(self._budget, header.size)
            return Task(item, TaskState.TODO, why, header.size, tiled=self._budget.tiles(header.size))
        limit = self._budget.largest(header.size)
        needed = self._budget.tiled_need if self._budget.tiles(header.size) else self._budget.need
        need, free = (f"{value / 2**30:.1f} GiB" for value in (needed(header.size), self._budget.free))
        if (
            limit is not None
            and self._budget.tile is None
            and not self._budget.binds(header.size)
            and not self._policy.shrink_to_fit
        ):
            most = f"{(self._budget.largest_buffer or 0) / 2**20:.0f} MiB"
            return Task(
                item, TaskState.REFUSED, f"needs arrays larger than the {most} that the GPU binds; --size {limit} would fit"
            )
        if not self._budget.style_fits:
            return Task(
                item, TaskState.REFUSED, f"needs {need} of memory for the style, {free} are free; try a smaller --style-size"
            )
        if limit is None:
            return Task(item, TaskState.REFUSED, f"needs {need} of memory, {free} are free; no --size would fit")
        if not self._policy.shrink_to_fit:
            return Task(item, TaskState.REFUSED, f"needs {need} of memory, {free} are free; --size {limit} would fit")
        tiled = self._budget.tiles(header.size, limit)
        more = f"{limit} px, since memory does not suffice for more{_in_tiles(self._budget, header.size, limit)}"
        return Task(item, TaskState.TODO, f"{why}; {more}", header.size, limit, tiled)


def _in_tiles(budget: Budget, size: Size, limit: int | None = None) -> str:
    """What a plan says of a photo in tiles; nothing of another."""
    if not budget.tiles(size, limit):
        return ""
    return "; in tiles, vectors in a file" if budget.keeps_in_file(size, limit) else "; in tiles"


_NAME_MAX = 255
"""Longest name of a file, in bytes, on the file systems of Linux."""


def _damage(output: Output, entry: Entry) -> str | None:
    return damage(output, entry.target, entry.output_size, entry.output_mtime_ns, entry.output_sha256)
