"""What the graph of a step reads, writes and reports, see `exporter.step`: agreed between it and the optimizer.

The vectors of an image are rows of one array, ``[Q, 3, H, W]``. A run is told which rows it reads and writes by a few
numbers, its control, and answers with a few numbers, its report.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

READ = ("x", "gradient")
"""Rows that a run reads by themselves, in the order of the control: the iterate and the projected gradient there."""

WRITTEN = ("x", "gradient", "s", "y", "step", "raw", "conditioned", "w")
"""Rows that a run writes, in the order of control and report. Of the image that is evaluated: itself, its projected
gradient, its difference s from the iterate, the difference y of their gradients, the whole step, the gradient as it is, and
P times the projected gradient and y."""

SUMS = 3
"""Sums of absolute values in a report, one for each color."""


@dataclass(frozen=True)
class Report:
    """What a run says of an image.

    Attributes:
        magnitude: sum of the gradient's absolute values; not finite where an element is not.
        products: of each row with each of `WRITTEN`, ``[Q, 8]``.
        losses: unweighted.
    """

    magnitude: float
    products: NDArray[np.float64]
    losses: NDArray[np.float64]

    @classmethod
    def of(cls, numbers: NDArray[np.float32], rows: int) -> "Report":
        """Take a report apart, for as many rows."""
        wide = numbers.astype(np.float64)
        end = SUMS + rows * len(WRITTEN)
        return cls(float(wide[:SUMS].sum()), wide[SUMS:end].reshape(rows, -1), wide[end:])


def control_size(rows: int) -> int:
    """How many numbers tell a run what to do: a factor of each row, the part of the step, and the rows read and written."""
    return rows + 1 + len(READ) + len(WRITTEN)
