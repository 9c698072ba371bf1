"""Where paintings go: names, folders, and what cannot be meant."""

import hashlib
import os
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..files.location import Location, is_remote, real, to_location
from ..pictures.photo import FORMATS
from ..recipe.settings import NAME
from .discovery import Inputs

NAME_FIELDS = ("stem", "style", "ext")


@dataclass(frozen=True, slots=True)
class Item:
    """A photo and where its painting goes.

    Attributes:
        source: the photo.
        target: the painting.
        root: the output folder, which the journal is in; of an output behind a URL, its mirror.
        error: why it cannot be painted, if that was found already.
        style: number of its style, see `Stylizer.styles`.
        style_name: its stem.
        url: of the painting, where the output is behind one.
    """

    source: Location
    target: Path
    root: Path
    error: str | None = None
    style: int = 0
    style_name: str = ""
    url: str = ""

    @property
    def place(self) -> Location:
        """Where the painting is to be found."""
        return to_location(self.url) if self.url else self.target

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
    inputs: Inputs,
    styles: Sequence[Location],
    output: Location | None = None,
    name: str = NAME,
    each: bool = False,
    mirror: Callable[[Location], Path] = lambda output: Path(str(output)),
) -> list[Item]:
    """Photos and where their paintings go.

    Args:
        inputs: from `discover`.
        styles: the style pictures; their stems name the default output folder ``<folder>-<stem>``, beside each folder.
        output: one folder for everything.
        name: template of the output's name, with the fields of `NAME_FIELDS`; ``ext`` has its dot.
        each: whether photos are painted in each style by itself, ``output`` having a folder for each; not in one of all.
        mirror: gives the folder of this host that belongs to an output folder: itself, but for one behind a URL.

    Raises:
        UsageError: the template cannot be meant, an output would lie inside an input folder or replace a photo or the
            style, two photos would have the same output, or an output folder cannot be written to.
    """
    check_name(name)
    places: dict[Path, Location] = {}

    def mirrored(output: Location) -> Path:
        root = mirror(output)
        places[root] = output
        return root

    items: list[Item] = []
    if each:
        for number, path in enumerate(styles):
            items += _in_style(inputs, number, path.stem, output and output / path.stem, name, mirrored)
    else:
        items += _in_style(inputs, 0, "+".join(path.stem for path in styles), output, name, mirrored)
    _refuse_clashes(items, places, inputs.folders, styles)
    _refuse_unwritable(list(dict.fromkeys(item.target.parent for item in items)))
    return items


def _in_style(
    inputs: Inputs, number: int, style: str, output: Location | None, name: str, mirror: Callable[[Location], Path]
) -> Iterator[Item]:
    siblings: dict[Location, Location] = {}
    for photo in inputs.photos:
        if output is None:
            if photo.base not in siblings:
                siblings[photo.base] = _sibling(photo.base, style)
            place, below = siblings[photo.base], photo.below
        else:
            place, below = output, photo.below if photo.under_output is None else photo.under_output
        source = photo.source
        painted = name.format(stem=source.stem, style=style, ext=source.suffix)
        root, target = mirror(place), below / painted
        url = f"{place}/{target.as_posix()}" if is_remote(place) else ""
        yield Item(source, root / target, root, photo.error, number, style, url)


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


def _sibling(folder: Location, style: str) -> Location:
    absolute = real(folder)
    if is_remote(absolute) and not absolute.parent.path.strip("/"):
        raise UsageError(f"{folder}: is a bucket, and has no folder beside it; name an output with -o")
    return absolute.parent / f"{absolute.name}-{style}"


def _refuse_clashes(
    items: Sequence[Item], places: Mapping[Path, Location], folders: Sequence[Location], styles: Sequence[Location]
) -> None:
    problems = [*_clashes(items, folders, styles), *_remote_clashes(items, places, folders, styles)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(problems[0] + more)


def _clashes(items: Sequence[Item], folders: Sequence[Location], styles: Sequence[Location]) -> Iterator[str]:
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


def _remote_clashes(
    items: Sequence[Item], places: Mapping[Path, Location], folders: Sequence[Location], styles: Sequence[Location]
) -> Iterator[str]:
    """As `_clashes`, of what lies behind URLs."""
    inside = [f"{folder}/" for folder in folders if is_remote(folder)]
    for output in places.values():
        folder = next((folder for folder in inside if is_remote(output) and f"{output}/".startswith(folder)), None)
        if folder is not None:
            yield f"{output}: the output lies inside the input {folder}; name another with -o"
    originals = {str(path) for path in (*(item.source for item in items), *styles) if is_remote(path)}
    for item in items if originals else ():
        target = f"{places[item.root]}/{item.key}"
        if target in originals:
            yield f"{target}: the output would replace an input; name another with -o"


def _refuse_unwritable(folders: Sequence[Path]) -> None:
    for folder in folders:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise UsageError(f"{folder}: cannot be an output folder, {existing} is a file; name another with -o")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: cannot be written to, no permission on {existing}; name another with -o")
