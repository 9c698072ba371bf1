"""Paint, kill, damage what nstbatch has made, put other things in its place, and run again, in any order.

    python tests/support/damage.py EXAMPLES [--seed N] [--sabotage]

First each thing is put in each place, by itself. Then each example is a few steps, chosen by hypothesis. After each run:
what lies outside of the output and of the cache is as it was; every painting that was whole is whole; the run has ended in
time, by itself unless it was killed, and with an exit code that is documented; and after 0 every painting is there, whole.
Prints counts as JSON.

``--sabotage`` has the program enter folders by way of links: the check can fail.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from killer import child, prepare
from nstbatch.runtime.errors import ExitCode
from nstbatch.runtime.files import folders
from nstbatch.runtime.output.checkpoint import Checkpoint
from nstbatch.runtime.output.names import Key, temporary_name
from seams import picture

SECONDS = 60
"""In which a run has to end: it takes a quarter of one."""

OPTIONS = ("--size", "34", "--scales", "1", "--iterations", "2", "--style-weight", "5000", "--whitening", "off", "--report")

MODES = ("before", "after", "half", "power")

DAMAGES = ("cut", "flip", "more", "empty", "rubbish", "binary", "json", "deep")

THINGS = (
    "nothing",
    "link to a file",
    "hard link",
    "link to a folder",
    "dangling",
    "fifo",
    "socket",
    "device",
    "folder",
    "full folder",
)

CHECKPOINT = f"checkpoints/{Checkpoint(Path(), Key('a.png')).path.name}"

PLACES = (
    # Folders first: a sabotage shows there.
    *("../.nstbatch", "checkpoints", "../report_files", "../deep", "../../cache/styles"),
    *("journal.jsonl", "journal-1-of-2.jsonl", "runs.jsonl", "holder.json", "lock", "status.json", "easel.jpg"),
    *(".0123456789abcdef.tmp", CHECKPOINT, CHECKPOINT.replace(".npz", ".tmp")),
    *("../a.png", "../deep/c.png", f"../{temporary_name(Key('a.png'))}", "../report.html", "../status.json", "../log.txt"),
)
"""Names of ours, from `.nstbatch`, that need not be there yet."""

counts: Counter[str] = Counter()


class Folder:
    """The photos, and how they are painted; the same for every example."""

    def __init__(self, top: Path) -> None:
        self.start = top / "start"
        for number, name in enumerate(("a.png", "b.jpg", "deep/c.png")):
            picture(self.start / "photos" / name, (40, 34), number)
        picture(self.start / "style.png", seed=9)
        (self.start / "others").mkdir()
        for name in (
            "theirs.jpg",
            "000001.jpg",
            f"{'0' * 24}.jpg",
            f"{'0' * 24}.npz",
            "journal.jsonl",
            ".0123456789abcdef.tmp",
        ):
            (self.start / "others" / name).write_bytes(b"precious\n")
        (self.start / "others" / "backup").write_bytes(b"precious\n")
        (self.start / "work").mkdir()
        first = top / "first"
        shutil.copytree(self.start, first)
        status, _, _ = run(first, options=("--checkpoint", "0"))
        assert status == 0, "an undisturbed run"
        self.paintings = paintings(first)
        assert len(self.paintings) == 3
        self.painted = first


def run(
    top: Path, fatal: int = 0, mode: str = "before", options: tuple[str, ...] = ()
) -> tuple[int, list[str], list[object]]:
    words = [top / "photos", "--style", top / "style.png", "-o", top / "work" / "out", "-r", "--json", *OPTIONS, *options]
    return child([str(word).replace("OUT", str(top / "work" / "out")) for word in words], top / "work", fatal, mode, SECONDS)


def paintings(top: Path) -> dict[str, bytes]:
    """Those that are there, and are files."""
    output = top / "work" / "out"
    found = (output / name for name in ("a.png", "b.jpg", "deep/c.png"))
    # Not by way of a link, which makes another's file look like ours.
    real = [path for path in found if path.is_file() and not path.is_symlink() and not path.parent.is_symlink()]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in real}


def outside(top: Path) -> dict[str, tuple[int, bytes]]:
    """What is none of the output's."""
    found = {}
    for path in top.rglob("*"):
        name = path.relative_to(top)
        if name.parts[0] == "work" and (len(name.parts) == 1 or name.parts[1] in ("out", "cache")):
            continue
        if name.name in ("work.events", "work.calls"):
            continue
        status = path.lstat()
        found[str(name)] = (status.st_mode, path.read_bytes() if path.is_file() else b"")
    return found


