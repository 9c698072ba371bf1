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
from nstbatch.runtime.painting.schedule import make_schedule
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
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
def test_settings_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_whitening_pays_where_the_style_dominates(vgg19: Bundle, samples: Path) -> None:
    engine = Engine(vgg19, Host(provider="cpu"))
    losses = {}
    for whitening in ("on", "off"):
        stylizer = Stylizer.open(
            engine, samples / "starry.jpg", size=64, scales="1", iterations=40, style_weight=1000.0, whitening=whitening
        )
        losses[whitening] = stylizer(read_picture(samples / "photos" / "town.jpg")).loss
    assert losses["on"] < 0.9 * losses["off"]
