"""Pages of reports, as a browser would get them."""

import http.client
import json
import re
from urllib.parse import urlsplit


def data_of(page: str) -> dict[str, object]:
    """What a page knows, as its script reads it."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    data: dict[str, object] = json.loads(text[1])
    return data


def get(url: str, path: str, host: str | None = None) -> tuple[int, bytes]:
    """What is answered to a path below the page's, or to one from ``/`` on."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    whole = path if path.startswith("/") else parts.path + path
    connection.request("GET", whole, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read()
