"""Kept JSON, read back."""

import contextlib
import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.files.name import Name
from nstbatch.runtime.files.records import MOST, Whole, decode


@dataclass(frozen=True)
class Record:
    name: Name
    count: Whole = 0
    share: float = 0.0
    text: str = ""


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b'{"name": "a"',
        b"\xff\xfe\x00",
        b'{"name": "../a"}',
        b'{"name": 7}',
        b'{"name": "a", "count": 1.5}',
        b'{"name": "a", "count": true}',
        b'{"name": "a", "count": 9223372036854775808}',
        b'{"name": "a", "share": NaN}',
        b'{"name": "a", "share": 1e999}',
        b'{"name": "caf\\udce9", "share": Infinity}',
        b'{"name": "caf\\udce9", "share": 1e999}',
        b'{"name": "caf\\udce9", "count": 9223372036854775808}',
        b'{"name": "a", "text": "\\u0000"}',
        b'{"name": "a", "text": "\\ud800"}',
        b'{"name": "a", "else": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
        b'{"name": "caf\\udce9", "else": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
        b'{"name": "caf\\udce9", "else": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"name": "a", "text": "' + b"x" * MOST + b'"}',
    ],
    ids=lambda line: line[:40],
)
def test_what_is_wrong_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - one way or another
        decode(line, Record)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_nothing_else_is_raised(line: bytes) -> None:
    for data in (line, b'{"name": "a", "text": "' + line + b'"}'):
        with contextlib.suppress(ValueError):
            assert isinstance(decode(data, Record), Record)


@pytest.mark.parametrize("text", ["caf\udce9", "a\\u0000", "\U0001f600", "line\n"])
def test_names_that_are_odd_are_kept(text: str) -> None:
    record = decode(json.dumps({"name": text, "text": text, "later": {}}).encode(), Record)
    assert (record.name, record.text) == (text, text)
    assert type(record.name) is Name
