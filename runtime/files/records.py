"""JSON that nstbatch has kept, read back: of the size, depth and types that it was written with, or not at all."""

import json
import math
import os
import re
from typing import Annotated, Any, TypeVar

import msgspec

from .name import Name

T = TypeVar("T")

MOST = 2**20
"""Bytes of a record."""

Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number that every library takes."""

_TEXT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
"""Escapes of lone surrogates, by which names that are not UTF-8 are kept, or of NUL."""

_DEEPEST = 32


def decode(data: bytes, kind: type[T]) -> T:
    """A value of a dataclass, or of another type that msgspec knows, from JSON. Fields that are not known are skipped.

    Args:
        data: the JSON, UTF-8.
        kind: the type. Text that is a `Name` is checked by its constructor.

    Raises:
        ValueError: the JSON is damaged, too large, too deep or of another type; a number is not finite; or text is nothing
            that a file of this host can be called.
    """
    if len(data) > MOST:
        raise ValueError(f"larger than {MOST:,} bytes")
    try:
        if _TEXT.search(data) is None:
            return msgspec.json.decode(data, type=kind, dec_hook=_named)
        # msgspec refuses lone surrogates, which Python's own decoder takes.
        raw = json.loads(data, parse_constant=_refuse)
        _check(raw, _DEEPEST)
        return msgspec.convert(raw, kind, dec_hook=_named)
    except (RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _named(kind: type, value: object) -> object:
    if not (isinstance(value, str) and issubclass(kind, Name)):
        raise ValueError(f"{kind.__name__} expected")
    return kind(value)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError("too deep")
    if isinstance(value, str):
        os.fsencode(value)
        if "\0" in value:
            raise ValueError("NUL in a text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
    elif isinstance(value, list | dict):
        for part in value.items() if isinstance(value, dict) else value:
            _check(part, depth - 1)
    elif isinstance(value, tuple):
        for part in value:
            _check(part, depth)
