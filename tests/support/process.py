"""The command line in a process of its own."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from typing import Any

MAIN = (sys.executable, "-c", "from nstbatch.cli import main; main()")

Call = Callable[..., subprocess.CompletedProcess[str]]
"""The fixture `nstbatch`: the command line in a process of its own, of these arguments."""

QUICK = ("--size", "40", "--iterations", "2", "--scales", "1")

LONG = ("--size", "44", "--iterations", "100000", "--scales", "1")
"""Works until it is stopped."""


def _main(arguments: list[str], environment: dict[str, str], *writers: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, writer in enumerate(writers, start=1):
        os.dup2(writer.fileno(), number)
        writer.close()
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.argv = ["nstbatch", *arguments]
    from nstbatch.cli import main

    main()


class Child:
    """The command line, forked from a server that has imported what a run imports: half a second less for each of a hundred.

    Where the start itself is looked at, use `MAIN`.

    Args:
        arguments: of nstbatch.
        environment: all of it.
        hear: is called with each line of standard output as it comes, in a thread.
    """

    def __init__(
        self, arguments: list[str], environment: dict[str, str], hear: Callable[[str], None] = lambda line: None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["nstbatch.cli.app", "nstbatch.cli.actions.paint", "onnxruntime"])
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        self._hear = hear
        self._process = context.Process(target=_main, args=(arguments, environment, *(writer for _, writer in pipes)))
        self._process.start()
        self.pid: int = self._process.pid  # type: ignore[assignment]
        self.output = self.errors = ""
        readers = zip((self._read, self._read_errors), pipes, strict=True)
        self._threads = [threading.Thread(target=read, args=(reader,), daemon=True) for read, (reader, _) in readers]
        for thread, (_, writer) in zip(self._threads, pipes, strict=True):
            writer.close()
            thread.start()

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, timeout: float = 120) -> int:
        """Wait for the end; the exit code, or of a signal its number below 0."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"not done after {timeout} s: {self.output} {self.errors}")
        for thread in self._threads:
            thread.join()
        return self._process.exitcode

    def _read(self, reader: Connection) -> None:
        with open(os.dup(reader.fileno())) as file:
            for line in file:
                self.output += line
                self._hear(line)

    def _read_errors(self, reader: Connection) -> None:
        with open(os.dup(reader.fileno())) as file:
            self.errors = file.read()


class Process(Child):
    """A run whose events are read as they come.

    Args:
        arguments: of nstbatch; ``--json`` is added.
        cache: its cache.
    """

    def __init__(self, *arguments: object, cache: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._queue: Queue[dict[str, Any] | None] = Queue()
        environment = {"NSTBATCH_CACHE_DIR": str(cache), "PATH": os.environ["PATH"]}
        super().__init__([*map(str, arguments), "--json"], environment, self._event)

    def until(self, kind: str, **fields: object) -> dict[str, Any]:
        """The next event of a kind with these fields."""
        while True:
            event = self._queue.get(timeout=120)
            assert event is not None, f"it ended before {kind}: {self.events} {self.errors}"
            if event["event"] == kind and fields.items() <= event.items():
                return event

    def pictures(self) -> dict[str, str]:
        """Outcomes by name."""
        return {Path(e["source"]).name: e["outcome"] for e in self.events if e["event"] == "picture"}

    def _event(self, line: str) -> None:
        self.events.append(json.loads(line))
        self._queue.put(self.events[-1])

    def _read(self, reader: Connection) -> None:
        super()._read(reader)
        self._queue.put(None)
