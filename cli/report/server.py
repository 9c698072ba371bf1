"""``nstbatch serve``: the report of an output folder, served to this host alone, while a run adds to it."""

import contextlib
import datetime
import io
import json
import math
import os
import platform
import secrets
import shutil
import socket
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from ...runtime.engine.host import is_running
from ...runtime.errors import NstbatchError
from ...runtime.files.own import OwnFile, own_files
from ...runtime.files.reading import open_source
from ...runtime.files.records import Whole, decode
from ...runtime.output.journal import Journal
from ...runtime.output.names import REPORT, REPORT_FILES, STATE, THUMBNAILS, Key
from ...runtime.pictures.photo import open_image
from .files import EASEL, STATUS, is_output, thumbnail_file
from .index import find_outputs, render_index
from .page import PAINTINGS, PHOTOS, data_version, page_data, read_journal, render

LOOPBACK = "127.0.0.1"

_SILENCE = 3600
"""Seconds after which a run that has said nothing has ended: an evaluation takes minutes at most."""

_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}
"""Of what is served, by Pillow's names: what browsers show."""

CONNECTIONS = 64
"""At a time; a browser opens a few. Of more, those go first that have not shown that they know the address."""

_PATIENCE, _LONGEST = 5.0, 600.0
"""Seconds that a connection may say nothing, or take nothing; and that it may last at all."""


class Server(ThreadingHTTPServer):
    """Serves an output folder's report, under a path that nobody can guess: other users of this host reach loopback, too.

    Args:
        root: the output folder, or one in which several are, whose index is served then.
        port: 0 for any that is free.

    Attributes:
        url: of the page.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path, port: int) -> None:
        token = secrets.token_urlsafe(12)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, _Visit] = {}
        super().__init__((LOOPBACK, port), partial(_Handler, _Shelf(root), f"/{token}/"))
        self.url = f"http://{LOOPBACK}:{self.server_port}/{token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to serve a connection, if need be in the place of another."""
        with self._lock:
            if len(self._open) >= CONNECTIONS:
                strangers = (connection for connection, visit in self._open.items() if not visit.welcome)
                last = next(strangers, request)
                self._open.pop(last, None)
                _hang_up(last)
            self._open[request] = _Visit(time.monotonic())
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that is over."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def welcome(self, request: Any) -> None:
        """Note that a connection has shown that it knows the address."""
        with self._lock:
            if (visit := self._open.get(request)) is not None:
                visit.welcome = True

    def service_actions(self) -> None:
        """Hang up on those who take too long; called twice a second."""
        now = time.monotonic()
        with self._lock:
            for connection, visit in self._open.items():
                if now - visit.began > (_LONGEST if visit.welcome else _PATIENCE):
                    _hang_up(connection)

    def handle_error(self, *_: object) -> None:
        """Nothing: a browser that leaves in the middle is nobody's business."""


@dataclass
class _Visit:
    """A connection: when it began, and whether it knows the address."""

    began: float
    welcome: bool = False


def _hang_up(connection: socket.socket) -> None:
    # Its thread finds that nothing more comes, and closes it.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class _Status:
    """What is read of a status file, see `StatusFile`."""

    state: str
    updated: datetime.datetime
    pid: Whole
    host: str
    current: str | None = None
    fraction: float | None = None
    seconds_left: float | None = None
    left: Whole | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the run that wrote it goes on: it writes often, and its process can be asked for on its own host."""
        age = time.time() - self.updated.timestamp()
        if self.state == "ended" or age > _SILENCE or self.host != platform.node():
            return self.state != "ended" and age <= _SILENCE
        return is_running(self.pid)


class _Shelf:
    """What is served: an output folder, or several in one.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.alone = is_output(root)
        self._lock = threading.Lock()
        self._folders: dict[str, _Folder] = {}

    def find(self, name: str) -> "tuple[_Folder, str] | None":
        """The output folder that a URL's path is in, and its path there; None for no output's."""
        first, slash, rest = ("", "/", name) if self.alone else name.partition("/")
        with self._lock:
            if first not in self._folders:
                if not slash or not (self.alone or any(output.name == first for output in find_outputs(self.root))):
                    return None
                self._folders[first] = _Folder(self.root / first)
            return self._folders[first], rest


