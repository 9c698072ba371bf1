"""A request to end a run early, made from any thread: by a signal, by a deadline, by a program."""

import signal
import threading
from collections.abc import Callable
from enum import Enum

from .errors import ExitCode

SIGNALS = tuple(
    signal.Signals(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""Signals that ask a run to stop: Windows has no SIGHUP, and a SIGBREAK instead."""


class StopReason(Enum):
    """Why a run ends early; the value is the word for the user."""

    INTERRUPTED = "interrupted"
    DEADLINE = "deadline reached"
    FAILURE = "a picture failed"

    @property
    def exit_code(self) -> ExitCode:
        """Code that a run ends with for this reason."""
        return {
            StopReason.INTERRUPTED: ExitCode.INTERRUPTED,
            StopReason.DEADLINE: ExitCode.DEADLINE,
            StopReason.FAILURE: ExitCode.SOME_FAILED,
        }[self]


class DroppedError(Exception):
    """The picture in work is given up, since its run was asked to stop. Not an error of the picture.

    Attributes:
        kept: whether its state is in a checkpoint.
    """

    def __init__(self, kept: bool = False) -> None:
        super().__init__()
        self.kept = kept


class Stop:
    """Asks a run to end, at once or after the picture in work.

    Attributes:
        reason: of the first request; None while there is none.
        dropping: whether the picture in work is to be given up.
    """

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.dropping = False
        self._at_once: list[Callable[[], None]] = []
        # Reentrant: a signal may arrive while the same thread makes a request.
        self._lock = threading.RLock()

    def request(self, reason: StopReason, *, drop: bool) -> None:
        """Ask for the end; with ``drop`` the picture in work is given up. A later request may only hurry it."""
        with self._lock:
            self.reason = self.reason or reason
            if not drop or self.dropping:
                return
            self.dropping = True
            callbacks = list(self._at_once)
        for callback in callbacks:
            callback()

    def when_dropping(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, from the requesting thread, when the picture in work is to be given up."""
        with self._lock:
            self._at_once.append(callback)
            already = self.dropping
        if already:
            callback()

    def check(self) -> None:
        """Called between evaluations.

        Raises:
            DroppedError: the picture in work is to be given up.
        """
        if self.dropping:
            raise DroppedError
