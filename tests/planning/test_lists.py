"""Lists of photos."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.planning.lists import read_list

NAMES = ["a.jpg", "übung/b c.png", "日本.jpg", " spaced .jpg "]


def read(data: bytes) -> list[str]:
    return [str(path) for path in read_list(io.BytesIO(data))]


def test_lines_that_are_empty_are_skipped_and_nothing_else_is_taken_away() -> None:
    assert read(b"a.jpg\n\n b.jpg\r\nc\\n.jpg") == ["a.jpg", " b.jpg", "c\\n.jpg"]
    assert read(b"") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_by_its_mark_or_else_utf_8(encoding: str, end: str) -> None:
    assert read((end.join(NAMES) + end + end).encode(encoding)) == NAMES


@pytest.mark.parametrize("mark", [b"\xfe\xff", b"\x00\x00\xfe\xff"])
def test_the_other_order_of_bytes(mark: bytes) -> None:
    assert read(mark + "\n".join(NAMES).encode("utf-16-be" if len(mark) == 2 else "utf-32-be")) == NAMES


def test_folders_of_one_letter_are_no_utf_16() -> None:
    assert read(b"1\x002\x003\x00") == ["1", "2", "3"]


def test_by_nuls_names_may_be_anything() -> None:
    assert read(b"a\nb.jpg\0caf\xe9.jpg\0\xc3\xbc.jpg\0") == ["a\nb.jpg", "caf\udce9.jpg", "ü.jpg"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("\n".join(NAMES).encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("./a.jpg\n".encode("utf-16-be"), "UTF-16 without a byte order mark"),
        ("a.jpg\n".encode("utf-32-le"), "UTF-16 without a byte order mark"),
        (b"a.jpg\ncaf\xe9.jpg\n", r"neither UTF-8 nor .* \(byte 9\); save it as UTF-8"),
        (b"\xff\xfea", "neither UTF-8 nor"),
        (b"a.jpg\n" + b"x" * 2_000_000 + b"\nb.jpg", "more than 4,096 bytes"),
        (b"x" * 5000 + b"\0b.jpg\0", "more than 4,096 bytes"),
        ("a\0b.jpg\n".encode("utf-16"), "a NUL within a name"),
    ],
)
def test_what_is_refused_whole(data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(data)


def test_a_list_without_an_end() -> None:
    with Path("/dev/zero").open("rb") as zeros, pytest.raises(UsageError, match="larger than 256 MiB"):
        read_list(zeros)


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=2, max_size=9)))
def test_what_was_written_is_read(names: list[str]) -> None:
    kept = [name for name in names if name.strip()]
    assert read("\n".join(names).encode()) == [str(Path(name)) for name in kept]
    assert read(b"".join(os.fsencode(name) + b"\0" for name in ["first.jpg", *kept])) == [
        "first.jpg",
        *map(str, map(Path, kept)),
    ]
