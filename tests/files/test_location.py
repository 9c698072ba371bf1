"""Places, on this host and behind URLs."""

from pathlib import Path

import pytest

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.files.location import absolute, is_folder, real, to_location


def test_a_url_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import upath

    def missing(*_: object) -> None:
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr(upath, "UPath", missing)
    with pytest.raises(UsageError, match=r"gcsfs.*pip install 'nstbatch\[remote\]'"):
        to_location("gs://bucket/photos")
    assert to_location("file:///srv/photos") == Path("/srv/photos")
    assert to_location("photos") == Path("photos")


def test_a_scheme_in_capitals_is_the_same() -> None:
    assert str(to_location("MEMORY://bucket/Photos")) == "memory://bucket/Photos"


@pytest.mark.parametrize("url", ["file://", "file://photos", "FILE://host"])
def test_a_file_url_names_an_absolute_path(url: str) -> None:
    with pytest.raises(UsageError, match="names no file; write file:///"):
        to_location(url)


def test_a_working_directory_that_is_there_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for use in (absolute, real):
        with pytest.raises(UsageError, match="the working directory no longer exists"):
            use(Path())
        assert use(tmp_path) == tmp_path


def test_a_name_that_is_too_long_is_no_folder(tmp_path: Path) -> None:
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / ("x" * 300))