class _Folder:
    """An output folder, for any number of threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._version = ""

    def journal(self) -> Journal:
        """Its journal, read again where it has grown."""
        with self._lock:
            version = data_version(self.root)
            if self._journal is None or version != self._version:
                self._journal, self._version = read_journal(self.root), version
            return self._journal

    def data(self) -> dict[str, Any]:
        """The page's data."""
        version = data_version(self.root)
        return page_data(self.root, self.journal(), version)

    def status(self) -> dict[str, Any]:
        """What a run does now."""
        shown: dict[str, Any] = {"state": "ended", "current": None, "fraction": None, "seconds_left": None, "left": None}
        for file in own_files(self.root, STATE, STATUS):
            with contextlib.suppress(OSError, ValueError):
                status = decode(file.read(), _Status)
                # A run that was killed says nothing of its end.
                if status.is_alive:
                    shown = {name: value for name, value in asdict(status).items() if name in shown}
        easel = OwnFile(self.root, EASEL)
        changed = None
        with contextlib.suppress(OSError):
            found = easel.status()
            changed = None if found is None else found.st_mtime_ns
        return {**shown, "easel": changed, "version": data_version(self.root)}

    def file(self, name: str) -> AbstractContextManager[BinaryIO] | None:
        """The file of a URL's path, to be opened; None for what is none of the page's.

        What nstbatch has made is opened only where it is a file, and no link; a photo may be a link.
        """
        journal = self.journal()
        folder, _, rest = name.partition("/")
        if name == EASEL.rpartition("/")[2]:
            return OwnFile(self.root, EASEL).reading()
        if folder == REPORT_FILES and THUMBNAILS.fullmatch(rest):
            return thumbnail_file(self.root, rest).reading()
        # Nothing but what the journal knows: no other file of the folder, and none outside of it.
        with contextlib.suppress(ValueError):
            key = Key(rest)
            entry = journal.failed.get(key) or journal.painted.get(key)
            if folder == PHOTOS and entry is not None:
                return open_source(Path(entry.source))
            if folder == PAINTINGS and key in journal.painted:
                return OwnFile(self.root, key).reading()
        return None


class _Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    def __init__(self, shelf: _Shelf, prefix: str, *arguments: Any) -> None:
        self._shelf = shelf
        self._prefix = prefix
        super().__init__(*arguments)

    timeout = _PATIENCE
    raw_requestline: bytes

    def parse_request(self) -> bool:
        """Refuse who does not know the address, before anything else of the request is read."""
        words = self.raw_requestline.split()
        if len(words) < 2 or not words[1].startswith(self._prefix.encode()):
            self.requestline, self.request_version, self.command = "", "HTTP/1.0", ""
            self.close_connection = True
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        assert isinstance(self.server, Server), "it serves nothing else"
        self.server.welcome(self.request)
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer a request for the page, its data, a thumbnail or a picture."""
        host = (self.headers.get("Host") or "").partition(":")[0]
        # A page of elsewhere may have its own name point to this host, and would then be let read what is here.
        if host not in (LOOPBACK, "localhost"):
            return self.send_error(HTTPStatus.FORBIDDEN)
        name = os.fsdecode(unquote_to_bytes(urlsplit(self.path).path.removeprefix(self._prefix)))
        try:
            if not self._shelf.alone and name in ("", REPORT):
                return self._send(render_index(self._shelf.root, served=True).encode(), "text/html; charset=utf-8")
            if (found := self._shelf.find(name)) is None:
                return self.send_error(HTTPStatus.NOT_FOUND)
            folder, name = found
            if name in ("", REPORT):
                return self._send(render(folder.root, folder.data()).encode(), "text/html; charset=utf-8")
            if name in ("data.json", "status.json"):
                value = folder.data() if name == "data.json" else folder.status()
                return self._send(json.dumps(value).encode(), "application/json")
            opened = folder.file(name)
        except (NstbatchError, OSError, ValueError):  # the folder has gone, or its journal; or nobody foresaw what is in it
            return self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
        return self.send_error(HTTPStatus.NOT_FOUND) if opened is None else self._send_picture(opened)

    def _send_picture(self, opened: AbstractContextManager[BinaryIO]) -> None:
        """Send a file in pieces, if it is a picture."""
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(opened)
                kind = _TYPES[_format(file)]
            except Exception:  # of what is no picture, Pillow's decoders let through whatever befalls them
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self._send_head(os.fstat(file.fileno()).st_size, kind)
            file.seek(0)
            shutil.copyfileobj(file, self.wfile)

    def _send(self, data: bytes, kind: str) -> None:
        self._send_head(len(data), kind)
        # In pieces: the time-out is of one, however slow the way is.
        shutil.copyfileobj(io.BytesIO(data), self.wfile)

    def _send_head(self, size: int, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: whoever looks on is nobody's business."""


def _format(file: BinaryIO) -> str:
    """Pillow's name of a picture's format, by its header."""
    with open_image(file, math.inf) as image:
        return image.format or ""
