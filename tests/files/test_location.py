"""Places, on this host and behind URLs."""

from pathlib import Path

import pytest

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.files.location import to_location


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
