"""Arrays that are put aside."""

from pathlib import Path

import numpy as np
import pytest

from nstbatch.runtime.files.scratch import Scratch, mapped


@pytest.mark.parametrize("in_memory", [0, 100, 10**6])
def test_what_is_put_aside_is_there_wherever_it_is(in_memory: int, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, in_memory)
    arrays = [np.arange(i, i + 12, dtype=np.float32).reshape(3, 4) for i in range(5)]
    for i, array in enumerate(arrays):
        scratch.put(("a", i), array)
    scratch.put(("a", 3), arrays[0].T.copy().T)
    for i, array in enumerate(arrays):
        np.testing.assert_array_equal(scratch.get(("a", i)), arrays[0] if i == 3 else array)
    assert list(tmp_path.iterdir()) == [], "its file has no name"


def test_an_array_in_a_file_is_zeros(tmp_path: Path) -> None:
    array = mapped(tmp_path, (3, 1000))
    assert not array.any()
    array[1] = 7
    assert array.sum() == 7000
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No such file"):
        mapped(tmp_path / "missing", (3,))
