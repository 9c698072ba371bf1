"""Each name makes its optimizer."""

from nstbatch.runtime.optimizer.first_order import FIRST_ORDER
from nstbatch.runtime.recipe.settings import OPTIMIZERS


def test_every_name_is_an_optimiser() -> None:
    assert set(OPTIMIZERS) == {"lbfgs", *FIRST_ORDER}
