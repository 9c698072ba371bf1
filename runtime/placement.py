"""Where paintings go: names, folders, and what cannot be meant."""

import hashlib
import os
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .discovery import Inputs, real
from .errors import UsageError
from .images import FORMATS
from .settings import NAME

NAME_FIELDS = ("stem", "style", "ext")


@dataclass(frozen=True)
class Item:
    """A photo and where its painting goes.

    Attributes:
        source: the photo.
        target: the painting.
        root: the output folder, which the journal is in.
        error: why it cannot be painted, if that was found already.
        style: number of its style, see `Stylizer.styles`.
        style_name: its stem.
    """

    source: Path
    target: Path
    root: Path
    error: str | None = None
    style: int = 0
    style_name: str = ""

    @property
    def key(self) -> str:
        """The target relative to the output folder, as the journal names it."""
        return self.target.relative_to(self.root).as_posix()

    @property
    def temporary(self) -> Path:
        """Where the painting is written before it gets its name: the same for every run."""
        return temporary(self.root, self.key)


def temporary(root: Path, key: str) -> Path:
    """Temporary file of the target ``key``: in its folder, so that it can be renamed, and short, whatever its name."""
    target = root / key
    return target.with_name(f".nstbatch-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]}.tmp")


def make_items(
    inputs: Inputs, styles: Sequence[Path], output: Path | None = None, name: str = NAME, each: bool = False
) -> list[Item]:
    """Photos and where their paintings go.

    Args:
        inputs: from `discover`.
        styles: the style pictures; their stems name the default output folder ``<folder>-<stem>``, beside each folder.
        output: one folder for everything.
        name: template of the output's name, with the fields of `NAME_FIELDS`; ``ext`` has its dot.
        each: whether photos are painted in each style by itself, ``output`` having a folder for each; not in one of all.

    Raises:
        UsageError: the template cannot be meant, an output would lie inside an input folder or replace a photo or the
            style, two photos would have the same output, or an output folder cannot be written to.
    """
    check_name(name)
    items: list[Item] = []
    if each:
        for number, path in enumerate(styles):
            items += _in_style(inputs, number, path.stem, output and output / path.stem, name)
    else:
        items += _in_style(inputs, 0, "+".join(path.stem for path in styles), output, name)
    _refuse_clashes(items, inputs.folders, styles)
    _refuse_unwritable(list(dict.fromkeys(item.target.parent for item in items)))
    return items


def _in_style(inputs: Inputs, number: int, style: str, output: Path | None, name: str) -> Iterator[Item]:
    siblings: dict[Path, Path] = {}
    for photo in inputs.photos:
        if output is None:
            if photo.base not in siblings:
                siblings[photo.base] = _sibling(photo.base, style)
            root, below = siblings[photo.base], photo.below
        else:
            root, below = output, photo.below if photo.under_output is None else photo.under_output
        source = photo.source
        painted = name.format(stem=source.stem, style=style, ext=source.suffix)
        yield Item(source, root / below / painted, root, photo.error, number, style)


def check_name(template: str) -> None:
    """Refuse a template of names that cannot be meant.

    Raises:
        UsageError: a field is not known, or the name would be a path, hidden, or without an extension that can be written.
    """
    choice = f"use {', '.join('{' + field + '}' for field in NAME_FIELDS)}, such as '{{stem}}.{{style}}{{ext}}'"
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
        example = template.format(stem="photo", style="style", ext=".jpg")
    except (ValueError, KeyError, IndexError, AttributeError):
        raise UsageError(f"--name '{template}': not understood; {choice}") from None
    if not set(fields) <= set(NAME_FIELDS):
        raise UsageError(f"--name '{template}': not understood; {choice}")
    if "/" in example or "\0" in example or example.startswith("."):
        raise UsageError(f"--name '{template}': must be the name of a file, not hidden, and not a path")
    if Path(example).suffix.lower() not in FORMATS:
        raise UsageError(f"--name '{template}': must end with {{ext}}, or with one of {', '.join(FORMATS)}")


def _sibling(folder: Path, style: str) -> Path:
    absolute = real(folder)
    return absolute.parent / f"{absolute.name}-{style}"


def _refuse_clashes(items: Sequence[Item], folders: Sequence[Path], styles: Sequence[Path]) -> None:
    problems = list(_clashes(items, folders, styles))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(problems[0] + more)


def _clashes(items: Sequence[Item], folders: Sequence[Path], styles: Sequence[Path]) -> Iterator[str]:
    originals = {real(item.source) for item in items if item.error is None} | {real(style) for style in styles}
    inside = set(folders)
    taken: dict[Path, Item] = {}
    for item in items:
        if item.error is not None:
            continue
        target = real(item.target.parent) / item.target.name
        twin = taken.setdefault(target, item)
        if twin is not item:
            yield (
                f"{twin.source} and {item.source} would both be written to {item.target}; "
                f"tell them apart with --name, or paint them in separate runs"
            )
        elif target in originals or real(item.target) in originals:
            yield f"{item.target}: the output would replace an input; name another folder with -o"
        else:
            folder = next((parent for parent in target.parents if parent in inside), None)
            if folder is not None:
                yield f"{item.target.parent}: the output folder lies inside the input {folder}; name another with -o"


def _refuse_unwritable(folders: Sequence[Path]) -> None:
    for folder in folders:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise UsageError(f"{folder}: cannot be an output folder, {existing} is a file; name another with -o")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: cannot be written to, no permission on {existing}; name another with -o")
