"""Kept arrays, read back."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from nstbatch.runtime.files.arrays import read_arrays, write_arrays

# More than zipfile reads at a time: a header is parsed before its member's checksum is known.
GRAMS = {"gram.a": np.arange(3072, dtype=np.float32).reshape(1, 48, 64), "gram.b": np.ones((1, 2, 2), np.float32)}
SHAPES = {name: array.shape for name, array in GRAMS.items()}


def written(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    write_arrays(buffer, arrays)
    return buffer.getvalue()


kept = arrays_of.arrays(
    st.sampled_from([np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool), np.dtype("U5")]),
    arrays_of.array_shapes(min_dims=0, min_side=0, max_side=4),
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), kept))
def test_what_was_written_is_read(arrays: dict[str, NDArray[Any]]) -> None:
    found = read_arrays(io.BytesIO(written(arrays)), 10**6)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_of_another_order_in_memory() -> None:
    turned = {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.arange(10)[::2]}
    found = read_arrays(io.BytesIO(written(turned)), 10**6)
    assert all((found[name] == array).all() for name, array in turned.items())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_a_value_error(data: st.DataObject) -> None:
    content = bytearray(written(GRAMS))
    place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 300))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    try:
        found = read_arrays(io.BytesIO(bytes(content)), 10**6, SHAPES)
    except ValueError:
        return
    # A byte of the archive that says nothing of the arrays, such as a time.
    assert all((found[name] == array).all() for name, array in GRAMS.items())


@pytest.mark.parametrize(
    "other",
    [
        {"gram.a": GRAMS["gram.a"]},
        GRAMS | {"gram.c": np.ones(1, np.float32)},
        GRAMS | {"gram.b": np.ones((1, 2, 3), np.float32)},
        GRAMS | {"gram.b": np.ones((1, 2, 2))},
        GRAMS | {"gram.b": np.array("zeros")},
    ],
)
def test_other_arrays_than_expected_are_refused(other: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(ValueError, match=r"other arrays|not float32"):
        read_arrays(io.BytesIO(written(other)), 10**6, SHAPES)


def test_without_the_digest_or_with_that_of_others_they_are_refused() -> None:
    zeros = {name: np.zeros_like(array) for name, array in GRAMS.items()}
    plain, forged = io.BytesIO(), io.BytesIO()
    np.savez(plain, **zeros)  # type: ignore[arg-type]
    with np.load(io.BytesIO(written(GRAMS))) as archive:
        np.savez(forged, sha256=archive["sha256"], **zeros)  # type: ignore[arg-type]
    for file in (plain, forged):
        file.seek(0)
        with pytest.raises(ValueError, match="digest"):
            read_arrays(file, 10**6, SHAPES)


def test_no_pickle_no_bomb_no_crowd() -> None:
    pickled, bomb, crowd = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(pickled, a=np.array([{}], object))
    with zipfile.ZipFile(bomb, "w") as archive:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }".ljust(117) + "\n"
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    with zipfile.ZipFile(crowd, "w") as archive:
        for number in range(1000):
            archive.writestr(f"{number}.npy", b"")
    for file, match in ((pickled, "not kept"), (bomb, "larger than"), (crowd, "more arrays")):
        file.seek(0)
        with pytest.raises(ValueError, match=match):
            read_arrays(file, 10**6)
