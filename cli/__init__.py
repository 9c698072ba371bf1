"""Command line: words, options, progress and exit codes. No arithmetic."""

import signal
import sys

_INTERRUPTED = 130
"""`ExitCode.INTERRUPTED`, before anything is imported."""


def main() -> None:
    """Entry point of the console script."""
    # A service manager's SIGTERM is a user's Ctrl-C; while pictures are painted both are taken by `stopping`.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Here, since it takes half a second in which somebody may change their mind.
        from .app import run

        code = run()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)
