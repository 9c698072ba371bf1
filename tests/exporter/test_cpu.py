"""The gradient graph in the CPU provider's best operators computes what the traced one does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from nstbatch.exporter.cpu import for_cpu
from nstbatch.runtime.bundle.spec import FOR_CPU, Bundle
from nstbatch.runtime.engine.sessions import make_session

Feeds = dict[str, np.ndarray]


@pytest.fixture
def feeds(vgg19: Bundle, samples: Path, small: Callable[[Path, int], np.ndarray]) -> Callable[[int, int, int], Feeds]:
    """Inputs of the gradient graph for a number of images of a height and width."""

    def make(count: int, height: int, width: int) -> Feeds:
        encode = make_session(str(vgg19.graph("encode")), "cpu", 2)
        names = [output.name for output in encode.get_outputs()]
        photo, style = (small(samples / name, 200)[:, :, :height, :width] for name in ("photos/tree.jpg", "starry.jpg"))
        image = np.concatenate([photo[..., ::-1] * (1 - 0.1 * i) for i in range(count)]).astype(np.float32)
        targets = dict(zip(names, encode.run(None, {"image": photo}), strict=True))
        grams = dict(zip(names, encode.run(None, {"image": style}), strict=True))
        values: Feeds = {name: np.repeat(v, count, 0) for name, v in targets.items() if name.startswith("content")}
        for name, gram in grams.items():
            if name.startswith("gram"):
                values |= {name: gram, name.replace("gram", "metric"): np.eye(gram.shape[1], dtype=np.float32)[None]}
        weights = {"content_weight": np.ones(1), "style_weight": 1e-3 * np.ones(5), "tv_weight": np.array(0.1)}
        return values | {"image": image} | {name: value.astype(np.float32) for name, value in weights.items()}

    return make


# Sizes that the tiles fill, and those that they hang over by 1, 2 and 3; deep layers have as few as 2 x 2 positions.
@pytest.mark.parametrize(("count", "height", "width"), [(1, 64, 64), (2, 33, 45), (1, 38, 91), (3, 36, 34)])
def test_values_are_those_of_the_traced_graph(
    count: int, height: int, width: int, vgg19: Bundle, feeds: Callable[[int, int, int], Feeds]
) -> None:
    inputs = feeds(count, height, width)
    losses, gradient = make_session(str(vgg19.graph("gradient")), "cpu", 2).run(None, inputs)
    mine, slope = make_session(str(vgg19.graph(FOR_CPU)), "cpu", 2).run(None, inputs)
    np.testing.assert_allclose(mine, losses, rtol=1e-4)
    # A few ReLUs flip by rounding.
    assert np.linalg.norm(slope - gradient) < 1e-2 * np.linalg.norm(gradient)


def test_wide_convolutions_alone_are_rewritten(vgg19: Bundle) -> None:
    traced, rewritten = (onnx.load(vgg19.graph(name), load_external_data=False).graph for name in ("gradient", FOR_CPU))
    kernels = {tensor.name: tuple(tensor.dims) for tensor in traced.initializer}
    wide = [n for n in traced.node if n.op_type == "Conv" and np.prod(kernels[n.input[1]][:2]) >= 64 * 128]
    assert len(wide) == 22
    assert sum(node.op_type == "DepthToSpace" for node in rewritten.node) == len(wide)
    left = [n for n in rewritten.node if n.op_type == "Conv" and n.input[1] in kernels]
    assert {kernels[node.input[1]][:2] for node in left} == {(64, 3), (64, 64), (3, 64)}


def test_it_has_the_weights_and_the_contract_of_the_traced_graph(vgg19: Bundle) -> None:
    traced, rewritten = (onnx.load(vgg19.graph(name), load_external_data=False).graph for name in ("gradient", FOR_CPU))
    assert list(traced.input) == list(rewritten.input)
    assert list(traced.output) == list(rewritten.output)
    assert [(t.name, list(t.external_data)) for t in traced.initializer] == [
        (t.name, list(t.external_data)) for t in rewritten.initializer
    ]


def test_a_model_is_not_changed_in_place(bundle: Bundle) -> None:
    model = onnx.load(bundle.graph("gradient"), load_external_data=False)
    before = model.SerializeToString()
    assert for_cpu(model).SerializeToString() != before
    assert model.SerializeToString() == before
