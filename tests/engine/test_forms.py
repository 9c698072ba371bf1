"""Which form of a graph is run."""

import numpy as np
import pytest

from nstbatch.runtime.bundle.spec import FOR_GPU, GRADIENT, LEAN, STEP, STEPS, TV_WEIGHT, Bundle
from nstbatch.runtime.engine.forms import form_for

EYE = np.eye(4, dtype=np.float32)[None]
FEEDS = {"image": np.zeros(1), "metric.relu1_1": EYE, "metric.relu2_1": EYE, TV_WEIGHT: np.zeros((), np.float32)}


@pytest.mark.parametrize(("graph", "full", "lean"), [(GRADIENT, FOR_GPU, LEAN), (STEP, *STEPS)])
def test_cuda_takes_the_lean_form_where_there_is_no_metric_and_no_variation(
    graph: str, full: str, lean: str, bundle: Bundle
) -> None:
    form, feeds = form_for("cuda", bundle, graph, FEEDS)
    assert form == lean
    assert list(feeds) == ["image"]
    for changed in ({TV_WEIGHT: np.float32(0.1)}, {"metric.relu2_1": 2 * EYE}):
        form, feeds = form_for("cuda", bundle, graph, FEEDS | changed)
        assert (form, feeds) == (full, FEEDS | changed)


@pytest.mark.parametrize("provider", ["cpu", "openvino", "tensorrt"])
def test_others_take_the_gradient_as_traced(provider: str, bundle: Bundle) -> None:
    assert form_for(provider, bundle, GRADIENT, FEEDS) == (GRADIENT, FEEDS)
    assert form_for("cuda", bundle, "encode", {}) == ("encode", {})
