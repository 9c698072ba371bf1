"""Where paintings go: names and folders, and which of these are refused."""

import os
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

from ..errors import UsageError
from ..files.location import Location, absolute, exists, is_folder, is_remote, real
from ..output.names import Key
from ..output.shard import Shard
from ..pictures.formats import WRITTEN, written_extension
from ..recipe.settings import NAME
from .discovery import Discovered, FoundPhoto

NAME_FIELDS = ("stem", "style", "ext")


@dataclass(frozen=True, slots=True)
class Item:
    """A photo and where its painting goes.

    Attributes:
        source: the photo.
        target: the painting.
        root: folder of this host that the journal is in: the output folder, or the mirror of one behind a URL.
        error: why it cannot be painted, if that was found already.
        style: number of its style, see `Stylizer.styles`.
        style_name: its stem.
        folder: the folder that the target is below, where that is not ``root``.
    """

    source: Location
    target: Location
    root: Path
    error: str | None = None
    style: int = 0
    style_name: str = ""
    folder: Location | None = None

    @property
    def key(self) -> Key:
        """The target relative to the output folder, as the journal names it."""
        if self.folder is not None:
            return Key(str(self.target).removeprefix(f"{self.folder}/"))
        assert isinstance(self.target, Path), "it is of this host"
        return Key(self.target.relative_to(self.root).as_posix())

    @property
    def format(self) -> str:
        """Pillow's name of the format that the target's extension asks for."""
        return WRITTEN[self.target.suffix.lower()]


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where paintings go.

    Attributes:
        output: one folder for everything; None for ``<folder>-<style's stem>`` beside each folder.
        name: template of the outputs' names, with the fields of `NAME_FIELDS`; ``ext`` has its dot.
        format: of the outputs, one of `settings.OUTPUT_FORMATS`; None for the photo's, or JPEG where that is not written.
        shard: the part of the photos that is painted; None for that of a SLURM array's task, or all.
        wait: whether to wait for another run that holds the output folder, instead of failing.
    """

    output: Location | None = None
    name: str = NAME
    format: str | None = None
    shard: Shard | None = None
    wait: bool = False

    def extension(self, of_photo: str) -> str:
        """The extension of a painting of a photo with an extension."""
        return written_extension(of_photo) if self.format is None else f".{self.format}"


def make_items(
    inputs: Discovered,
    styles: Sequence[Location],
    destination: Destination = Destination(),
    style_each: bool = False,
    mirror: Callable[[Location], Path] = lambda output: Path(str(output)),
) -> list[Item]:
    """Photos and where their paintings go.

    Args:
        inputs: from `discover`.
        styles: the style pictures; their stems name the default output folder ``<folder>-<stem>``, beside each folder.
        destination: where to.
        style_each: whether photos are painted in each style by itself, the output having a folder for each.
        mirror: gives the folder of this host that belongs to an output folder: itself, but for one behind a URL.

    Raises:
        UsageError: the template names no file, an output would lie inside an input folder or replace a photo or the
            style, two photos would have the same output, or an output folder cannot be written to.
    """
    output = destination.output
    check_name(destination.name)
    places: dict[Path, Location] = {}

    def mirrored(output: Location) -> Path:
        root = mirror(output)
        places[root] = output
        return root

    items: list[Item] = []
    if style_each:
        for number, path in enumerate(styles):
            each = replace(destination, output=output and output / path.stem)
            items += _in_style(inputs, number, path.stem, each, mirrored)
    else:
        items += _in_style(inputs, 0, "+".join(path.stem for path in styles), destination, mirrored)
    _refuse_clashes(items, places, inputs.folders, styles)
    refuse_unwritable(list(dict.fromkeys((item.root / item.key).parent for item in items if item.error is None)))
    return items


def names_picture(output: Location | None) -> TypeGuard[Path]:
    """Whether an output is not a folder but a single painting's file, by its extension."""
    return isinstance(output, Path) and output.suffix.lower() in WRITTEN and not is_folder(output)


def make_item(inputs: Discovered, styles: Sequence[Location], output: Path, journal: Callable[[Path], Path]) -> Item:
    """The one photo that there is, to be painted into a file.

    Args:
        inputs: from `discover`.
        styles: the style pictures.
        output: see `names_picture`.
        journal: gives the folder that the journal of a single painting is in.

    Raises:
        UsageError: there are several photos, or the file is one of the inputs, or cannot be written.
    """
    if len(inputs.photos) != 1 or inputs.folders:
        raise UsageError(f"-o {output}: is the name of a picture, which takes one photo; for several name a folder")
    (photo,) = inputs.photos
    if real(output) in {real(path) for path in (photo.source, *styles)}:
        raise UsageError(f"{output}: the output would replace an input; name another with -o")
    refuse_unwritable([absolute(output).parent])
    style = "+".join(path.stem for path in styles)
    return Item(photo.source, absolute(output), journal(output), photo.error, 0, style, absolute(output).parent)


