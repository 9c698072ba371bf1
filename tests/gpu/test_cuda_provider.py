"""What only a GPU can show. Skipped where CUDA does not start."""

import json
from pathlib import Path

import numpy as np
import pytest

from nstbatch.exporter.export import export_bundle
from nstbatch.runtime.bundle.spec import FOR_GPU, Bundle, BundleSpec
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.installed import import_onnxruntime
from nstbatch.runtime.engine.providers import start_provider
from nstbatch.runtime.engine.sessions import PROVIDERS, provider_chain
from nstbatch.runtime.errors import ProviderError
from nstbatch.runtime.painting.agreement import check_agreement
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recipe.presets import LossWeights


def _has_cuda() -> bool:
    try:
        return start_provider("cuda") == "cuda"
    except ProviderError:
        return False


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not _has_cuda(), reason="needs a GPU that CUDA starts on")]


@pytest.fixture(scope="module")
def bundle(vgg19: Bundle) -> Bundle:
    return vgg19


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine(bundle, Host(provider="cuda"))


def test_it_computes_what_the_cpu_provider_does(engine: Engine) -> None:
    for found in check_agreement(engine, engine.precisions):
        if found.precision == "float32":
            assert found.gradient < 1e-3, "TF32 would be ten times further off"


def test_free_memory_is_known(engine: Engine) -> None:
    assert (engine.free_memory() or 0) > 2**28


def test_nothing_of_the_graph_falls_to_the_cpu(bundle: Bundle, tmp_path: Path) -> None:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    image = np.zeros((1, 3, 64, 96), np.float32)
    reference = Engine(bundle, Host(provider="cpu"))
    targets = Targets(encode(reference, image).contents, encode(reference, image + 9).grams)
    content, style, _ = balance(LossWeights(1, 10, 0), targets)
    feeds = {
        "image": image,
        **targets.contents,
        **targets.grams,
        **targets.metrics(),
        "content_weight": np.array(content, np.float32),
        "style_weight": np.array(style, np.float32),
        "tv_weight": np.array(1, np.float32),
    }
    session = ort.InferenceSession(str(bundle.graph(FOR_GPU)), options, provider_chain("cuda", "float32", 0))
    session.run(None, feeds)
    events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event["args"] for event in events if event.get("args", {}).get("provider")]
    assert {node["provider"] for node in nodes} >= {PROVIDERS["cuda"]}, "the profile names a provider for each node"
    # Sizes may be computed on the CPU, a few whole numbers each; pixels may not.
    heavy = [n["op_name"] for n in nodes if n["provider"] == PROVIDERS["cpu"] and int(n["output_size"]) > 1024]
    assert heavy == []


def test_inputs_that_stay_on_the_device(engine: Engine, bundle: Bundle, samples: Path) -> None:
    rng = np.random.default_rng(0)
    photo, style, *images = rng.uniform(0, 255, (4, 1, 3, 64, 80)).astype(np.float32)
    targets = Targets(encode(engine, photo).contents, encode(engine, style).grams)
    weights = balance(LossWeights(1, 10, 0), targets)
    on_gpu, on_cpu = Objective(engine, targets, weights), Objective(Engine(bundle, Host(provider="cpu")), targets, weights)
    for image in images:
        (_, gradient, terms), (_, expected_gradient, expected) = on_gpu(image), on_cpu(image)
        np.testing.assert_allclose(terms, expected, rtol=1e-3)
        assert np.linalg.norm(gradient - expected_gradient) < 1e-2 * np.linalg.norm(expected_gradient)


@pytest.mark.parametrize("precision", ["float32", "tf32", "mixed"])
def test_a_painting_ends_where_the_cpus_does(engine: Engine, bundle: Bundle, samples: Path, precision: str) -> None:
    photo = read_picture(samples / "photos" / "town.jpg")
    options = {"size": 128, "iterations": 40}
    expected = Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", **options)(photo).loss
    assert Stylizer.open(engine, samples / "starry.jpg", precision=precision, **options)(photo).loss == pytest.approx(
        expected, rel=0.1
    )


@pytest.mark.parametrize(("vectors", "graphs"), [("device", False), ("host", None), ("device", True)])
def test_steps_captured_or_not_paint_what_vectors_on_the_host_do(
    engine: Engine, bundle: Bundle, samples: Path, vectors: str, graphs: bool | None
) -> None:
    photos = [read_picture(samples / "photos" / f"{name}.jpg") for name in ("town", "tree")]
    options = {"size": 96, "iterations": 20, "scales": "48,96"}
    plain = Stylizer.open(engine, samples / "starry.jpg", **options)
    other = Stylizer.open(
        Engine(bundle, Host(provider="cuda", vectors=vectors, cuda_graphs=graphs)), samples / "starry.jpg", **options
    )
    for photo in photos:
        assert other(photo).loss == pytest.approx(plain(photo).loss, rel=0.05)


def test_an_fp16_bundle_agrees_and_paints(samples: Path, tmp_path: Path) -> None:
    half = export_bundle(BundleSpec(precision="fp16"), tmp_path / "fp16")
    engine = Engine(half, Host(provider="cuda"), precision="fp16")
    check_agreement(engine, engine.precisions)
    photo = read_picture(samples / "photos" / "town.jpg")
    options = {"size": 96, "iterations": 20, "precision": "fp16"}
    expected = Stylizer.open(Engine(half, Host(provider="cpu"), precision="fp16"), samples / "starry.jpg", **options)(
        photo
    ).loss
    assert Stylizer.open(engine, samples / "starry.jpg", **options)(photo).loss == pytest.approx(expected, rel=0.1)
