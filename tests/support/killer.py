"""Kill a run at every call that changes the disk, and look at what it leaves.

    python tests/support/killer.py FOLDER [--scenario first|again] [--sabotage direct|late|unsynced] [--trace]

The command line runs in a child whose calls of open (for writing), write, fsync, replace, unlink and mkdir are counted; the
k-th call, for every k, is where it dies, of SIGKILL:

- ``before``, of the first, and ``after``, of each: the call is not made, or made;
- ``half``: of a write, half of the bytes arrive;
- ``power``: the call is made, and then the power fails, at its worst: of every file, what was written since its last fsync
  is half gone, and names that were given since their folder's last fsync are taken back.

Then the invariants are checked, and a second run must end with the files of an undisturbed one; it is tried once of each
state of the disk that the deaths leave, as many leave the same (an fsync changes no file). Prints counts as JSON.
``--sabotage`` breaks the program in one way, and ends at the first kill point that shows it: the harness can fail.
``--trace`` runs once, undisturbed, and prints the calls: strace tells whether any is missing.
"""

import argparse
import contextlib
import encodings.cp437  # noqa: F401 - of zip files
import gc
import io
import json
import os
import re
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.random
from PIL import Image

import nstbatch.cli.actions.paint
import nstbatch.cli.app
import seams
from nstbatch.cli.actions.jobs import Tools
from nstbatch.runtime.files.name import Name
from nstbatch.runtime.files.own import OwnFile
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.names import STATE
from seams import SeamEngine, files, picture

MODES = ("before", "after", "half", "power")

SCENARIOS = {
    # Into nothing; and in the place of older paintings, with everything that writes.
    "first": ["--iterations", "1"],
    "again": ["--iterations", "2", "--checkpoint", "0", "--status-file", "STATUS"],
}