def _in_style(
    inputs: Discovered, number: int, style: str, destination: Destination, mirror: Callable[[Location], Path]
) -> Iterator[Item]:
    siblings: dict[Location, Location] = {}

    def target(photo: FoundPhoto, extension: str) -> tuple[Location, str]:
        """The output folder, and the painting's name below it."""
        place, below = destination.output, photo.below if photo.under_output is None else photo.under_output
        if place is None:
            if photo.base not in siblings:
                siblings[photo.base] = _sibling(photo.base, style)
            place, below = siblings[photo.base], photo.below
        name = destination.name.format(stem=photo.source.stem, style=style, ext=extension)
        return place, (below / name).as_posix()

    plain = [target(photo, destination.extension(photo.source.suffix)) for photo in inputs.photos]
    taken = Counter(plain)
    for photo, (place, name) in zip(inputs.photos, plain, strict=True):
        suffix, problem = photo.source.suffix, photo.error
        extension = destination.extension(suffix)
        if extension != suffix and taken[place, name] > 1:
            # A phone's a.heic beside its a.jpg.
            _, name = target(photo, suffix + extension)
        try:
            key = Key(name)
        except ValueError as error:
            # It is a row all the same, which needs a name.
            key, problem = Key(_NAMELESS), problem or str(error)
        root = mirror(place)
        if is_remote(place):
            yield Item(photo.source, place / key, root, problem, number, style, place)
        else:
            yield Item(photo.source, root / key, root, problem, number, style)


_NAMELESS = "unnamed.jpg"


def check_name(template: str) -> None:
    """Refuse a template of names that are refused.

    Raises:
        UsageError: a field is not known or has a format, or the name would be a path, hidden, or without an extension that
            can be written.
    """
    choice = f"use {', '.join('{' + field + '}' for field in NAME_FIELDS)}, such as '{{stem}}.{{style}}{{ext}}'"
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        raise UsageError(f"--name '{template}': not understood; {choice}") from None
    if not {field for _, field, _, _ in parts} <= set(NAME_FIELDS):
        raise UsageError(f"--name '{template}': not understood; {choice}")
    if any(specification or conversion for _, _, specification, conversion in parts):
        raise UsageError(f"--name '{template}': fields take no format, such as the one after ':' or '!'; {choice}")
    example = template.format(stem="photo", style="style", ext=".jpg")
    if "/" in example or "\0" in example or example.startswith("."):
        raise UsageError(f"--name '{template}': must be the name of a file, not hidden, and not a path")
    if Path(example).suffix.lower() not in WRITTEN:
        raise UsageError(f"--name '{template}': must end with {{ext}}, or with one of {', '.join(WRITTEN)}")


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
        local = item.root / item.key
        target = real(local.parent) / local.name
        twin = taken.setdefault(target, item)
        if twin is not item:
            yield (
                f"{twin.source} and {item.source} would both be written to {item.target}; "
                f"tell them apart with --name, or paint them in separate runs"
            )
        elif target in originals or real(local) in originals:
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
        if str(item.target) in originals:
            yield f"{item.target}: the output would replace an input; name another with -o"


def refuse_unwritable(folders: Sequence[Path], access: Callable[[Path, int], bool] = os.access) -> None:
    """Refuse output folders that nothing can be written to.

    Args:
        folders: they need not be there yet.
        access: whether this process may use a path in a way, as `os.access` tells.

    Raises:
        UsageError: one is a file, or there is no permission, or its file system is read-only.
    """
    for folder in folders:
        existing = next(path for path in (folder, *absolute(folder).parents) if exists(path))
        if not is_folder(existing):
            raise UsageError(f"{folder}: cannot be an output folder, {existing} is a file; name another with -o")
        if hasattr(os, "statvfs") and os.statvfs(existing).f_flag & os.ST_RDONLY:
            raise UsageError(
                f"{folder}: cannot be written to, the file system of {existing} is read-only; name another with -o"
            )
        if not access(existing, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: cannot be written to, no permission on {existing}; name another with -o")
