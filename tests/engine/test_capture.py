"""Steps that CUDA captures, on the one device that every host has: what is captured must not be bound again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device import WithCuda
from nstbatch.runtime.bundle.spec import FOR_GPU, GRADIENT, LEAN, Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.providers import OnnxRuntime
from nstbatch.runtime.errors import ProviderError, UsageError
from nstbatch.runtime.painting.painting import Painting, PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recipe.size import Size

BROKEN = "operation not permitted when stream is capturing"

OPTIONS = {"size": 48, "scales": "1", "iterations": 6, "whitening": "off", "precision": "float32"}


class Session:
    """A session of the CPU provider that says what CUDA would be asked for."""

    def __init__(self, session: Any, captured: bool, cuda: "Capturing") -> None:
        self._session = session
        self._captured = captured
        self._cuda = cuda

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        number = options.get_run_config_entry("gpu_graph_id") if self._captured else None
        self._cuda.runs.append(number)
        if number is not None and self._cuda.broken == "run":
            raise RuntimeError(BROKEN)
        self._session.run_with_iobinding(binding, options)

    def release_captured_graph(self, number: int) -> None:
        self._cuda.released.append(number)


class Capturing(WithCuda):
    """CUDA that captures steps, or says that it cannot."""

    def __init__(self, broken: str = "", **how: Any) -> None:
        super().__init__(self._watched, **how)
        self.broken = broken
        self.runs: list[str | None] = []
        self.released: list[int] = []

    def _watched(self, session: Any, captured: bool) -> Session:
        if captured and self.broken == "loaded":
            raise ProviderError(BROKEN)
        return Session(session, captured, self)


def paint(painting: Painting) -> np.ndarray:
    while not painting.done:
        painting.step()
    return np.asarray(painting.result().image, float)


def test_each_painting_is_captured_and_released(bundle: Bundle, samples: Path) -> None:
    cuda, photo = Capturing(), read_picture(samples / "photos" / "town.jpg")
    capturing = cuda.engine(bundle)
    assert capturing.captures
    stylizer = Stylizer.open(capturing, samples / "starry.jpg", **OPTIONS)
    found = [paint(stylizer.begin(PhotoJob(photo))) for _ in range(2)]
    assert cuda.runs == ["1"] + ["2"] * 6 + ["3"] * 6, "the first is compared with the CPU provider's"
    assert cuda.released == [1, 2, 3]
    assert (found[0] == found[1]).all()
    plain = Stylizer.open(Capturing().engine(bundle, cuda_graphs=False), samples / "starry.jpg", **OPTIONS)
    expected = paint(plain.begin(PhotoJob(photo)))
    assert np.abs(found[0] - expected).max() <= 1


@pytest.mark.parametrize("when", ["run", "loaded"])
def test_where_capture_fails_it_is_done_without_and_said_why(when: str, bundle: Bundle, samples: Path) -> None:
    cuda, photo = Capturing(broken=when), read_picture(samples / "photos" / "town.jpg")
    capturing = cuda.engine(bundle)
    stylizer = Stylizer.open(capturing, samples / "starry.jpg", **OPTIONS)
    for _ in range(2):
        paint(stylizer.begin(PhotoJob(photo)))
    assert cuda.runs == ["1"] * (when == "run") + [None] * 13
    assert not capturing.captures
    assert capturing.not_captured == BROKEN


@pytest.mark.parametrize("asked", [None, True])
def test_tensorrt_captures_the_gradient_where_it_is_asked_to(asked: bool | None, bundle: Bundle, samples: Path) -> None:
    tensorrt = Capturing(provider="tensorrt", watched=[GRADIENT, FOR_GPU, LEAN])
    engine, photo = tensorrt.engine(bundle, cuda_graphs=asked), read_picture(samples / "photos" / "town.jpg")
    assert engine.captures is bool(asked)
    stylizer = Stylizer.open(engine, samples / "starry.jpg", **OPTIONS)
    found = [paint(stylizer.begin(PhotoJob(photo))) for _ in range(2)]
    assert (found[0] == found[1]).all()
    # One evaluation more than iterations each, and the comparison with the CPU provider.
    numbers = [number for number in tensorrt.runs if number]
    assert len(numbers) == (len(tensorrt.runs) if asked else 0)
    assert tensorrt.released == sorted(map(int, set(numbers)))
    assert len(set(numbers)) == (3 if asked else 0), "each has its own"


def test_an_engine_that_is_captured_is_of_one_shape(bundle: Bundle) -> None:
    engine = Capturing(provider="tensorrt").engine(bundle, cuda_graphs=True)
    assert engine.prepare({Size(64, 48): 2, Size(48, 64): 5}, ["float32"]) == 2


def test_what_does_not_go_together(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="graphs are captured by provider 'cuda', 'webgpu' or 'tensorrt'"):
        Engine(bundle, Host(provider="cpu", cuda_graphs=True))
    with pytest.raises(UsageError, match="leave out --vectors host"):
        Host(vectors="host", cuda_graphs=True)
    with pytest.raises(UsageError, match="vectors on the device take"):
        Engine(bundle, Host(provider="tensorrt", vectors="device"), onnxruntime=_WithTensorRT())


class _WithTensorRT(OnnxRuntime):
    def start(self, host: Host, precision: str) -> str:
        return "tensorrt"