class Damage(RuleBasedStateMachine):
    """An output folder, and what befalls it."""

    shared: Folder

    @initialize(painted=st.booleans())
    def begin(self, painted: bool) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="damage-"))
        shutil.copytree(self.shared.painted if painted else self.shared.start, self.top, dirs_exist_ok=True)
        self.outside = outside(self.top)
        self.whole = paintings(self.top)
        """Paintings that were whole after the last run, and that nothing has befallen since."""

    def teardown(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)

    @rule(
        fatal=st.none() | st.integers(1, 70),
        mode=st.sampled_from(MODES),
        options=st.sampled_from(
            [
                (),
                ("--checkpoint", "0"),
                ("--status-file", "OUT/status.json"),
                ("--log-file", "OUT/log.txt"),
                ("--snapshots", "2"),
            ]
        ),
    )
    def runs(self, fatal: int | None, mode: str, options: tuple[str, ...]) -> None:
        counts["runs"] += 1
        status, _, _ = run(self.top, fatal or 0, mode, options)
        if os.WIFSIGNALED(status):
            assert fatal is not None, "it is not to die"
            assert os.WTERMSIG(status) == signal.SIGKILL, "it hangs"
            counts["killed"] += 1
        else:
            code = os.waitstatus_to_exitcode(status)
            assert code in list(ExitCode), code
            assert code not in (ExitCode.PROVIDER, ExitCode.DEADLINE, ExitCode.LOCKED, ExitCode.INTERRUPTED)
            counts[f"exit {code}"] += 1
        found = paintings(self.top)
        lost = [name for name, data in self.whole.items() if found.get(name) != data]
        assert not lost, f"finished paintings lost: {lost}"
        assert outside(self.top) == self.outside, "it changed what is not its own"
        if status == 0:
            assert found == self.shared.paintings
        # After a kill in the middle nothing is torn, either.
        self.whole = {name: data for name, data in found.items() if data == self.shared.paintings[name]}

    @rule(choice=st.integers(0, 2**32), how=st.sampled_from(DAMAGES))
    def damages(self, choice: int, how: str) -> None:
        """Change the content of a file of ours."""
        which = random.Random(choice)
        ours = [path for path in self._ours() if path.is_file() and not path.is_symlink() and os.stat(path).st_nlink == 1]
        if not ours:
            counts["nothing to damage"] += 1
            return
        path = which.choice(ours)
        data = bytearray(path.read_bytes())
        place = which.randrange(len(data)) if data else 0
        if how == "flip" and data:
            data[place] ^= 1 << which.randrange(8)
        new = {
            "cut": data[:place],
            "more": data + data[place:],
            "empty": b"",
            "rubbish": b"\n".join([b"{}", b"[]", b"null", b'{"v": 1}', b"\xff\xfe", b""]),
            "binary": which.randbytes(200),
            "json": json.dumps(
                {"v": 1, "target": "../../others/theirs.jpg", "pid": [], "exit_code": {}, "state": 7}
            ).encode(),
            "deep": b"[" * 10**5,
        }
        path.write_bytes(new.get(how, data))
        counts["damaged"] += 1
        self.whole.pop(self._painting(path), None)

    @rule(place=st.sampled_from(PLACES), thing=st.sampled_from(THINGS))
    def replaces(self, place: str, thing: str) -> None:
        """Put something else in the place of a file or folder of ours."""
        self._replace(Path(os.path.normpath(self.top / "work" / "out" / ".nstbatch" / place)), thing)

    @rule(choice=st.integers(0, 2**32), thing=st.sampled_from(THINGS))
    def replaces_any(self, choice: int, thing: str) -> None:
        """Put something else in the place of any that is there."""
        if ours := self._ours():
            self._replace(random.Random(choice).choice(ours), thing)

    @rule()
    def clears(self) -> None:
        """What a user does who has read the message: away with all that is neither a file nor a folder of files."""
        for path in sorted(self._ours(), reverse=True):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                path.unlink()
            elif path.is_dir() and path.name not in (
                "out",
                ".nstbatch",
                "report_files",
                "deep",
                "checkpoints",
                "styles",
                "cache",
            ):
                shutil.rmtree(path)

    def _replace(self, path: Path, thing: str) -> None:
        if not path.parent.is_dir() or not path.parent.resolve().is_relative_to((self.top / "work").resolve()):
            return
        if path.name == "log.txt" and thing in ("link to a file", "hard link", "dangling", "device"):
            # The log is a file that the user names for others to read: there a link is followed.
            return
        counts["replaced"] += 1
        for name in list(self.whole):
            target = self.top / "work" / "out" / name
            if path in (target, *target.parents):
                del self.whole[name]
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        others = self.top / "others"
        match thing:
            case "link to a file":
                path.symlink_to(others / "theirs.jpg")
            case "hard link":
                # As a backup has it; what has another name is not to be written to.
                os.link(self.top / "others" / "backup", path)
            case "link to a folder":
                path.symlink_to(others)
            case "dangling":
                path.symlink_to(others / "new")
            case "fifo":
                os.mkfifo(path)
            case "socket":
                with socket.socket(socket.AF_UNIX) as end:
                    before = os.getcwd()
                    os.chdir(path.parent)
                    end.bind(path.name)
                    os.chdir(before)
            case "device":
                path.symlink_to("/dev/zero")
            case "folder":
                path.mkdir()
            case "full folder":
                path.mkdir()
                (path / "theirs").write_bytes(b"precious")

    def _ours(self) -> list[Path]:
        return sorted(path for name in ("out", "cache") for path in (self.top / "work" / name).rglob("*"))

    def _painting(self, path: Path) -> str:
        output = self.top / "work" / "out"
        return path.relative_to(output).as_posix() if path.is_relative_to(output) else ""


