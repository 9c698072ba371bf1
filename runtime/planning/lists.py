"""Lists of photos: a path or a URL in each line."""

import codecs
import os
from typing import BinaryIO

from ..errors import UsageError
from ..files.location import Location, to_location

_MOST = 2**28
"""Bytes of a list: more than two million paths."""

_LONGEST = 4096
"""Bytes of a line: no path is longer on Linux (PATH_MAX)."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks, those that begin like another first."""


def read_list(file: BinaryIO) -> list[Location]:
    """Paths and URLs of a list, a line each; or, if there is a NUL, one before each, as ``find -print0`` writes them.

    A list is text in the encoding that its byte order mark tells, else in UTF-8. One with NULs and without a mark is taken
    byte for byte, since names of files may be anything.

    Raises:
        UsageError: it is in another encoding, larger than any list, or has a line that no path can be; none of it counts.
        OSError: it cannot be read.
    """
    data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise UsageError(f"larger than {_MOST // 2**20} MiB: it is no list of photos")
    names = [name for name in _names(data) if name.strip()]
    for name in names:
        if len(os.fsencode(name)) > _LONGEST:
            raise UsageError(f"a line of more than {_LONGEST:,} bytes, which is no path: {name[:40]}...")
        if "\0" in name:
            raise UsageError(f"a NUL within a name: {name[:40]!r}...")
    return [to_location(name) for name in names]


def _names(data: bytes) -> list[str]:
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    if not mark and b"\0" in data:
        names = [name for name in data.split(b"\0") if name]
        letters = [name for name in names if len(name) == 1]
        if len(letters) > max(2, len(names) / 2) and {b".", b"\n", b"\r"} & set(letters):
            raise UsageError("it looks like UTF-16 without a byte order mark; save it as UTF-8")
        return [os.fsdecode(name) for name in names]
    try:
        text = data[len(mark) :].decode(_MARKS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"neither UTF-8 nor text with a byte order mark (byte {error.start + len(mark):,}); save it as UTF-8, "
            f"or separate the names by NULs, as find -print0 does"
        ) from None
    return [name.removesuffix("\r") for name in text.split("\n")]
