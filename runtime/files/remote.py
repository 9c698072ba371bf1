"""Files behind URLs: whatever fsspec reaches (S3, Google Cloud Storage, Azure, SFTP ...), as paths of universal-pathlib.

An error that may pass is met by trying again, later and later; one that stays is an `OSError` like any file's.
"""

import datetime
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import first_line
from .stamp import Stamp

if TYPE_CHECKING:
    from upath import UPath

T = TypeVar("T")

ATTEMPTS = 6
"""Times that something is tried."""

LONGEST = 20.0
"""Most seconds between two of them; the first wait is of at most one."""

_PAGE = 1000
"""Objects of a listing that are taken at a time."""


def read_bytes(path: "UPath", end: int | None = None) -> bytes:
    """All bytes, or the first ``end``.

    Raises:
        OSError: it cannot be read.
    """
    data: bytes = persist(path, lambda: path.fs.cat_file(path.path, start=None if end is None else 0, end=end))
    return data


def write_bytes(path: "UPath", data: bytes) -> None:
    """Write an object whole, in place of what was there.

    Raises:
        OSError: it cannot be written.
    """

    def put() -> None:
        # SFTP and its like have folders that must be there; an object store has none, and says nothing.
        if _has_folders(path):
            path.fs.makedirs(path.parent.path, exist_ok=True)
        path.fs.pipe_file(path.path, data)

    persist(path, put)


def delete(path: "UPath") -> None:
    """Delete an object.

    Raises:
        OSError: it is not there, or cannot be deleted.
    """
    persist(path, lambda: path.fs.rm_file(path.path))


def stamp_of(path: "UPath") -> Stamp:
    """What is known of an object without reading it.

    Raises:
        OSError: it is not there, or cannot be asked for.
    """
    # What a listing said a while ago may be over.
    path.fs.invalidate_cache()
    info = persist(path, lambda: path.fs.info(path.path))
    if info.get("type") == "directory":
        raise IsADirectoryError(21, "Is a directory", str(path))
    return _stamp(info)


def listing(path: "UPath", *, recursive: bool) -> Iterator[tuple[str, Stamp | None]]:
    """Names below a folder, relative to it, in any order, with their stamps; folders have none, and only the first level.

    An object store's is read page by page: of a million objects no more than a thousand are held at a time.

    Raises:
        OSError: it cannot be listed.
    """
    top = path.path.rstrip("/")
    for info in _pages(path, top, recursive):
        name = str(info["name"]).lstrip("/").removeprefix(top.lstrip("/")).strip("/")
        if name:
            yield name, None if info.get("type") == "directory" else _stamp(info)


def exists(path: "UPath") -> bool:
    """Whether there is an object, or anything below that name.

    Raises:
        OSError: it cannot be asked for.
    """
    path.fs.invalidate_cache()
    return bool(persist(path, lambda: path.fs.exists(path.path)))


def is_folder(path: "UPath") -> bool:
    """Whether there is anything below that name.

    Raises:
        OSError: it cannot be asked for.
    """
    path.fs.invalidate_cache()
    return bool(persist(path, lambda: path.fs.isdir(path.path)))


def persist(path: "UPath", action: Callable[[], T]) -> T:
    """Do something, again where the error may pass, and later each time.

    Raises:
        OSError: the error stays, or is of a kind that does.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=1, max=LONGEST),
        retry=retry_if_exception(lambda error: isinstance(error, Exception) and not isinstance(error, _PERMANENT)),
        reraise=True,
    )
    try:
        return retrying(action)
    except _PERMANENT as error:
        if isinstance(error, OSError):
            raise type(error)(error.errno, first_line(error), str(path)) from None
        raise OSError(f"{path}: {first_line(error)}") from None
    except Exception as error:  # fsspec's implementations raise what they like
        raise OSError(f"{path}: {first_line(error)} (tried {ATTEMPTS} times)") from None


_PERMANENT = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
    NotImplementedError,
    ValueError,
    TypeError,
)
"""What would be the same the next time."""


def _pages(path: "UPath", top: str, recursive: bool) -> Iterator[dict[str, Any]]:
    fs = path.fs
    fs.invalidate_cache()
    if not hasattr(fs, "_iterdir"):
        found = persist(path, lambda: fs.find(top, detail=True).values() if recursive else fs.ls(top, detail=True))
        yield from found
        return
    # s3fs alone has a listing that does not hold everything, and only for its own loop.
    import asyncio

    from fsspec.asyn import sync

    bucket, key, _ = fs.split_path(top)
    prefix = f"{key}/" if key else ""
    pages = fs._iterdir(bucket, delimiter="" if recursive else "/", prefix=prefix)

    async def page() -> list[dict[str, Any]]:
        found = []
        async for info in pages:
            found.append(info)
            if len(found) == _PAGE:
                break
        await asyncio.sleep(0)
        return found

    while True:
        # Not again from where it failed: a listing's place is lost with its error.
        found = _once(path, lambda: sync(fs.loop, page))
        yield from found
        if len(found) < _PAGE:
            return


def _once(path: "UPath", action: Callable[[], T]) -> T:
    """Do something, once; its error is an `OSError`. Botocore has tried again by then."""
    try:
        return action()
    except Exception as error:  # see `persist`
        if isinstance(error, OSError) and error.errno is not None:
            raise type(error)(error.errno, first_line(error), str(path)) from None
        raise OSError(f"{path}: {first_line(error)}") from None


def _stamp(info: dict[str, Any]) -> Stamp:
    """Size, and a digest of whatever tells one content from another."""
    marks = [str(info[name]) for name in ("ETag", "etag", "md5Hash", "md5", "checksum", "generation") if info.get(name)]
    times = [info[name] for name in ("LastModified", "last_modified", "mtime", "updated", "created") if info.get(name)]
    when = times[0] if times else None
    seconds = when.timestamp() if isinstance(when, datetime.datetime) else when if isinstance(when, int | float) else 0.0
    mark = hashlib.sha256("\n".join([*marks[:1], str(when)]).encode()).digest()
    return Stamp(int(info.get("size") or 0), int(seconds * 1e9), int.from_bytes(mark[:7]))


def _has_folders(path: "UPath") -> bool:
    return path.protocol in ("sftp", "ssh", "smb", "ftp", "webdav", "hdfs", "webhdfs", "arrow_hdfs", "dbfs")
