"""Phases of a level: what is evaluated when, and when it ends."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.optimizer.interface import Status
from nstbatch.runtime.optimizer.lbfgs import LBFGS
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.schedule import DAMPING, make_schedule
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recipe.presets import LossWeights
from nstbatch.runtime.recipe.settings import Settings
from seams import Feeds, SeamEngine, picture


class Recorder(SeamEngine):
    """Remembers precision and metric of each gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.precisions = ("float32", "bfloat16")
        self.made: list[tuple[tuple[int, ...], str, bool]] = []

    def run(self, graph: str, feeds: Feeds, precision: str = "float32") -> list[np.ndarray]:
        if graph == "gradient":
            plain = bool((feeds["metric.relu1_1"][0] == np.eye(3)).all())
            self.made.append((feeds["image"].shape[2:], precision, plain))
        return super().run(graph, feeds, precision)


@settings(max_examples=100, deadline=None)
@given(
    iterations=st.integers(1, 400),
    precisions=st.sampled_from([("float32",), ("bfloat16",), ("bfloat16", "float32"), ("tf32", "float32")]),
    whitening=st.sampled_from(["auto", "on", "off"]),
    style_weight=st.sampled_from([1.0, 299.0, 300.0, 1e4]),
    last=st.booleans(),
)
def test_a_schedule_has_every_evaluation_and_ends_with_the_objective(
    iterations: int, precisions: tuple[str, ...], whitening: str, style_weight: float, last: bool
) -> None:
    chosen = Settings(iterations=iterations, whitening=whitening, style_weight=style_weight)
    phases = make_schedule(chosen, precisions, last=last)
    assert sum(phase.evaluations for phase in phases) == iterations
    assert all(phase.evaluations > 0 for phase in phases)
    if last:
        assert phases[-1].damping is None
        assert phases[-1].precision == precisions[-1]
    whitened = whitening == "on" or (whitening == "auto" and style_weight >= 300)
    assert any(phase.damping is not None for phase in phases) == (whitened and not (last and iterations == 1))
    assert {phase.precision for phase in phases} <= set(precisions)


def test_what_is_evaluated(tmp_path: Path) -> None:
    engine = Recorder()
    stylizer = Stylizer.open(
        engine, picture(tmp_path / "s.png", seed=1), size=48, scales="32,48", iterations=6, precision="mixed", whitening="on"
    )
    result = stylizer(read_picture(picture(tmp_path / "p.png", (48, 48))))
    coarse, fine = [((32, 32), "bfloat16", False)] * 6, (48, 48)
    early = [(fine, "bfloat16", False)] * 3 + [(fine, "bfloat16", True)] * 2
    assert engine.made == [*coarse, *early, (fine, "float32", True)]
    assert result.whitened.tolist() == [True] * 9 + [False] * 3
    assert result.loss == result.losses.total[9:].min(), "the loss of a result is the objective's own"


@pytest.mark.parametrize("wrong", [{"precision": "float16"}, {"whitening": "yes"}, {"tolerance": -0.1}, {"tolerance": 1.0}])
def test_settings_that_cannot_be_meant(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_level_ends_when_the_loss_stops_paying(bundle: Bundle, samples: Path) -> None:
    engine = Engine(bundle, Host(provider="cpu"))

    def paint(tolerance: float, scales: str = "48,64") -> tuple[list[int], str, float]:
        stylizer = Stylizer.open(engine, samples / "starry.jpg", scales=scales, iterations=120, tolerance=tolerance)
        result = stylizer(samples / "photos" / "town.jpg")
        return [int((result.sizes == size).sum()) for size in (48, 64)], result.status, result.loss

    everything, status, full = paint(0.0)
    assert (everything, status) == ([120, 120], "all iterations done")
    (coarse, fine), status, loss = paint(0.01)
    assert 10 < fine < 120
    assert status == f"stopped after {fine} of 120 iterations, the loss fell by less than the tolerance"
    assert full < loss < 1.3 * full
    eager, _, _ = paint(0.05)
    assert sum(eager) < coarse + fine
    # The same level, once as the last and once as one whose evaluations cost a fraction: there it may go on for longer.
    assert coarse > paint(0.01, "48")[0][0]


def test_rebase_keeps_or_forgets_curvature() -> None:
    rng = np.random.default_rng(0)
    diagonal = np.exp(rng.normal(0, 2, 200)).astype(np.float32)
    start = rng.normal(0, 1, 200).astype(np.float32)

    def minimise(optimiser: LBFGS, evaluations: int, offset: float = 0.0) -> None:
        for _ in range(evaluations):
            if not optimiser.done:
                gradient = diagonal * (optimiser.ask() - np.float32(offset))
                optimiser.tell(0.5 * float(gradient @ (optimiser.ask() - np.float32(offset))), gradient)

    losses = {}
    for forget in (False, True):
        optimiser = LBFGS(start)
        minimise(optimiser, 30)
        optimiser.rebase(forget=forget)
        assert (optimiser.ask() == optimiser.x).all()
        minimise(optimiser, 12, offset=1e-3)
        losses[forget] = optimiser.loss
    assert losses[False] < losses[True], "of almost the same function, the old curvature is worth having"

    optimiser = LBFGS(np.zeros(3))
    optimiser.tell(0.0, np.zeros(3, np.float32))
    assert optimiser.status is Status.CONVERGED
    optimiser.rebase(forget=True)
    assert not optimiser.done, "of another function this need not be the minimum"


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
def test_whitening_pays_where_the_style_dominates(bundle: Bundle, samples: Path) -> None:
    engine = Engine(bundle, Host(provider="cpu"))
    losses = {}
    for whitening in ("on", "off"):
        stylizer = Stylizer.open(
            engine, samples / "starry.jpg", size=96, scales="48,96", iterations=40, style_weight=1000.0, whitening=whitening
        )
        losses[whitening] = stylizer(read_picture(samples / "photos" / "town.jpg")).loss
    assert losses["on"] < 0.9 * losses["off"]


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
