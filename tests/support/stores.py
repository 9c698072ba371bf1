"""Places behind URLs: in memory, and on a server on the loopback that speaks S3."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner, Result

from nstbatch.cli.app import app
from nstbatch.runtime.batch.outcome import Outcome
from nstbatch.runtime.errors import NstbatchError
from nstbatch.runtime.files import remote
from nstbatch.runtime.files.location import to_location
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.output.remote import RemoteJournal, RemoteOutput
from nstbatch.runtime.output.shard import Shard
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.placement import Destination, make_items
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.stop import Stop
from seams import SeamEngine, paint, picture

OPTIONS = ["--size", "32", "--iterations", "1", "--scales", "1", "--provider", "cpu"]
"""Of a run whose pictures do not matter."""


class Store:
    """A place behind a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs, self.path = fsspec.core.url_to_fs(url)

    def put(self, name: str, data: bytes) -> str:
        self.fs.pipe_file(f"{self.path}/{name}", data)
        return f"{self.url}/{name}"

    def get(self, name: str) -> bytes:
        content: bytes = self.fs.cat_file(f"{self.path}/{name}")
        return content

    def names(self) -> list[str]:
        self.fs.invalidate_cache()
        return sorted(name.removeprefix(self.path).lstrip("/") for name in self.fs.find(self.path))

    def paintings(self, output: str) -> dict[str, bytes]:
        names = [name for name in self.names() if name.startswith(f"{output}/") and name.endswith(".png")]
        return {name.removeprefix(f"{output}/"): self.get(name) for name in names if "report_files" not in name}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """URL of a bucket of a server that speaks S3."""
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
            patch.setenv(f"AWS_{name}", value)
        fs = fsspec.filesystem("s3", skip_instance_cache=True)
        type(fs).clear_instance_cache()
        fs.mkdir("bucket")
        yield "s3://bucket"
        type(fs).clear_instance_cache()
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, patience: None) -> Store:
    """A place in memory, and one on a server that speaks S3."""
    base = "memory://bucket" if request.param == "memory" else request.getfixturevalue("s3")
    return Store(f"{base}/{tmp_path.parent.name}-{tmp_path.name}")


@pytest.fixture
def memory(tmp_path: Path, patience: None) -> Store:
    """A place in memory."""
    return Store(f"memory://bucket/{tmp_path.parent.name}-{tmp_path.name}")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Requests are tried again soon, and what is fetched is kept in a cache of the test's own."""
    monkeypatch.setattr(remote, "LONGEST", 0.01)
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def stored(tmp_path: Path, store: Store) -> list[str]:
    """URLs of three photos, of which one is in a folder."""
    found = []
    for seed, name in enumerate(("a.png", "b.png", "below/c.png")):
        path = picture(tmp_path / "in" / name, seed=seed)
        found.append(store.put(f"in/{name}", path.read_bytes()))
    store.put("in/notes.txt", b"no photo")
    store.put("in/.hidden.png", b"no photo either")
    return found


@pytest.fixture
def stored_style(store: Store, samples: Path) -> str:
    """URL of a style."""
    return store.put("starry.jpg", (samples / "starry.jpg").read_bytes())


def in_process(*arguments: object) -> Result:
    """The command line in this process, which has the store of memory://."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, NstbatchError):
        # As `main` does it.
        result.exit_code = result.exception.exit_code
        result.output_bytes += str(result.exception).encode()
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def interpose(monkeypatch: pytest.MonkeyPatch, before: Callable[[str], None]) -> None:
    """Have a function called with its URL before each request; what it raises, the request raises."""
    persist = remote.persist

    def interposed(path: Any, action: Callable[[], Any]) -> Any:
        def request() -> Any:
            before(str(path))
            return action()

        return persist(path, request)

    monkeypatch.setattr(remote, "persist", interposed)


@pytest.fixture
def remote_run(store: Store, samples: Path, tmp_path: Path) -> Callable[..., str]:
    """Paints ``in/`` into ``out/``; gives the summary and the rows, as text."""

    def run(cache: str = "mirror", shard: Shard | None = None, **options: Any) -> str:
        output = RemoteOutput(to_location(f"{store.url}/out"), tmp_path / cache)  # type: ignore[arg-type]
        style = samples / "starry.jpg"
        inputs = discover([to_location(f"{store.url}/in")], styles=[style], recursive=True)
        items = make_items(inputs, [style], Destination(output=output.url), mirror=lambda _: output.root)
        items = [item for item in items if shard is None or shard.holds(item.key)]
        stylizer = Stylizer.open(SeamEngine(), style, size=40, iterations=4, scales="32,40")
        with hold([output.root], shard=shard):
            output.pull()
            journals: dict[Path, Journal] = {output.root: RemoteJournal(output, shard)}
            plan = make_plan(items, journals, stylizer.facts.recipe, options.get("policy"))
            report = Outcome(len(plan.tasks))
            report.rows += paint(plan, stylizer, journals, stop=Stop(), **options)
        rows = [f"{row.item.key} {row.outcome.value}: {row.reason}" for row in report.rows]
        return "\n".join([str(report).partition(" in ")[0], *rows])

    return run
