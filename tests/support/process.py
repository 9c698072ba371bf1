"""The command line in a process of its own, while it runs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

MAIN = (sys.executable, "-c", "from nstbatch.cli import main; main()")

Call = Callable[..., subprocess.CompletedProcess[str]]
"""The fixture `nstbatch`: the command line in a process of its own, of these arguments."""

QUICK = ("--size", "40", "--iterations", "2", "--scales", "1")

LONG = ("--size", "44", "--iterations", "100000", "--scales", "1")
"""Works until it is stopped."""


class Process:
    """A run whose events are read as they come.

    Args:
        arguments: of nstbatch; ``--json`` is added.
        cache: its cache.
    """

    def __init__(self, *arguments: object, cache: Path) -> None:
        env = {"NSTBATCH_CACHE_DIR": str(cache), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        self._run = subprocess.Popen(
            [*map(str, [*MAIN, *arguments, "--json"])],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._run.pid
        self.events: list[dict[str, Any]] = []
        self.errors = ""
        self._queue: Queue[dict[str, Any] | None] = Queue()
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for thread in self._threads:
            thread.start()

    def until(self, kind: str, **fields: object) -> dict[str, Any]:
        """The next event of a kind with these fields."""
        while True:
            event = self._queue.get(timeout=120)
            assert event is not None, f"it ended before {kind}: {self.events} {self.errors}"
            if event["event"] == kind and fields.items() <= event.items():
                return event

    def send(self, number: int) -> None:
        self._run.send_signal(number)

    def end(self, timeout: float = 120) -> int:
        """Wait for the end; the exit code."""
        code = self._run.wait(timeout)
        for thread in self._threads:
            thread.join()
        return code

    def pictures(self) -> dict[str, str]:
        """Outcomes by name."""
        return {Path(e["source"]).name: e["outcome"] for e in self.events if e["event"] == "picture"}

    def _read(self) -> None:
        assert self._run.stdout is not None
        for line in self._run.stdout:
            self.events.append(json.loads(line))
            self._queue.put(self.events[-1])
        self._queue.put(None)

    def _read_errors(self) -> None:
        assert self._run.stderr is not None
        self.errors = self._run.stderr.read()
