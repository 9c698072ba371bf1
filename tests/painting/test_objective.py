"""The whitened objective."""

from pathlib import Path

import numpy as np
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.schedule import DAMPING
from nstbatch.runtime.recipe.presets import LossWeights


def test_the_whitened_metric_makes_all_directions_count_alike() -> None:
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    values = 10.0 ** -np.arange(6)
    gram = (vectors * values) @ vectors.T
    targets = Targets({}, {"gram.relu1_1": gram[None].astype(np.float32)})
    assert (targets.metrics()["metric.relu1_1"][0] == np.eye(6)).all()
    metric = targets.metrics(DAMPING)["metric.relu1_1"][0]
    np.testing.assert_allclose(np.diag(vectors.T @ metric @ vectors), DAMPING / (values + DAMPING), rtol=1e-3)
    assert np.isfinite(Targets({}, {"gram.x": np.zeros((1, 4, 4), np.float32)}).metrics(DAMPING)["metric.x"]).all()


@pytest.mark.slow
def test_the_whitened_gradient_is_that_of_the_whitened_loss(bundle: Bundle, samples: Path) -> None:
    engine = Engine(bundle, Host(provider="cpu"))
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.standard_normal((3, 1, 3, 40, 48)), axis=3), axis=4)
    photo, style, direction = ((a - a.min()) / (a.max() - a.min()) * 255 for a in smooth)
    targets = Targets(encode(engine, photo.astype(np.float32)).contents, encode(engine, np.array(style, np.float32)).grams)
    objective = Objective(engine, targets, balance(LossWeights(1.0, 1000.0, 0.0), targets), DAMPING)
    x = (0.5 * photo + 0.5 * style).astype(np.float32)
    _, gradient, _ = objective(x)
    direction = (direction - direction.mean()).astype(np.float32)
    above, below = (objective(x + np.float32(h) * direction)[0] for h in (2e-3, -2e-3))
    assert (above - below) / 4e-3 == pytest.approx(float((gradient * direction).sum()), rel=2e-2)
