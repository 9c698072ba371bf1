"""Files that are either whole or not there, by the recipe of restic's local backend."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``: temporary file in the same folder, byte count, fsync, rename, fsync of the folder.

    At every moment ``path`` is either its old content or all of ``data``; a failure leaves no temporary file.

    Raises:
        OSError: the folder is not writable, the disk is full, or fewer bytes arrived than were written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            written = os.fstat(file.fileno()).st_size
            if written != len(data):
                raise OSError(f"{path}: {written} of {len(data)} bytes arrived")
            # mkstemp makes private files; a picture gets the permissions any new file of this process would get.
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the renames in ``folder`` durable, where the file system can do that."""
    with contextlib.suppress(OSError), _opened(folder) as handle:
        os.fsync(handle)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
