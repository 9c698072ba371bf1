"""Signals: the first asks a run to stop, the second leaves at once."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...runtime.errors import ExitCode
from ...runtime.stop import SIGNALS, Stop, StopReason

_CLOSE = b"\0"


_SHOW_CURSOR = b"\x1b[?25h"
"""DECTCEM: a bar has hidden it."""


@dataclass
class Interruption:
    """Whether a signal has come."""

    taken: bool = False


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Let the first signal interrupt the program as Ctrl-C does, wherever it is, and a second one leave at once."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        # Signals are the business of whoever has called.
        yield interruption
        return

    def take(*_: object) -> None:
        if interruption.taken:
            _leave()
        interruption.taken = True
        raise KeyboardInterrupt

    before = {number: signal.signal(number, take) for number in _handled()}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, _leave if interruption.taken or signal.getsignal(number) is _leave else handler)


def _handled() -> list[signal.Signals]:
    """Those that are not ignored, as nohup and shells have it for what is to outlive them."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def stopping(stop: Stop, *, drop: bool, note: Callable[[str], None]) -> Iterator[None]:
    """Let signals make requests to ``stop``.

    A thread of its own takes them: Python runs handlers in the main thread only, between two of its instructions, and an
    evaluation of a large picture is one instruction that takes minutes. A signal that is ignored stays ignored.

    Args:
        stop: the run.
        drop: whether the picture in work is given up.
        note: is called with what happens, for the user.
    """
    handled = _handled()
    # A pair of sockets: of Windows' pipes nobody can be told when to read.
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    thread = threading.Thread(target=_take, args=(reading, stop, drop, note), name="signals", daemon=True)
    # Python sends a signal's number at once; the handlers only keep it from doing what it would by default.
    before = {number: signal.signal(number, lambda *_: None) for number in handled}
    previous = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            # On the way out a second signal still leaves at once.
            signal.signal(number, _leave if stop.reason is StopReason.INTERRUPTED else handler)
        writing.send(_CLOSE)
        thread.join()
        reading.close()
        writing.close()


def _leave(*_: object) -> None:
    for handle in (1, 2):
        with contextlib.suppress(OSError):
            if os.isatty(handle):
                os.write(handle, _SHOW_CURSOR)
    # Every file is whole at every moment, and the lock is the kernel's to release.
    os._exit(ExitCode.INTERRUPTED)


def _take(reading: socket.socket, stop: Stop, drop: bool, note: Callable[[str], None]) -> None:
    taken = 0
    while (byte := reading.recv(1)) != _CLOSE:
        if byte[0] not in SIGNALS:
            continue
        taken += 1
        if taken > 1:
            _leave()
        what = "dropping" if drop else "finishing"
        # First the request: the note may take long, if nobody reads.
        stop.request(StopReason.INTERRUPTED, drop=drop)
        with contextlib.suppress(OSError):
            note(f"interrupted: {what} the picture in work; once more to leave at once")
