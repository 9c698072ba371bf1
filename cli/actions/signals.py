"""SIGINT and SIGTERM: the first asks a run to stop, the second leaves at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from ...runtime.errors import ExitCode
from ...runtime.stop import Stop, StopReason

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CLOSE = b"\0"


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
    handled = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    thread = threading.Thread(target=_take, args=(reading, stop, drop, note), name="signals", daemon=True)
    # Python writes a signal's number to the pipe at once; the handlers only keep it from doing what it would by default.
    before = {number: signal.signal(number, lambda *_: None) for number in handled}
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            # On the way out a second signal still leaves at once.
            signal.signal(number, _leave if stop.reason is StopReason.INTERRUPTED else handler)
        os.write(writing, _CLOSE)
        thread.join()
        os.close(reading)
        os.close(writing)


def _leave(*_: object) -> None:
    # Every file is whole at every moment, and the lock is the kernel's to release.
    os._exit(ExitCode.INTERRUPTED)


def _take(reading: int, stop: Stop, drop: bool, note: Callable[[str], None]) -> None:
    taken = 0
    while (byte := os.read(reading, 1)) != _CLOSE:
        if byte[0] not in _SIGNALS:
            continue
        taken += 1
        if taken > 1:
            _leave()
        what = "dropping" if drop else "finishing"
        # First the request: the note may take long, if nobody reads.
        stop.request(StopReason.INTERRUPTED, drop=drop)
        note(f"interrupted: {what} the picture in work; once more to leave at once")