def sabotage() -> None:
    """Enter folders by way of links."""
    enter = folders._Described.enter

    def anywhere(folder: Any, name: str, *, make: bool) -> Any:
        with contextlib.suppress(FileNotFoundError):
            return folders._Described(os.open(name, folders._FOLDER, dir_fd=folder._handle))
        return enter(folder, name, make=make)

    folders._Described.enter = anywhere


def each() -> None:
    """Put each thing in each place, and run."""
    options = ("--checkpoint", "0", "--status-file", "OUT/status.json", "--log-file", "OUT/log.txt", "--force")
    for place in PLACES:
        for thing in THINGS:
            machine = Damage()
            machine.begin(painted=True)
            machine.replaces(place, thing)
            try:
                machine.runs(None, "before", options)
            except AssertionError as error:
                raise AssertionError(f"{place}: {thing}: {error}") from None
            finally:
                machine.teardown()


def main(examples: int, top: Path, number: int | None) -> dict[str, int]:
    """The counts."""
    prepare(top)
    Damage.shared = Folder(top)
    each()
    if not examples:
        return dict(counts)
    machine = Damage if number is None else seed(number)(Damage)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--sabotage", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="damage-") as folder:
        if asked.sabotage:
            sabotage()
        json.dump({"examples": asked.examples, **main(asked.examples, Path(folder), asked.seed)}, sys.stdout)
