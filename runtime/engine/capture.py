"""Steps that CUDA captures once and replays."""

from itertools import count


class Captures:
    """Numbers of captured graphs, until CUDA cannot capture one.

    Args:
        wanted: whether there are to be any.

    Attributes:
        failure: why CUDA could not; None if nothing went wrong.
    """

    def __init__(self, wanted: bool) -> None:
        # ONNX Runtime takes 0 for itself.
        self._numbers = count(1) if wanted else None
        self.failure: str | None = None

    def __bool__(self) -> bool:
        return self._numbers is not None

    def take(self) -> int | None:
        """The number of the next; None if there are to be no more."""
        return None if self._numbers is None else next(self._numbers)

    def give_up(self, why: str) -> None:
        """Take no more."""
        self._numbers, self.failure = None, why
