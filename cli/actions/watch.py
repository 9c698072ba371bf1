"""What ``nstbatch watch`` does."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...runtime.errors import ExitCode, NstbatchError, UsageError, first_line
from ...runtime.files.location import is_folder
from ...runtime.recipe.keywords import Options
from ..text import say
from .jobs import Tools
from .paint import paint

QUIET = 2.0
"""Seconds without a change after which a photo has arrived whole."""

Changes = Callable[[Sequence[Path], bool], Iterator[object]]
"""Gives something each time that folders, and with the flag those below them, have changed and are quiet again."""


def watch(options: Options, tools: Tools | None = None, changes: Changes | None = None) -> ExitCode:
    """Paint what is in folders, and again whenever something has arrived there.

    Args:
        options: of `paint`.
        tools: see there.
        changes: waits; None for `arrivals`.

    Returns:
        The exit code of a run that was stopped, or could not go on.

    Raises:
        UsageError: something else than folders of this host is named, or a package is missing.
        KeyboardInterrupt: it was stopped while it waited.
    """
    folders = options["photos"]
    if not folders or not all(isinstance(path, Path) and is_folder(path) for path in folders):
        raise UsageError("watch takes folders of this host: nstbatch watch FOLDER --style PICTURE")
    # From before the first run: what arrives while it goes on is not missed.
    waiting = (changes or arrivals)(folders, options.get("recursive", False))
    options = {**options, "wait": True}
    code = paint(options, tools)
    while code in (ExitCode.OK, ExitCode.SOME_FAILED):
        if not options.get("quiet"):
            say(f"waiting for photos in {', '.join(map(str, folders))}")
        next(waiting)
        try:
            code = paint(options, tools)
        except UsageError as error:
            # What has arrived does not go together, such as two photos of one name; that can be mended.
            say(str(error))
    return code


def arrivals(folders: Sequence[Path], recursive: bool) -> Iterator[object]:
    """See `Changes`. Looks on from now, not from the first `next`.

    Raises:
        UsageError: the package that watches folders is not installed.
    """
    try:
        from watchfiles import watch as changes_of
    except ImportError:
        raise UsageError("watch takes another package: `pip install 'nstbatch[watch]'`") from None
    found: queue.SimpleQueue[set[str] | Exception] = queue.SimpleQueue()
    step = round(1000 * QUIET)

    def look() -> None:
        seen = changes_of(
            *folders, watch_filter=None, recursive=recursive, debounce=10 * step, step=step, raise_interrupt=False
        )
        try:
            for changed in seen:
                found.put({name for _, name in changed})
        except Exception as error:  # of the package, or of the kernel whose watches are used up
            found.put(error)

    threading.Thread(target=look, name="watch", daemon=True).start()

    def each() -> Iterator[object]:
        while True:
            # Not without end, in which Python would take no signal.
            with contextlib.suppress(queue.Empty):
                changed = found.get(timeout=_TURN)
                if isinstance(changed, Exception):
                    raise NstbatchError(f"the folders cannot be watched any more ({first_line(changed)})")
                yield _settled(changed)

    return each()


_TURN = 0.5
"""Seconds."""


def _settled(paths: set[str]) -> set[str]:
    """Files that have changed, once none of them grows any more."""
    before = None
    while (now := {name: _size(name) for name in paths}) != before:
        before = now
        time.sleep(QUIET)
    return paths


def _size(name: str) -> int:
    try:
        return Path(name).stat().st_size
    except OSError:
        return -1
