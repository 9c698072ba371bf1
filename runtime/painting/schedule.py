"""What is evaluated when, within a level of size."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..recipe.provider import Precision
from ..recipe.settings import Settings
from ..recipe.size import Size

DAMPING = 0.02
"""Of the whitened metric, see `Targets.metrics`; ``bench/ideas.py`` tries others."""

_EXACT = 12
"""With mixed precision, one of so many evaluations of the last level is in float32: the last steps, and the loss that is
reported, are float32's own."""


@dataclass(frozen=True)
class Phase:
    """Evaluations of one kind.

    Attributes:
        evaluations: their number, at least 1.
        damping: of the whitened metric; None for the objective itself.
        precision: of the evaluations.
    """

    evaluations: int
    damping: float | None
    precision: str


def evaluation_work(size: Size) -> int:
    """What an evaluation costs, in that of a pixel: small ones cost more for each."""
    return size.pixels + _CALL


_CALL = 3000
"""Pixels that cost what an evaluation costs besides its own: a pixel of 96 x 67 costs one and a half times what one of
512 x 341 does (bench/scale.py)."""


def precisions_of(settings: Settings, available: Sequence[str]) -> tuple[str, ...]:
    """The precisions that evaluations are made in: the early work's, and the last one's where that is another.

    Args:
        settings: of the optimisation.
        available: that the provider computes in, the quickest last.
    """
    chosen = settings.precision
    return (available[-1], Precision.FLOAT32) if chosen == Precision.MIXED else (chosen,)


def make_schedule(settings: Settings, precisions: Sequence[str], *, last: bool) -> list[Phase]:
    """Phases of a level; those of the last one end with the objective itself in the best precision.

    Where the style dominates, its Gram matrices' few large eigenvalues make the objective ill-conditioned: L-BFGS spends
    its evaluations on them while the many small ones, which make the texture, wait. Compared in the metric
    d (A / lambda + d·I)⁻¹ all count alike (Gauss-Newton of the style term then has a flat spectrum), and the whitened
    minimum is a start from which the objective itself is soon at losses that it reaches late alone. The factor d keeps the
    whitened term below the term itself: with a larger one the coarse levels follow the style so far that little of the
    photo comes back, at equal loss. This is ours, not in the papers; ``bench/ideas.py`` measures it.

    Args:
        settings: of the optimisation.
        precisions: of the early work and of the end; one, where they are the same.
        last: whether it is the last level.
    """
    early, late = precisions[0], precisions[-1]
    total = settings.iterations
    if not last:
        return [Phase(total, DAMPING if settings.whitens else None, early)]
    whitened = total // 2 if settings.whitens else 0
    exact = total - whitened if early == late else max(1, round(total / _EXACT))
    phases = [
        Phase(whitened, DAMPING, early),
        Phase(total - whitened - exact, None, early),
        Phase(exact, None, late),
    ]
    return [phase for phase in phases if phase.evaluations > 0]
