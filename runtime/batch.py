"""A folder of photos: discover, plan, run, report. A failure is a row of the report, not the end of the run."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from .errors import ExitCode, NstbatchError, UsageError
from .images import FORMATS, write_picture
from .stylizer import Progress, Result, Stylizer


@dataclass(frozen=True)
class Item:
    """A photo and where its painting goes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """What a run will do, known before the first evaluation."""

    items: tuple[Item, ...]

    @property
    def folders(self) -> list[Path]:
        """The output folders, each once."""
        return list(dict.fromkeys(item.target.parent for item in self.items))


class Outcome(Enum):
    """What became of a photo."""

    PAINTED = "painted"
    FAILED = "failed"


@dataclass(frozen=True)
class Row:
    """One photo's line of the report.

    Attributes:
        item: the photo and its output.
        outcome: what became of it.
        reason: the optimiser's status, or why it failed, in a sentence.
        loss: lowest loss of the last level, None if it failed.
        seconds: wall time.
    """

    item: Item
    outcome: Outcome
    reason: str
    loss: float | None
    seconds: float


@dataclass
class Report:
    """The outcome of a run; owns the exit code and the summary."""

    rows: list[Row] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """Number of rows of an outcome."""
        return sum(row.outcome is outcome for row in self.rows)

    @property
    def exit_code(self) -> ExitCode:
        """`SOME_FAILED` if any photo failed."""
        return ExitCode.SOME_FAILED if self.count(Outcome.FAILED) else ExitCode.OK

    def __str__(self) -> str:
        painted, failed = self.count(Outcome.PAINTED), self.count(Outcome.FAILED)
        seconds = sum(row.seconds for row in self.rows)
        text = f"{painted} painted, {failed} failed in {seconds:.0f} s"
        return text + f" ({seconds / painted:.1f} s a picture)" if painted else text


def make_plan(inputs: Sequence[Path], style: Path, output: Path | None = None) -> Plan:
    """Photos of the inputs and where their paintings go.

    Args:
        inputs: photos, and folders whose photos (by the extensions of `FORMATS`) are taken; hidden files and the style
            itself are left out.
        style: the style picture; its stem names the default output folder ``<folder>-<stem>``, beside each folder.
        output: one folder for everything.

    Raises:
        UsageError: an input does not exist, an output would lie inside an input folder or replace a photo or the style,
            two photos would have the same output, or an output folder cannot be written to.
    """
    # By absolute path, so that a photo named in two ways is painted once.
    sources: dict[str, tuple[Path, Path]] = {}
    folders: list[Path] = []
    original = _real(style)
    for path in inputs:
        if path.is_dir():
            folders.append(_real(path))
            photos = (p for p in path.iterdir() if p.suffix.lower() in FORMATS and not p.name.startswith("."))
            found = [(photo, path) for photo in sorted(photos) if not photo.is_dir() and _real(photo) != original]
        elif not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        elif path.suffix.lower() not in FORMATS:
            raise UsageError(f"{path}: the output could not be written; photos are {', '.join(FORMATS)}")
        else:
            found = [(path, path.parent)]
        for photo, folder in found:
            sources.setdefault(os.path.abspath(photo), (photo, folder))  # noqa: PTH100 - links stay what they are
    items = tuple(Item(photo, (output or _sibling(folder, style)) / photo.name) for photo, folder in sources.values())
    plan = Plan(items)
    _refuse_clashes(items, folders, style)
    _refuse_unwritable(plan.folders)
    return plan


def run(
    plan: Plan,
    stylizer: Stylizer,
    progress: Callable[[Item, Progress], None] = lambda *_: None,
) -> Iterator[Row]:
    """Paint the photos of a plan, one row as each ends.

    Args:
        plan: what to do.
        stylizer: paints.
        progress: is told after each evaluation.
    """
    for item in plan.items:
        began = time.perf_counter()
        try:
            result = _paint(item, stylizer, progress)
        except Exception as error:  # whatever a photo sets off, it must not cost the next one
            yield Row(item, Outcome.FAILED, _reason(error, item), None, time.perf_counter() - began)
        else:
            yield Row(item, Outcome.PAINTED, result.status, result.loss, time.perf_counter() - began)


def _paint(item: Item, stylizer: Stylizer, progress: Callable[[Item, Progress], None]) -> Result:
    result = stylizer(item.source, lambda step: progress(item, step))
    item.target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(item.target, result.picture)
    return result


def _sibling(folder: Path, style: Path) -> Path:
    absolute = _real(folder)
    return absolute.parent / f"{absolute.name}-{style.stem}"


def _real(path: Path) -> Path:
    """Links followed. Not `Path.resolve`, which raises on a loop of links."""
    return Path(os.path.realpath(path))


def _refuse_clashes(items: Sequence[Item], folders: Sequence[Path], style: Path) -> None:
    originals = {_real(item.source) for item in items} | {_real(style)}
    taken: dict[Path, Item] = {}
    for item in items:
        target = _real(item.target)
        twin = taken.setdefault(target, item)
        if twin is not item:
            raise UsageError(
                f"{twin.source} and {item.source} would both be written to {item.target}; paint them in separate runs"
            )
        if target in originals:
            raise UsageError(f"{item.target}: the output would replace an input; name another folder with -o")
        inside = [folder for folder in folders if folder in target.parents]
        if inside:
            raise UsageError(
                f"{item.target.parent}: the output folder lies inside the input {inside[0]}; name another with -o"
            )


def _refuse_unwritable(folders: Sequence[Path]) -> None:
    for folder in folders:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise UsageError(f"{folder}: cannot be an output folder, {existing} is a file; name another with -o")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: cannot be written to, no permission on {existing}; name another with -o")


def _reason(error: Exception, item: Item) -> str:
    """One line without the photo's name, which the row has already."""
    text = " ".join(str(error).split())
    if not isinstance(error, NstbatchError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text.removeprefix(f"{item.source}: ")
