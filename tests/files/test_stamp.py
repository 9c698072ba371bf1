"""Whether a file has changed, without reading it."""

import os
from pathlib import Path

from nstbatch.runtime.files.stamp import Stamp


def test_a_time_that_is_set_back_hides_no_change(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    before = path.stat()
    assert Stamp.of(before) == Stamp.of(path.stat())
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(b"two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert Stamp.of(after) != Stamp.of(before)
