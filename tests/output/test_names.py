"""What a painting cannot be called."""

import pytest

from nstbatch.runtime.output.names import Key, temporary_name


@pytest.mark.parametrize("text", [".nstbatch/a.jpg", "x/report_files/a.jpg", "a.jpg.snapshots/000001.jpg", "../a.jpg"])
def test_the_folders_of_nstbatch_hold_no_paintings(text: str) -> None:
    with pytest.raises(ValueError, match=r"keeps the folder|no plain"):
        Key(text)


def test_the_temporary_name_is_beside_and_short() -> None:
    name = temporary_name(Key("deep/" + "x" * 255))
    assert name.startswith("deep/.nstbatch-")
    assert len(name) < 60
    assert temporary_name(Key("other/" + "x" * 255)).rpartition("/")[2] == name.rpartition("/")[2]
