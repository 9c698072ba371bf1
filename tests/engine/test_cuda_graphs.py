"""Graphs at fixed addresses, on the one device that every host has: what CUDA captures must not be rebound."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.binding import BoundGraph, Place
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.providers import OnnxRuntime
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recipe.presets import LossWeights
from nstbatch.runtime.stop import DroppedError
from process import Call


class WithCuda(OnnxRuntime):
    """A host on which CUDA starts, as far as an engine asks."""

    def start(self, host: Host, precision: str) -> str:
        return "cuda"

    def free_memory(self, provider: str, device: int) -> int | None:
        return None


@pytest.fixture
def capturing(bundle: Bundle) -> Engine:
    """An engine that would have CUDA capture, and computes on the CPU."""
    engine = Engine(bundle, Host(provider="cuda", threads=1, cuda_graphs=True), onnxruntime=WithCuda())
    engine.provider, engine.place, engine.precisions = "cpu", Place("cpu"), ("float32",)
    return engine


def test_objectives_of_one_shape_share_a_capture(capturing: Engine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[dict[str, int]] = []
    real = BoundGraph.__call__

    def watched(self: BoundGraph, changing: Any, kept: Any = None, options: Any = None) -> Any:
        if "image" in changing:
            bound.append({name: buffer.pointer for name, buffer in {**changing, **kept}.items()})
        return real(self, changing, kept, options)

    monkeypatch.setattr(BoundGraph, "__call__", watched)
    plain = Engine(bundle, Host(provider="cpu", threads=1))
    rng = np.random.default_rng(0)
    photos = rng.uniform(0, 255, (2, 1, 3, 40, 36)).astype(np.float32)
    style, *images = rng.uniform(0, 255, (4, 1, 3, 40, 36)).astype(np.float32)
    objectives = []
    for photo in photos:
        targets = Targets(encode(plain, photo).contents, encode(plain, style).grams)
        weights = balance(LossWeights(1, 10, 1), targets)
        objectives.append((Objective(capturing, targets, weights), Objective(plain, targets, weights)))
    # In turn: each finds its own targets there again.
    for image in images:
        for captured, reference in objectives:
            expected_loss, expected, _ = reference(image)
            loss, gradient, _ = captured(image)
            again, on_device, _ = captured(Place("cpu").put(image))
            assert (loss, again) == pytest.approx((expected_loss, expected_loss), rel=1e-5)
            for found in (gradient, on_device.read()):
                assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected)
    assert len(bound) == 12
    assert all(each == bound[0] for each in bound), "every evaluation reads and writes at the addresses of the first"


@pytest.mark.parametrize("vectors", ["host", "device"])
def test_a_painting_is_the_same(capturing: Engine, bundle: Bundle, samples: Path, vectors: str) -> None:
    photo = read_picture(samples / "photos" / "town.jpg")
    options = {"size": 64, "iterations": 5, "scales": "40,64"}
    expected = Stylizer.open(
        Engine(bundle, Host(provider="cpu", threads=1, vectors=vectors)), samples / "starry.jpg", **options
    )(photo)
    capturing.host = replace(capturing.host, vectors=vectors)
    found = Stylizer.open(capturing, samples / "starry.jpg", **options)(photo)
    assert np.abs(np.asarray(found.image, float) - np.asarray(expected.image, float)).max() < 8
    np.testing.assert_allclose(found.losses.total, expected.losses.total, rtol=1e-3)
    capturing.cancel()
    with pytest.raises(DroppedError):
        Stylizer.open(capturing, samples / "starry.jpg", **options)(photo)


def test_they_take_cuda(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="provider 'cuda', and not 'cpu'"):
        Engine(bundle, Host(provider="cpu", cuda_graphs=True))


def test_they_are_for_one_picture_at_a_time(samples: Path, nstbatch: Call) -> None:
    result = nstbatch(samples / "photos", "--style", samples / "starry.jpg", "--cuda-graphs", "--overlap", 2)
    assert result.returncode == 2
    assert "--cuda-graphs" in result.stderr
    assert "--overlap" in result.stderr
