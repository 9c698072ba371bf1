"""Paintings a step at a time, on the real graphs."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.binding import BoundGraph
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import NonFiniteError
from nstbatch.runtime.painting.lockstep import LockStep
from nstbatch.runtime.painting.painting import Painting, PhotoJob, Progress
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import Picture

OPTIONS = {"size": 48, "scales": "36,48", "iterations": 4, "style_weight": 1000.0}


def pictures(samples: Path) -> list[Picture]:
    """Two of one shape and one of another."""
    names = {"town": (64, 48), "tree": (64, 48), "mountains": (48, 64)}
    return [Picture(Image.open(samples / "photos" / f"{n}.jpg").convert("RGB").resize(size)) for n, size in names.items()]


def step(lock: LockStep, paintings: list[Painting]) -> list["Future[Progress]"]:
    steps: list[Future[Progress]] = [Future() for _ in paintings]
    lock.step(list(zip(paintings, steps, strict=True)))
    return steps


def test_a_batch_paints_what_each_would_alone(bundle: Bundle, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stylizer = Stylizer.open(Engine(bundle, Host(provider="cpu", threads=1)), samples / "starry.jpg", **OPTIONS)
    photos = pictures(samples)
    expected = [stylizer(photo) for photo in photos]
    sizes = []
    real = Engine.run
    monkeypatch.setattr(
        Engine, "run", lambda self, graph, feeds, *rest: sizes.append(len(feeds["image"])) or real(self, graph, feeds, *rest)
    )
    lock = LockStep()
    paintings = [stylizer.begin(PhotoJob(photo)) for photo in photos]
    while left := [painting for painting in paintings if not painting.done]:
        for taken in step(lock, left):
            assert 0 < taken.result(0).fraction <= 1
    assert sizes.count(2) == 8, "the two of one shape are one evaluation, at both sizes and in both metrics"
    for painting, alone in zip(paintings, expected, strict=True):
        found = painting.result()
        np.testing.assert_allclose(found.losses.total, alone.losses.total, rtol=1e-2)
        assert np.abs(np.asarray(found.image, float) - np.asarray(alone.image, float)).mean() < 1


def test_a_batch_with_its_vectors_on_the_device_is_one_run(
    bundle: Bundle, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stylizer = Stylizer.open(
        Engine(bundle, Host(provider="cpu", threads=1, vectors="device")),
        samples / "starry.jpg",
        **OPTIONS | {"iterations": 12},
    )
    photos = pictures(samples)
    expected = [stylizer(photo) for photo in photos]
    batches: list[int] = []
    real = BoundGraph.launch

    def watched(self: BoundGraph, changing: Any, kept: Any = None) -> Any:
        batches.append(len(changing["control"]))
        return real(self, changing, kept)

    monkeypatch.setattr(BoundGraph, "launch", watched)
    lock = LockStep()
    paintings = [stylizer.begin(PhotoJob(photo)) for photo in photos]
    while left := [painting for painting in paintings if not painting.done]:
        for taken in step(lock, left):
            assert 0 < taken.result(0).fraction <= 1
    assert batches.count(2) == 24 == batches.count(1)
    for painting, alone in zip(paintings, expected, strict=True):
        found = painting.result()
        np.testing.assert_allclose(found.losses.total, alone.losses.total, rtol=0.05)
        assert np.abs(np.asarray(found.image, float) - np.asarray(alone.image, float)).mean() < 4


def test_a_batch_comes_apart_and_together_again(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(
        Engine(bundle, Host(provider="cpu", threads=1, vectors="device")),
        samples / "starry.jpg",
        **OPTIONS | {"iterations": 8, "scales": "1", "whitening": "off"},
    )
    photos = pictures(samples)[:2]
    alone = [stylizer(photo).losses.total for photo in photos]
    one, two = (stylizer.begin(PhotoJob(photo)) for photo in photos)
    lock = LockStep()
    for together in ([one, two], [one, two], [one], [two], [one, two], [two, one], [one], [two], [one, two], [one, two]):
        for taken in step(lock, together):
            taken.result(0)
    assert one.done
    assert two.done
    for painting, losses in zip((one, two), alone, strict=True):
        np.testing.assert_allclose(painting.result().losses.total, losses, rtol=1e-2)


def test_what_a_painting_raises_is_its_own(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(Engine(bundle, Host(provider="cpu", threads=1)), samples / "starry.jpg", **OPTIONS)
    one, two = (stylizer.begin(PhotoJob(photo)) for photo in pictures(samples)[:2])
    (objective, point) = two.ask()
    point = np.full_like(point, np.nan)
    two.ask = lambda: (objective, point)  # type: ignore[method-assign]
    first, second = step(LockStep(), [one, two])
    assert first.result(0).loss > 0
    with pytest.raises(NonFiniteError):
        second.result(0)
