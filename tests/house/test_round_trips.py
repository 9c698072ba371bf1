"""An evaluation where the vectors lie on the device is one round trip."""

import importlib

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from places import ROOT


@pytest.mark.parametrize("pictures", [1, 3])
def test_an_evaluation_is_one_round_trip(pictures: int, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    found = importlib.import_module("round_trips").measure(bundle, 48, 12, pictures)
    assert [found[name] for name in ("runs", "synchronisations", "reads", "writes")] == [1, 1, 1, 1]
    assert 0 < found["bytes_to_host"] < 2000 * pictures
    assert 0 < found["bytes_to_device"] < 200 * pictures
    assert found["python_ms"] > 0
