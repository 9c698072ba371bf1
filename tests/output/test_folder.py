"""Paintings in a folder of this host."""

from hashlib import sha256
from pathlib import Path

import pytest

from nstbatch.runtime.files.name import Name
from nstbatch.runtime.output.folder import FolderOutput, Present, damage
from nstbatch.runtime.output.names import Key


def test_a_line_is_there_before_its_painting(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path)
    lines: list[Present] = []

    def journalled(present: Present) -> None:
        assert output.look(key) is None
        lines.append(present)

    key = Key("deep/a.jpg")
    output.commit(key, Name("deep/staged"), b"painting", journalled)
    assert output.place(key).read_bytes() == b"painting"
    assert [output.look(key)] == lines
    assert not (tmp_path / "deep" / "staged").exists()


def test_a_painting_without_its_line_is_none(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path)

    def full(present: Present) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        output.commit(Key("a.jpg"), Name("staged"), b"painting", full)
    assert output.look(Key("a.jpg")) is None
    assert not (tmp_path / "staged").exists()


def test_what_has_become_of_a_painting(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path)
    place = output.place(Key("a.jpg"))
    place.write_bytes(b"painting")
    known = output.look(Key("a.jpg"))
    assert known is not None
    remembered = (Key("a.jpg"), known.size, known.mtime_ns, sha256(b"painting").hexdigest())
    assert damage(output, *remembered) is None
    place.write_bytes(b"painting")
    assert damage(output, *remembered) is None, "copied back, with another time"
    place.write_bytes(b"scribble")
    assert damage(output, *remembered) == "the painting has been changed by hand"
    place.unlink()
    assert damage(output, *remembered) == "the painting has been deleted"
    place.mkdir()
    found = output.look("a.jpg")
    assert found is not None
    assert found.folder
