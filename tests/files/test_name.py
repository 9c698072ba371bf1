"""Names that lead nowhere but below their folder."""

import copy
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.files.name import Name

parts = st.sampled_from(["..", ".", "", "a", "b.jpg", "caf\udce9", "\ud800", "\0", "~", "C:", "..."])


@given(st.lists(parts | st.text(max_size=3), max_size=6).map("/".join))
def test_a_name_stays_below_its_folder(text: str) -> None:
    try:
        name = Name(text)
    except ValueError:
        return
    path = Path("/folder") / name
    assert os.path.normpath(path) == str(path) == f"/folder/{name}"
    assert os.fsencode(name).count(b"\0") == 0


@pytest.mark.parametrize("text", ["", "/a", "a/", "../a", "a/../b", "a//b", "./a", "a\0b", "\ud800", "/"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - one way or another
        Name(text)


def test_it_is_text_and_travels() -> None:
    name = Name("a/caf\udce9.jpg")
    for again in (pickle.loads(pickle.dumps(name)), copy.deepcopy(name)):
        assert again == name == "a/caf\udce9.jpg"
        assert type(again) is Name
