"""Where something is: a path of this host, or a URL that fsspec reaches."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, overload

from ..errors import UsageError, first_line

if TYPE_CHECKING:
    from typing_extensions import TypeIs
    from upath import UPath

    Location = Path | UPath
else:
    Location = Path


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def to_location(text: str) -> Location:
    """A path of this host, or one behind a URL.

    Raises:
        UsageError: its kind of URL is not known, or takes a package that is not installed.
    """
    scheme = _URL.match(text)
    if scheme is None:
        return Path(text)
    text = scheme[0].lower() + text[scheme.end() :]
    if text.startswith("file://"):
        local = text.removeprefix("file://")
        if not local.startswith("/"):
            raise UsageError(f"{text}: names no file; write file:///folder/file, or the path alone")
        return Path(local)
    try:
        from upath import UPath

        path = UPath(text)
        assert path.fs is not None, "imports what the URL takes"
    except ImportError as error:
        raise UsageError(f"{text}: {error}; run `pip install 'nstbatch[remote]'`, or what it names") from None
    except Exception as error:  # fsspec's implementations raise what they like
        raise UsageError(f"{text}: cannot be reached ({first_line(error)})") from None
    return path


def is_remote(path: object) -> "TypeIs[UPath]":
    """Whether it is behind a URL."""
    return hasattr(path, "fs")


@overload
def absolute(path: Path) -> Path: ...


@overload
def absolute(path: Location) -> Location: ...


def absolute(path: Location) -> Location:
    """The same from any working directory; links stay what they are.

    Raises:
        UsageError: the path is relative, and the working directory has been deleted.
    """
    if is_remote(path):
        return path
    try:
        return Path(os.path.abspath(path))  # noqa: PTH100 - follows links
    except FileNotFoundError:
        raise UsageError(_GONE) from None


@overload
def real(path: Path) -> Path: ...


@overload
def real(path: Location) -> Location: ...


def real(path: Location) -> Location:
    """Links followed. Not `Path.resolve`, which raises on a loop of links.

    Raises:
        UsageError: see `absolute`.
    """
    return path if is_remote(path) else Path(os.path.realpath(absolute(path)))


_GONE = "the working directory no longer exists; change to another one, or use absolute paths"


def exists(path: Path) -> bool:
    """Whether there is anything on this host; what cannot be looked at counts as missing."""
    return _answer(path.exists)


def is_folder(path: Path) -> bool:
    """Whether it is a folder of this host; what cannot be looked at, such as a name that is too long, is none."""
    return _answer(path.is_dir)


def is_file(path: Path) -> bool:
    """Whether it is a regular file of this host, or a link to one; what cannot be looked at is none."""
    return _answer(path.is_file)


def _answer(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:
        return False
