"""What is known of a file without reading it."""

import os
from dataclasses import dataclass

from .records import Whole


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says of a file's content without reading it; equal stamps, equal content.

    The change time is part of it, since a program that edits a file can set back the modification time, but not this.

    Attributes:
        size: in bytes.
        mtime_ns: modification, in nanoseconds of the file system's clock. Times are compared with each other only, so that a
            clock that jumps does no harm.
        ctime_ns: change, likewise. Of an object behind a URL, a digest of its ETag and time.
    """

    size: Whole
    mtime_ns: Whole
    ctime_ns: Whole

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """The stamp in a status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
