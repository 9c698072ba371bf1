"""Command line: words, options, progress and exit codes. No arithmetic."""

import contextlib
import os
import signal
import sys

_INTERRUPTED = 130
"""`ExitCode.INTERRUPTED`, before anything is imported."""


def main() -> None:
    """Entry point of the console script."""
    # A service manager's SIGTERM is a user's Ctrl-C, and so is the end of the terminal, unless nohup says otherwise.
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        # Here, since it takes half a second in which somebody may change their mind.
        from .app import run

        code = run()
        _flush()
        if code != _INTERRUPTED:
            # It is decided: at Python's end, a signal would have the system's meaning.
            for number in (signal.SIGINT, *numbers):
                signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        # Not by way of Python's end, in which a second signal would have the system's meaning, and a closed terminal an exit
        # code of its own.
        _flush()
        os._exit(code)
    sys.exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
