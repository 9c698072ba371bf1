"""A provider that computes something else than the CPU provider is refused before it paints."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.binding import Pending
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.installed import import_onnxruntime
from nstbatch.runtime.engine.providers import OnnxRuntime
from nstbatch.runtime.errors import ProviderError
from nstbatch.runtime.painting.agreement import check_agreement
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.stop import DroppedError
from seams import Bench, Feeds, SeamEngine, outcomes, picture

PLUGIN = find_spec("onnxruntime_ep_openvino") is not None
INTEL = any(device.device.vendor_id == 0x8086 for device in import_onnxruntime().get_ep_devices())
openvino = pytest.mark.skipif(not (PLUGIN and INTEL), reason="needs nstbatch[openvino] and a CPU of Intel's")


class Wrong(Engine):
    """Computes on the CPU, and spoils the result."""

    def __init__(self, bundle: Bundle, factor: float = 1.0, noise: float = 0.0) -> None:
        super().__init__(bundle, Host(provider="cpu"))
        self.provider = "cuda"
        self.precisions = ("float32", "bfloat16")
        self._factor, self._noise = factor, noise

    def _session(self, *arguments: object) -> object:
        self.provider = "cpu"
        try:
            return super()._session(*arguments[:2], "float32")  # type: ignore[arg-type]
        finally:
            self.provider = "cuda"

    def bind(self, graph: str, fixed: Feeds, precision: str = "float32") -> Callable[[Feeds], Pending]:  # type: ignore[override]
        return lambda changing: partial(self.run, graph, {**fixed, **changing}, precision)

    def run(self, graph: str, feeds: Feeds, precision: str = "float32") -> list[np.ndarray]:
        *rest, last = super().run(graph, feeds, precision)
        rng = np.random.default_rng(0)
        spread = np.linalg.norm(last) / last.size**0.5
        return [*rest, (self._factor * last + self._noise * spread * rng.standard_normal(last.shape)).astype(np.float32)]


def test_agreement_and_its_bounds(bundle: Bundle) -> None:
    check_agreement(Wrong(bundle), ["float32"])
    check_agreement(Wrong(bundle, noise=0.1), ["bfloat16"])
    for spoilt in (Wrong(bundle, factor=-1), Wrong(bundle, noise=0.05), Wrong(bundle, factor=float("nan"))):
        with pytest.raises(ProviderError, match=r"provider 'cuda' in float32: its gradient is .* off the CPU provider's"):
            check_agreement(spoilt, ["float32"])
    with pytest.raises(ProviderError, match="in bfloat16"):
        check_agreement(Wrong(bundle, factor=0.0), ["bfloat16"])


def test_it_ends_the_run_and_not_only_a_picture(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(Wrong(bundle, factor=-1), samples / "starry.jpg", size=48, iterations=2)
    with pytest.raises(ProviderError) as caught:
        stylizer(read_picture(samples / "photos" / "town.jpg"))
    assert caught.value.exit_code == 4


def test_a_run_on_a_provider_that_disagrees(tmp_path: Path) -> None:
    class Elsewhere(SeamEngine):
        def __init__(self) -> None:
            super().__init__()
            self.provider = "cuda"

    def refuse(*_: object) -> None:
        raise ProviderError("provider 'cuda' in float32: its gradient is 1 off the CPU provider's")

    picture(tmp_path / "in" / "a.png")
    bench = Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", engine=Elsewhere)
    bench.check = refuse
    with pytest.raises(ProviderError):
        bench.run(tmp_path / "in")
    checked: list[object] = []
    bench.check = lambda *a: checked.append(a)
    picture(tmp_path / "in" / "b.png", seed=2)
    assert outcomes(bench.run(tmp_path / "in")) == {"a.png": "painted", "b.png": "painted"}
    assert len(checked) == 1, "once a process, not once a picture"


@pytest.mark.parametrize("precision", ["bfloat16", "mixed"])
def test_a_precision_that_the_provider_has_not(bundle: Bundle, samples: Path, precision: str) -> None:
    with pytest.raises(ProviderError, match=f"'cpu' computes in float32 here, --precision {precision} is not possible"):
        Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", precision=precision)


@pytest.mark.parametrize(
    ("precisions", "expected"),
    [(("float32",), "float32"), (("float32", "tf32"), "mixed"), (("float32", "bfloat16"), "mixed"), (("fp16",), "fp16")],
)
def test_auto_is_mixed_where_the_provider_has_a_quicker_precision(
    precisions: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    engine = SeamEngine()
    engine.precisions = precisions
    stylizer = Stylizer.open(engine, picture(tmp_path / "s.png"))
    assert stylizer.facts.settings.precision == expected
    assert stylizer.facts.recipe.settings.precision == expected, "what is painted on this host is known by what was done"


@pytest.mark.skipif(INTEL or not PLUGIN, reason="needs nstbatch[openvino] and a CPU of another maker")
def test_openvino_says_which_cpus_it_takes(bundle: Bundle) -> None:
    for _ in range(2):
        with pytest.raises(ProviderError, match="'openvino' knows no device on this host: it needs a CPU of Intel's"):
            Engine(bundle, Host(provider="openvino"))


@openvino
@pytest.mark.slow
def test_openvino_computes_what_the_cpu_provider_does(vgg19: Bundle, samples: Path) -> None:
    engine = Engine(vgg19, Host(provider="openvino"), precision="bfloat16")
    assert engine.provider == "openvino"
    check_agreement(engine, engine.precisions)
    photo = read_picture(samples / "photos" / "town.jpg")
    losses = {}
    for name, chosen, precision in (
        ("cpu", Engine(vgg19, Host(provider="cpu")), "float32"),
        ("openvino", engine, "float32"),
        ("mixed", engine, "mixed"),
    ):
        stylizer = Stylizer.open(chosen, samples / "starry.jpg", precision=precision, size=64, scales="1", whitening="on")
        losses[name] = stylizer(photo).loss
    assert losses["openvino"] == pytest.approx(losses["cpu"], rel=0.03)
    assert losses["mixed"] == pytest.approx(losses["cpu"], rel=0.15)


@openvino
def test_mixed_is_float32_on_a_cpu_without_bfloat16(vgg19: Bundle, samples: Path) -> None:
    class Old(OnnxRuntime):
        def precisions(self, provider: str) -> tuple[str, ...]:
            return ("float32",)

    engine = Engine(vgg19, Host(provider="openvino"), onnxruntime=Old())
    stylizer = Stylizer.open(engine, samples / "starry.jpg", precision="mixed")
    assert stylizer.settings.precision == "float32"
    with pytest.raises(ProviderError, match="--precision bfloat16 is not possible"):
        Stylizer.open(engine, samples / "starry.jpg", precision="bfloat16")


@openvino
def test_openvino_has_a_session_for_each_shape_and_can_be_cancelled(vgg19: Bundle, samples: Path) -> None:
    made = []

    class Counted(OnnxRuntime):
        def make_session(self, model: str, provider: str, threads: int, **options: Any) -> Any:
            made.append(options["dimensions"].get("W"))
            return super().make_session(model, provider, threads, **options)

    engine = Engine(vgg19, Host(provider="openvino"), onnxruntime=Counted())
    image = np.zeros((1, 3, 32, 40), np.float32)
    for width in (40, 36):
        assert len(engine.run("encode", {"image": image[:, :, :, :width]})) == 6
    made.clear()
    photo = read_picture(samples / "photos" / "town.jpg")
    for size in (40, 44, 40, 44):
        Stylizer.open(engine, samples / "starry.jpg", size=size, scales="1", iterations=1)(photo)
    assert [width for width in made if width in (40, 44)] == [40, 44]
    engine.cancel()
    for graph in ("encode", "encode"):
        with pytest.raises(DroppedError):
            engine.run(graph, {"image": image})
