"""The gradient graph in fewer operators. What it computes is compared with autograd in `test_graphs`."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from nstbatch.runtime.bundle.spec import FOR_GPU, GRADIENT, LEAN, METRIC, STEPS, TV_WEIGHT, Bundle

STILL = {"Reshape", "Squeeze", "Unsqueeze", "Identity"}
"""What moves nothing."""


@pytest.fixture(scope="module")
def bundle(vgg19: Bundle) -> Bundle:
    return vgg19


def kernels(bundle: Bundle, graph: str, folder: Path) -> Counter[str]:
    """What is run of a graph in one even size, by operator."""
    sizes = {"N": 1, "gram_N": 1, "metric_N": 1, "H": 64, "W": 96, "Q": 31, "control": 42}
    sizes |= {"relu4_2.h": 8, "relu4_2.w": 12}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / f"{graph}.onnx")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", f"{graph}.bin")
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    onnxruntime.InferenceSession(bundle.graph(graph), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(folder / f"{graph}.onnx", load_external_data=False).graph.node
    return Counter(node.op_type for node in nodes if node.op_type not in STILL)


def test_there_are_fewer_kernels(bundle: Bundle, tmp_path: Path) -> None:
    found = {graph: kernels(bundle, graph, tmp_path) for graph in (GRADIENT, FOR_GPU, LEAN, *STEPS)}
    counts = {graph: sum(each.values()) for graph, each in found.items()}
    assert counts[GRADIENT] > 250
    assert counts[FOR_GPU] <= 160
    assert counts[LEAN] <= 130
    for step, gradient in STEPS.items():
        assert counts[step] <= counts[gradient] + 50
        assert not set(found[step]) & {"If", "Loop", "Shape", "Or", "MemcpyToHost", "MemcpyFromHost"}


@pytest.mark.parametrize(("count", "height", "width"), [(1, 32, 32), (2, 45, 33), (1, 66, 91)])
def test_the_lean_graph_is_that_of_no_metric_and_no_variation(count: int, height: int, width: int, bundle: Bundle) -> None:
    rng = np.random.default_rng(height)
    full, lean, encode = (
        onnxruntime.InferenceSession(bundle.graph(name), providers=["CPUExecutionProvider"])
        for name in (FOR_GPU, LEAN, "encode")
    )
    image, photo, style = rng.uniform(0, 255, (3, count, 3, height, width)).astype(np.float32)
    names = [output.name for output in encode.get_outputs()]
    content = dict(zip(names, encode.run(None, {"image": photo}), strict=True))
    feeds = dict(zip(names, encode.run(None, {"image": style}), strict=True))
    feeds |= {name: value for name, value in content.items() if name.startswith("content.")}
    feeds |= {
        "image": image,
        "content_weight": np.ones(1, np.float32),
        "style_weight": np.linspace(1, 2, 5, dtype=np.float32),
    }
    metrics = {
        name.replace("gram.", METRIC): np.eye(gram.shape[1], dtype=np.float32)[None]
        for name, gram in feeds.items()
        if name.startswith("gram.")
    }
    losses, gradient = full.run(None, {**feeds, **metrics, TV_WEIGHT: np.zeros((), np.float32)})
    found, slope = lean.run(None, feeds)
    np.testing.assert_allclose(found[:, :-1], losses[:, :-1], rtol=1e-5)
    assert (found[:, -1] == 0).all()
    assert np.linalg.norm(slope - gradient) < 1e-5 * np.linalg.norm(gradient)
