"""Each name makes its optimizer, and each place its vectors."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nstbatch.runtime.engine.binding import Place
from nstbatch.runtime.optimizer.choose import make_optimizer
from nstbatch.runtime.optimizer.first_order import FIRST_ORDER
from nstbatch.runtime.optimizer.step_vectors import StepRequest
from nstbatch.runtime.recipe.settings import OPTIMIZERS, Settings


def test_every_name_is_an_optimiser() -> None:
    assert set(OPTIMIZERS) == {"lbfgs", *FIRST_ORDER}


@pytest.mark.parametrize(
    ("holds", "vectors", "average", "there"),
    [
        (True, "auto", 0.0, True),
        (True, "auto", 0.9, False),
        (True, "device", 0.9, True),
        (False, "auto", 0.0, False),
    ],
)
def test_vectors_lie_where_the_engine_holds_them_but_for_an_average(
    holds: bool, vectors: str, average: float, there: bool
) -> None:
    engine: Any = SimpleNamespace(holds_vectors=holds, place=Place("cpu"), host=SimpleNamespace(vectors=vectors))
    optimizer = make_optimizer(engine, Settings(average=average), np.zeros((1, 3, 8, 8), np.float32), 1.0)
    assert isinstance(optimizer.ask(), StepRequest) == there
