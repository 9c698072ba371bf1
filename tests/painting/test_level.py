"""When a level ends."""

from pathlib import Path

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.painting.stylizer import Stylizer


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
