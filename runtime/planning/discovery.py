"""The photos that a user means: by file, folder, glob, or list."""

import glob
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ..errors import UsageError, first_line
from ..files import remote
from ..files.location import Location, absolute, exists, is_folder, is_remote, real
from ..output.names import STATE, is_reserved
from ..pictures.formats import format_of, is_read, why_not
from ..pictures.raw import RAW
from .left_out import SYSTEM, LeftOut

if TYPE_CHECKING:
    from upath import UPath


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo and its place in the tree that the output mirrors.

    Attributes:
        source: the photo.
        base: the folder whose tree is mirrored: the folder that was named, or the one that the file is in.
        below: folder of the photo below ``base``.
        under_output: folder below an output folder that was named, where it is not ``below``.
        error: why it cannot be painted; it becomes a row of the report.
    """

    source: Location
    base: Location
    below: PurePath
    under_output: PurePath | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoChoice:
    """The photos that are named.

    Attributes:
        photos: photos, folders and patterns.
        listed: photos and folders of a list; None for no list.
        recursive: whether folders are searched below the first level.
        exclude: patterns of what is left out, see `LeftOut`.
    """

    photos: Sequence[Location] = ()
    listed: Sequence[Location] | None = None
    recursive: bool = False
    exclude: Sequence[str] = ()


@dataclass(frozen=True)
class Discovered:
    """What was found.

    Attributes:
        photos: in order, each once.
        folders: the folders that were named, of photos and of masks, links followed; no output may lie inside.
        left_out: what is in them besides.
    """

    photos: tuple[FoundPhoto, ...]
    folders: tuple[Location, ...]
    left_out: LeftOut = field(default_factory=LeftOut)


def discover(
    inputs: Sequence[Location],
    listed: Sequence[Location] = (),
    *,
    styles: Sequence[Location],
    masks: Sequence[Path] = (),
    recursive: bool = False,
    exclude: Sequence[str] = (),
) -> Discovered:
    """Find photos.

    Of a folder its files with an extension that is read are taken, in order of their names; hidden ones, styles, masks, and
    (below it) folders of `SYSTEM`, and those that are outputs of nstbatch, or hold its thumbnails and snapshots, are left
    out, and RAW files of which a developed photo lies beside, as cameras save both. Links to files are followed, links to
    folders only where the user names them. A pattern (``photos/**/*.jpg``) counts as the folder before
    its first wildcard.

    Args:
        inputs: photos, folders and patterns. What is missing is an error.
        listed: photos and folders of a list; what is missing is a row of the report. A relative path's folder is mirrored
            in the output.
        styles: the style pictures.
        masks: masks, and folders of them.
        recursive: whether folders are searched below the first level.
        exclude: patterns of what is left out, whatever names it; see `LeftOut`.

    Raises:
        UsageError: an input does not exist, cannot be read, or is of a kind that cannot be written.
    """
    left_out = LeftOut(exclude)
    originals = {real(path) for path in (*styles, *masks)}
    folders: list[Location] = [real(path) for path in masks if is_folder(path)]
    found: list[FoundPhoto] = []
    for path in inputs:
        if is_remote(path):
            beneath, photo = _behind_url(path, recursive, left_out)
            folders += [path] if photo is None else []
            found += beneath if photo is None else [photo]
            continue
        assert isinstance(path, Path), "it is of this host"
        if is_folder(path):
            folders.append(real(path))
            found += _walk(path, recursive, left_out)
        elif os.path.lexists(path):
            if not is_read(path):
                raise UsageError(f"{path}: {why_not(path.suffix)}")
            found.append(FoundPhoto(path, path.parent, PurePath()))
        elif glob.has_magic(str(path)):
            base = _fixed_part(path)
            if not is_folder(base):
                raise UsageError(f"{path}: no such folder as {base}")
            folders.append(real(base))
            found += _matches(path, base, left_out)
        else:
            raise UsageError(f"{path}: no such file or folder")
    for path in listed:
        if is_remote(path):
            found.append(FoundPhoto(path, path.parent, PurePath(), error=None if _is_format(path) else why_not(path.suffix)))
            continue
        assert isinstance(path, Path), "it is of this host"
        if is_folder(path):
            folders.append(real(path))
            inside = _walk(path, recursive, left_out)
            found += [replace(photo, under_output=path / photo.below) for photo in inside] if _is_mirrored(path) else inside
        else:
            found.append(_listed(path))
    photos: dict[str, FoundPhoto] = {}
    for photo in found:
        if left_out.excludes(photo.below / photo.source.name):
            continue
        followed = real(photo.source)
        if photo.error is not None or originals.isdisjoint((followed, *followed.parents)):
            # By absolute path, so that a photo named in two ways is painted once.
            photos.setdefault(str(absolute(photo.source)), photo)
    return Discovered(tuple(_one_of_each(photos.values(), left_out)), tuple(dict.fromkeys(folders)), left_out)


def _one_of_each(photos: Collection[FoundPhoto], left_out: LeftOut) -> Iterator[FoundPhoto]:
    """The photos less RAW files of which another one, of the same name but for the extension, lies beside."""

    def name(photo: FoundPhoto) -> str:
        return str(photo.source.with_suffix("")).lower()

    developed = {name(photo) for photo in photos if not _is_raw(photo)} if any(map(_is_raw, photos)) else set()
    for photo in photos:
        if _is_raw(photo) and name(photo) in developed:
            left_out.skip_raw()
        else:
            yield photo


def _is_raw(photo: FoundPhoto) -> bool:
    return format_of(photo.source.suffix) == RAW


def find_styles(paths: Sequence[Location]) -> list[Location]:
    """Pictures, and those of folders, in order of their names; hidden ones are left out.

    Raises:
        UsageError: a folder cannot be read, or has no pictures.
    """
    found: list[Location] = []
    for path in paths:
        inside: list[Location] = [path]
        if is_remote(path):
            beneath, photo = _behind_url(path, False, LeftOut())
            inside = [path] if photo is not None else [each.source for each in beneath]
        elif isinstance(path, Path) and is_folder(path):
            inside = [photo.source for photo in _walk(path, False, LeftOut())]
        if not inside:
            raise UsageError(f"{path}: no pictures there to take a style from")
        found += inside
    return found


def _behind_url(path: "UPath", recursive: bool, left_out: LeftOut) -> tuple[list[FoundPhoto], FoundPhoto | None]:
    """The photos below a URL; or the photo that it is.

    Raises:
        UsageError: there is nothing, or nothing that can be listed or written.
    """
    try:
        beneath = _listed_photos(path, recursive, left_out)
        if beneath or remote.is_folder(path):
            return beneath, None
        if not remote.exists(path):
            raise UsageError(f"{path}: no such object, and none below it")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({first_line(error)})") from None
    if not _is_format(path):
        raise UsageError(f"{path}: {why_not(path.suffix)}")
    return [], FoundPhoto(path, path.parent, PurePath())


def _listed_photos(path: "UPath", recursive: bool, left_out: LeftOut) -> list[FoundPhoto]:
    names, outputs = [], set()
    try:
        for name, stamp in remote.listing(path, recursive=recursive):
            place = PurePath(name)
            if STATE in place.parts[:-1]:
                outputs.add(PurePath(*place.parts[: place.parts.index(STATE)]))
            elif stamp is not None and not any(_is_hidden(part) for part in place.parts):
                if _is_format(place):
                    names.append(place)
                else:
                    left_out.skip(place)
    except (FileNotFoundError, NotADirectoryError):
        return []
    outputs.discard(PurePath())
    kept = (place for place in names if outputs.isdisjoint(place.parents))
    return [FoundPhoto(path / place.as_posix(), path, place.parent) for place in sorted(kept)]


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or is_reserved(part) or part in SYSTEM


def _is_format(path: "PurePath | UPath") -> bool:
    return is_read(PurePath(path.name))


def _walk(top: Path, recursive: bool, left_out: LeftOut) -> Iterator[FoundPhoto]:
    # A stack and not recursion: a tree may be deeper than Python's.
    ahead = [PurePath()]
    while ahead:
        below = ahead.pop()
        folder = top / below
        try:
            if below.parts and (folder / STATE).exists():
                continue
            entries = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError as error:
            if not below.parts:
                raise UsageError(f"{folder}: cannot be read ({error.strerror})") from None
            yield FoundPhoto(folder, top, below.parent, error=f"folder cannot be read ({error.strerror})")
            continue
        deeper = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if _is_hidden(entry.name) or not recursive:
                    continue
                if not left_out.excludes(below / entry.name):
                    deeper.append(below / entry.name)
            elif not _is_folder(entry):
                if is_read(PurePath(entry.name)):
                    yield FoundPhoto(folder / entry.name, top, below)
                else:
                    left_out.skip(PurePath(entry.name))
        ahead += reversed(deeper)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links is the run's to report
        return False


def _matches(pattern: Path, base: Path, left_out: LeftOut) -> Iterator[FoundPhoto]:
    outputs: dict[PurePath, bool] = {}
    for path in sorted(base.glob(str(pattern.relative_to(base)))):
        below = path.relative_to(base)
        if path.is_dir() or any(_is_hidden(part) for part in below.parts):
            continue
        if not is_read(path):
            left_out.skip(below)
            continue
        folders = list(below.parents)[:-1]
        for folder in folders:
            if folder not in outputs:
                outputs[folder] = (base / folder / STATE).exists()
        if not any(outputs[folder] for folder in folders):
            yield FoundPhoto(path, base, below.parent)


def _fixed_part(pattern: Path) -> Path:
    """The folder before the first wildcard; brackets in the name of a folder that exists are none."""
    parts = pattern.parts
    count = next(i for i, part in enumerate(parts) if glob.has_magic(part) and not exists(Path(*parts[: i + 1])))
    return Path(*parts[:count])


def _listed(path: Path) -> FoundPhoto:
    error = None
    if not os.path.lexists(path):
        error = "no such file"
    elif not is_read(path):
        error = why_not(path.suffix)
    return FoundPhoto(path, path.parent, PurePath(), path.parent if _is_mirrored(path) else None, error)


def _is_mirrored(path: Path) -> bool:
    """Whether the folders that a list names are made in the output, too: of relative paths, but for names of ours."""
    return not path.is_absolute() and ".." not in path.parts and not any(map(is_reserved, path.parts))
