"""``nstbatch watch``: the report of an output folder, served to this host alone, while a run adds to it."""

import contextlib
import datetime
import json
import os
import platform
import secrets
import threading
import time
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ...runtime.output.folder import REPORT_FILES as FOLDER
from ...runtime.output.folder import STATE
from ...runtime.output.journal import Journal
from ...runtime.pictures.photo import FORMATS
from .files import EASEL, STATUS
from .page import PAINTINGS, PHOTOS, data_version, page_data, read_journal, render

LOOPBACK = "127.0.0.1"

_SILENCE = 3600
"""Seconds after which a run that has said nothing has ended: an evaluation takes minutes at most."""

_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff"}


class Server(ThreadingHTTPServer):
    """Serves an output folder's report, under a path that nobody can guess: other users of this host reach loopback, too.

    Args:
        root: the output folder.
        port: 0 for any that is free.

    Attributes:
        url: of the page.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, root: Path, port: int) -> None:
        token = secrets.token_urlsafe(12)
        super().__init__((LOOPBACK, port), partial(_Handler, _Folder(root), f"/{token}/"))
        self.url = f"http://{LOOPBACK}:{self.server_port}/{token}/"

    def handle_error(self, *_: object) -> None:
        """Nothing: a browser that leaves in the middle is nobody's business."""


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
        easel = self.root / STATE / EASEL
        status: dict[str, Any] = {"state": "ended"}
        for path in sorted((self.root / STATE).glob(STATUS)):
            with contextlib.suppress(OSError, ValueError):
                found = json.loads(path.read_bytes())
                # A run that was killed says nothing of its end.
                if found.get("state") != "ended" and _is_alive(found):
                    status = found
        shown = {name: status.get(name) for name in ("state", "current", "fraction", "seconds_left", "left")}
        changed = easel.stat().st_mtime_ns if easel.exists() else None
        return {**shown, "easel": changed, "version": data_version(self.root)}

    def file(self, name: str) -> Path | None:
        """The file of a URL's path; None for what is none of the page's."""
        journal = self.journal()
        folder, _, rest = name.partition("/")
        if name == EASEL:
            return self.root / STATE / EASEL
        if folder == FOLDER and rest == os.path.basename(rest) and rest.endswith(".jpg"):  # noqa: PTH119 - of a URL
            return self.root / FOLDER / rest
        # Nothing but what the journal knows: no other file of the folder, and none outside of it.
        entry = journal.failed.get(rest) or journal.painted.get(rest)
        if folder == PHOTOS and entry is not None:
            return Path(entry.source)
        return self.root / rest if folder == PAINTINGS and rest in journal.painted else None


class _Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    def __init__(self, folder: _Folder, prefix: str, *arguments: Any) -> None:
        self._folder = folder
        self._prefix = prefix
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer a request for the page, its data, a thumbnail or a picture."""
        host = (self.headers.get("Host") or "").partition(":")[0]
        # A page of elsewhere may have its own name point to this host, and would then be let read what is here.
        if host not in (LOOPBACK, "localhost"):
            return self.send_error(HTTPStatus.FORBIDDEN)
        path_of_url = urlsplit(self.path).path
        if not path_of_url.startswith(self._prefix):
            return self.send_error(HTTPStatus.NOT_FOUND)
        name = os.fsdecode(unquote_to_bytes(path_of_url.removeprefix(self._prefix)))
        if name in ("", "report.html"):
            return self._send(render(self._folder.root, self._folder.data()).encode(), "text/html; charset=utf-8")
        if name in ("data.json", "status.json"):
            value = self._folder.data() if name == "data.json" else self._folder.status()
            return self._send(json.dumps(value).encode(), "application/json")
        path = self._folder.file(name)
        try:
            data = None if path is None else path.read_bytes()
        except (OSError, ValueError):
            data = None
        if path is None or data is None:
            return self.send_error(HTTPStatus.NOT_FOUND)
        return self._send(data, _TYPES.get(FORMATS.get(path.suffix.lower(), ""), "application/octet-stream"))

    def _send(self, data: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: whoever looks on is nobody's business."""


def _is_alive(status: dict[str, Any]) -> bool:
    """Whether the run that wrote a status goes on: it writes it often, and its process can be asked for on its own host."""
    try:
        age = time.time() - datetime.datetime.fromisoformat(status["updated"]).timestamp()
        pid, elsewhere = int(status["pid"]), status["host"] != platform.node()
    except (KeyError, ValueError, TypeError):
        return False
    if age > _SILENCE or elsewhere:
        return age <= _SILENCE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