class Disk:
    """Counts the calls that change files below ``top``, and dies at the ``fatal``-th."""

    def __init__(self, top: Path, fatal: int = 0, mode: str = "before") -> None:
        self.calls: list[str] = []
        self._top = str(top) + "/"
        self._fatal = fatal
        self._mode = mode
        self._unsynced: dict[str, int] = {}
        """Size of each file that has been opened for writing at its last fsync."""
        self._names: list[tuple[str, Callable[[], None]]] = []
        """Folder of each change of a name that its fsync has not made durable yet, and how to take it back."""
        self._real = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "unlink", "mkdir")}
        for name in self._real:
            setattr(os, name, getattr(self, name))

    def open(self, path: Any, flags: int, *rest: Any, **options: Any) -> int:
        name = self._path(path, options.get("dir_fd"))
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or not name.startswith(self._top):
            handle = self._real["open"](path, flags, *rest, **options)
        else:
            new = not os.path.exists(name)
            with self._call(f"open {name}"):
                handle = self._real["open"](path, flags, *rest, **options)
                self._unsynced[name] = 0 if flags & os.O_TRUNC else os.stat(name).st_size
                if new:
                    self._named(name, lambda: self._real["unlink"](name))
        return int(handle)

    def write(self, handle: int, data: Any) -> int:
        name = os.readlink(f"/proc/self/fd/{handle}")
        if not name.startswith(self._top):
            return int(self._real["write"](handle, data))
        half = bytes(data)[: len(data) // 2]
        with self._call(f"write {name}", half=lambda: self._real["write"](handle, half)):
            return int(self._real["write"](handle, data))

    def fsync(self, handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}")
        if not (name + "/").startswith(self._top):
            self._real["fsync"](handle)
            return
        with self._call(f"fsync {name}"):
            self._real["fsync"](handle)
            self._unsynced.pop(name, None)
            self._names = [(folder, undo) for folder, undo in self._names if folder != name]

    def replace(self, source: Any, target: Any, **options: Any) -> None:
        old_name, name = self._path(source, options.get("src_dir_fd")), self._path(target, options.get("dst_dir_fd"))
        if not name.startswith(self._top):
            self._real["replace"](source, target, **options)
            return
        with self._call(f"replace {name}"):
            old = _content(name)

            def undo() -> None:
                shutil.move(name, old_name)
                if old is not None:
                    Path(name).write_bytes(old)

            self._real["replace"](source, target, **options)
            if old_name in self._unsynced:
                self._unsynced[name] = self._unsynced.pop(old_name)
            self._named(name, undo)

    def unlink(self, path: Any, *rest: Any, **options: Any) -> None:
        name = self._path(path, options.get("dir_fd"))
        if not name.startswith(self._top):
            self._real["unlink"](path, *rest, **options)
            return
        with self._call(f"unlink {name}"):
            data = _content(name)
            self._real["unlink"](path, *rest, **options)
            if data is not None:
                self._named(name, lambda: Path(name).write_bytes(data) and None)

    def mkdir(self, path: Any, *rest: Any, **options: Any) -> None:
        name = self._path(path, options.get("dir_fd"))
        if not name.startswith(self._top):
            self._real["mkdir"](path, *rest, **options)
            return
        with self._call(f"mkdir {name}"):
            self._real["mkdir"](path, *rest, **options)
            self._named(name, lambda: shutil.rmtree(name))

    @staticmethod
    def _path(path: Any, folder: int | None) -> str:
        """The path of what a call names, by the descriptor of its folder or by itself."""
        above = "" if folder is None else os.readlink(f"/proc/self/fd/{folder}")
        return os.path.abspath(os.path.join(above, os.fsdecode(path)))

    def _named(self, name: str, undo: Callable[[], None]) -> None:
        self._names.append((os.path.dirname(name), undo))

    @contextlib.contextmanager
    def _call(self, what: str, half: Callable[[], object] | None = None) -> Iterator[None]:
        self.calls.append(what)
        fatal = len(self.calls) == self._fatal
        if fatal and self._mode == "half":
            if half is not None:
                half()
            self._die()
        if fatal and self._mode == "before":
            self._die()
        try:
            yield
        finally:
            if fatal and self._mode == "power":
                self._fail_power()
            if fatal:
                self._die()

    def _fail_power(self) -> None:
        for name, size in self._unsynced.items():
            if os.path.exists(name):
                now = os.stat(name).st_size
                os.truncate(name, min(size, now) + max(0, now - size) // 2)
        for _, undo in reversed(self._names):
            with contextlib.suppress(FileNotFoundError):
                undo()

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def _content(name: str) -> bytes | None:
    """Of a file; None for anything else, which is not to be opened."""
    path = Path(name)
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


# No bundle: an engine that is exact, and quick.
TOOLS = Tools(find_bundle=lambda *_, **__: seams.bundle(), make_engine=lambda *_: SeamEngine())


def child(
    arguments: list[str], top: Path, fatal: int = 0, mode: str = "before", seconds: int = 0
) -> tuple[int, list[str], list[Any]]:
    """Run the command line in a child, which SIGALRM ends after so many seconds; its status, its calls, and its events."""
    events, calls = top.with_suffix(".events"), top.with_suffix(".calls")
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(seconds)
        try:
            out = os.open(events, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            sys.stdout = os.fdopen(1, "w", buffering=1)
            disk = Disk(top, fatal, mode)
            sys.argv = ["nstbatch", *arguments]
            os.environ["NSTBATCH_CACHE_DIR"] = str(top / "cache")
            code = nstbatch.cli.app.run(TOOLS)
            sys.stdout.flush()
            calls.write_text("\n".join(disk.calls))
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    lines = [line for line in events.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return status, calls.read_text().splitlines() if calls.exists() else [], [json.loads(line) for line in lines]


def prepare(folder: Path) -> None:
    """Run once in this process: what a first run imports and keeps, no child has to."""
    Image.init()
    photo, style = picture(folder / "warm" / "photo.png", (40, 34)), picture(folder / "warm" / "style.png")
    sys.argv = ["nstbatch", str(photo), "--style", str(style), "-o", str(folder / "warm" / "out"), *SCENARIOS["again"]]
    sys.argv = [word.replace("STATUS", str(folder / "warm" / "status.json")) for word in sys.argv] + ["--json"]
    os.environ["NSTBATCH_CACHE_DIR"] = str(folder / "warm" / "cache")
    with contextlib.redirect_stdout(io.StringIO()):
        assert nstbatch.cli.app.run(TOOLS) == 0
    shutil.rmtree(folder / "warm")
    # What there is now is no child's to collect: it would copy the pages.
    gc.freeze()


def _direct(monkey: Any) -> None:
    """Write into the target itself, as rembg does."""

    def publish(temporary: OwnFile, name: Name) -> None:
        handle = os.open(temporary.root / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(handle, temporary.read())
        os.fsync(handle)
        os.close(handle)
        os.unlink(temporary.path)

    monkey.publish = publish


def _late(monkey: Any) -> None:
    """Journal after publishing, as one would at first."""
    append, publish = Journal.append, monkey.publish
    waiting: list[Any] = []

    def later(temporary: OwnFile, name: Name) -> None:
        publish(temporary, name)
        if waiting:
            append(*waiting.pop())

    Journal.append = lambda journal, entry: waiting.append((journal, entry))
    monkey.publish = later


def _unsynced(monkey: Any) -> None:
    """Rename what has not reached the disk."""
    stage = monkey.stage

    def quick(temporary: OwnFile, *arguments: Any) -> os.stat_result:
        fsync, os.fsync = os.fsync, lambda _: None
        try:
            return stage(temporary, *arguments)  # type: ignore[no-any-return]
        finally:
            os.fsync = fsync

    monkey.stage = quick


SABOTAGES: dict[str, Callable[[Any], None]] = {"direct": _direct, "late": _late, "unsynced": _unsynced}


class Trial:
    """One scenario in one folder."""

    def __init__(self, folder: Path, scenario: str) -> None:
        self.photos = folder / "photos"
        for seed, name in enumerate(("a.png", "b.jpg", "deep/c.png")):
            picture(self.photos / name, (40, 34), seed)
        self.style = picture(folder / "style.png", seed=9)
        self.top = folder / "work"
        self.start = folder / "start"
        self.start.mkdir()
        self.options = SCENARIOS[scenario]
        self.sources = files(self.photos)
        self.seen: set[frozenset[tuple[str, bytes, bool]]] = set()
        """States of the disk that a second run has been tried of."""
        if scenario == "again":
            self.reset()
            assert self.run(options=SCENARIOS["first"])[0] == 0
            shutil.rmtree(self.start)
            shutil.copytree(self.top, self.start)
        self.old = files(self.start / "out")
        self.reset()
        status, self.calls, _ = self.run()
        assert status == 0
        self.new = files(self.top / "out")
        assert len(self.new) == len(self.sources)
        assert all(self.new[name] != data for name, data in self.old.items())

    def reset(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)
        # With the times they had: a copy would be read again, which is right, and slow.
        shutil.copytree(self.start, self.top)

    def run(
        self, fatal: int = 0, mode: str = "before", options: list[str] | None = None
    ) -> tuple[int, list[str], list[Any]]:
        words = ["--style", self.style, "-o", self.top / "out", "-r", "--json", "--size", "34", "--scales", "1", "-q"]
        # The bundle says 64 channels, the engine has 3: without weight nothing would move from the photo.
        words += ["--style-weight", "5000", "--whitening", "off"]
        chosen = [str(self.top / "status.json") if word == "STATUS" else word for word in options or self.options]
        return child([str(word) for word in [self.photos, *words]] + chosen, self.top, fatal, mode)

    def kill(self, fatal: int, mode: str) -> dict[str, int]:
        """Kill at one call in one way; what was found wrong, by its name."""
        self.reset()
        status, _, _ = self.run(fatal, mode)
        assert os.WIFSIGNALED(status), "it was to die"
        found = {name: data for name, data in files(self.top / "out").items() if ".tmp" not in name}
        published = {name for name, data in found.items() if data == self.new[name]}
        wrong = {
            "torn": sum(data not in (self.old.get(name), self.new[name]) for name, data in found.items()),
            "lost before": sum(name not in found for name in self.old),
            "journal unreadable": int(Journal.read(self.top / "out").skipped > 1),
            "status torn": int(not self._status_is_whole()),
        }
        state = self._state()
        if state in self.seen:
            return wrong
        self.seen.add(state)
        status, _, events = self.run()
        painted = {
            Path(e["target"]).relative_to(self.top / "out").as_posix()
            for e in events
            if e["event"] == "picture" and e["outcome"] == "painted"
        }
        left = files(self.top / "out")
        wrong |= {
            "second run failed": int(status != 0),
            "pictures lost": sum(left.get(name) != data for name, data in self.new.items()),
            "pictures done twice": len(published & painted),
            "leftovers": len(set(left) - set(self.new)),
            "leftovers of the state": len(self._remembered() - {"journal.jsonl", "lock"}),
            "sources changed": int(files(self.photos) != self.sources),
        }
        _, _, events = self.run()
        wrong["not done after two runs"] = sum(e["event"] == "picture" and e["outcome"] != "up_to_date" for e in events)
        return wrong

    def _state(self) -> frozenset[tuple[str, bytes, bool]]:
        """Each file, what it holds, and whether the journal knows its time; less what differs between equal runs."""
        journal = self.top / "out" / STATE / "journal.jsonl"
        known = journal.read_bytes() if journal.exists() else b""
        return frozenset(
            (
                re.sub(r"[0-9a-f]{16}", "#", path.relative_to(self.top).as_posix()),
                _without_times(path.read_bytes()),
                str(path.stat().st_mtime_ns).encode() in known,
            )
            for path in self.top.rglob("*")
            if path.is_file()
        )

    def _remembered(self) -> set[str]:
        state = self.top / "out" / STATE
        return {path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file()}

    def _status_is_whole(self) -> bool:
        path = self.top / "status.json"
        return not path.exists() or json.loads(path.read_text())["v"] == 1


def _without_times(data: bytes) -> bytes:
    """A text less its numbers, a checkpoint less its seconds; anything else as it is."""
    with contextlib.suppress(UnicodeDecodeError):
        return re.sub(r"[\d.]+", "#", data.decode()).encode()
    with contextlib.suppress(ValueError, OSError, zipfile.BadZipFile), np.load(io.BytesIO(data)) as arrays:
        return b"".join(name.encode() + arrays[name].tobytes() for name in arrays.files if name != "seconds")
    return data


def main(folder: Path, scenario: str, sabotage: str | None = None) -> dict[str, Any]:
    """Try every kill point of a scenario, with a sabotage until one shows it; the counts."""
    began = time.monotonic()
    if sabotage is not None:
        SABOTAGES[sabotage](OwnFile)
    trial = Trial(folder, scenario)
    total: dict[str, int] = {}
    points = 0
    where: list[str] = []
    for fatal, call in enumerate(trial.calls, start=1):
        for mode in MODES:
            # Dead before a call is dead after the one before it.
            if (mode == "half" and not call.startswith("write")) or (mode == "before" and fatal > 1):
                continue
            points += 1
            wrong = trial.kill(fatal, mode)
            for name, count in wrong.items():
                total[name] = total.get(name, 0) + count
            if any(wrong.values()):
                found = {name: count for name, count in wrong.items() if count}
                where.append(f"{mode} call {fatal}, {call.replace(str(folder), '')}: {found}")
                if sabotage is not None:
                    return {"kill points": points, **total, "where": where}
    seconds = round(time.monotonic() - began)
    counts = {"calls": len(trial.calls), "kill points": points, "states": len(trial.seen)}
    return counts | total | {"where": where[:20], "seconds": seconds}


def parse() -> argparse.Namespace:
    """The command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=lambda name: Path(name).resolve())
    parser.add_argument("--scenario", choices=SCENARIOS, default="first")
    parser.add_argument("--sabotage", choices=SABOTAGES)
    parser.add_argument("--trace", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    asked = parse()
    asked.folder.mkdir(parents=True)
    prepare(asked.folder)
    if asked.trace:
        print(json.dumps(Trial(asked.folder, asked.scenario).calls))
    else:
        print(json.dumps(main(asked.folder, asked.scenario, asked.sabotage), indent=2))
