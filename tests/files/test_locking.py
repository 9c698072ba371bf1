"""Locks of open files: the system's, and those of Windows by locks of bytes."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nstbatch.runtime.files.locking import HAS_FLOCK, lock_file
from places import ROOT

HOLD = """
import os, sys
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "bytes":
    import elsewhere
    elsewhere.hide()
from nstbatch.runtime.files.locking import HAS_FLOCK, lock_file
assert HAS_FLOCK == (sys.argv[2] == "whole")
handle = os.open(sys.argv[3], os.O_RDWR | os.O_CREAT | os.O_APPEND)
try:
    lock_file(handle, shared=sys.argv[4] == "shared", wait=False)
except BlockingIOError:
    print("refused", flush=True)
else:
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def process(how: str, path: Path, kind: str) -> Iterator[str]:
    """What a process says that tries to hold a lock, and holds it until the block ends."""
    command = [sys.executable, "-c", HOLD, ROOT / "tests" / "support", how, path, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        yield run.stdout.readline().strip()
        run.stdin.close()


@pytest.mark.parametrize("how", ["whole", "bytes"])
def test_one_has_it_or_several_share_it(how: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process(how, path, "exclusive") as first:
        assert first == "held"
        for kind in ("exclusive", "shared"):
            with process(how, path, kind) as second:
                assert second == "refused"
    with process(how, path, "shared") as first, process(how, path, "shared") as second:
        assert (first, second) == ("held", "held")
        with process(how, path, "exclusive") as third:
            assert third == "refused"
    with process(how, path, "exclusive") as again:
        assert again == "held", "a lock ends with its process"
    assert path.read_bytes() == b""


def test_it_is_waited_for(tmp_path: Path) -> None:
    assert HAS_FLOCK
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    lock_file(first, shared=False, wait=False)
    with pytest.raises(BlockingIOError):
        lock_file(second, shared=True, wait=False)
    os.close(first)
    lock_file(second, shared=True, wait=True)
    os.close(second)
