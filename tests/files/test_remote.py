"""Photos, styles, bundles and outputs behind URLs: in memory, and on a real S3 server on the loopback."""

import errno
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner, Result

from nstbatch.cli.app import app
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import ExitCode, NstbatchError, UsageError
from nstbatch.runtime.files import remote
from nstbatch.runtime.files.location import to_location
from nstbatch.runtime.output.folder import STATE
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.remote import RemoteJournal, RemoteOutput
from nstbatch.runtime.output.shard import Shard
from nstbatch.runtime.pictures.photo import probe_photo, read_photo
from nstbatch.runtime.planning.placement import Destination
from seams import SeamEngine, paint, picture

OPTIONS = ["--size", "32", "--iterations", "1", "--scales", "1", "--provider", "cpu"]


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


@pytest.fixture(scope="module")
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
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    base = "memory://bucket" if request.param == "memory" else request.getfixturevalue("s3")
    return Store(f"{base}/{tmp_path.parent.name}-{tmp_path.name}")


@pytest.fixture
def memory(tmp_path: Path) -> Store:
    return Store(f"memory://bucket/{tmp_path.parent.name}-{tmp_path.name}")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "LONGEST", 0.01)
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path, store: Store) -> list[str]:
    """URLs of three photos, of which one is in a folder."""
    found = []
    for seed, name in enumerate(("a.png", "b.png", "below/c.png")):
        path = picture(tmp_path / "in" / name, seed=seed)
        found.append(store.put(f"in/{name}", path.read_bytes()))
    store.put("in/notes.txt", b"no photo")
    store.put("in/.hidden.png", b"no photo either")
    return found


@pytest.fixture
def style(store: Store, samples: Path) -> str:
    return store.put("starry.jpg", (samples / "starry.jpg").read_bytes())


def nstbatch(*arguments: object) -> Result:
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


@pytest.mark.slow
def test_everything_by_url_is_as_on_this_host(
    bundle: Bundle, store: Store, photos: list[str], style: str, tmp_path: Path, samples: Path
) -> None:
    for path in bundle.path.iterdir():
        store.put(f"vgg19/{path.name}", path.read_bytes())
    local = tmp_path / "local"
    nstbatch(tmp_path / "in", "-r", "--style", samples / "starry.jpg", "-o", local, "--bundle", bundle.path, *OPTIONS)
    command = [f"{store.url}/in", "-r", "--style", style, "--bundle", f"{store.url}/vgg19", *OPTIONS]
    first = nstbatch(*command)
    assert first.exit_code == 0, first.output
    assert f"{photos[0]} -> {store.url}/in-starry/a.png: loss" in first.output
    expected = {path.relative_to(local).as_posix(): path.read_bytes() for path in local.rglob("*.png")}
    assert store.paintings("in-starry") == expected
    assert len(expected) == 3
    journals = [name for name in store.names() if f"{STATE}/journal" in name]
    assert len(journals) == 1, "lines were merged"
    assert "in-starry/report.html" in store.names()
    assert sum("report_files" in name for name in store.names()) == 6

    assert "0 painted, 0 failed, 3 up to date" in nstbatch(*command).output
    # Another host has nothing of this one's cache.
    shutil.rmtree(tmp_path / "cache")
    assert "0 painted, 0 failed, 3 up to date" in nstbatch(*command).output
    assert "3 to do" not in nstbatch(*command, "--dry-run").output
    report = nstbatch("report", f"{store.url}/in-starry")
    assert report.output == f"{store.url}/in-starry/report.html\n"
    assert store.get("in-starry/report.html").decode().count('"painting": "./') == 3


@pytest.fixture
def remote_run(store: Store, samples: Path, tmp_path: Path) -> Callable[..., str]:
    """Paints ``in/`` into ``out/``; gives the summary and the rows, as text."""

    def run(
        cache: str = "mirror", engine: Callable[[], Any] = SeamEngine, shard: Shard | None = None, **options: Any
    ) -> str:
        from nstbatch.runtime.batch.outcome import Outcome
        from nstbatch.runtime.output.lock import hold
        from nstbatch.runtime.painting.stylizer import Stylizer
        from nstbatch.runtime.planning.discovery import discover
        from nstbatch.runtime.planning.placement import make_items
        from nstbatch.runtime.planning.plan import make_plan
        from nstbatch.runtime.stop import Stop

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


@pytest.mark.usefixtures("photos")
def test_what_changed_is_painted_again(remote_run: Callable[..., str], store: Store, tmp_path: Path) -> None:
    assert remote_run().startswith("3 painted, 0 failed\n")
    before = store.paintings("out")
    store.put("in/a.png", picture(tmp_path / "other.png", seed=40).read_bytes())
    store.fs.rm_file(f"{store.path}/out/b.png")
    store.put("out/below/c.png", b"edited")
    found = remote_run()
    assert found.startswith("3 painted, 0 failed\n")
    after = store.paintings("out")
    assert after["a.png"] != before["a.png"]
    assert (after["b.png"], after["below/c.png"]) == (before["b.png"], before["below/c.png"])
    assert remote_run("elsewhere").startswith("0 painted, 0 failed, 3 up to date\n")


@pytest.mark.usefixtures("photos")
def test_a_file_that_is_not_ours_is_kept(remote_run: Callable[..., str], store: Store) -> None:
    from nstbatch.runtime.planning.plan import Policy

    store.put("out/a.png", b"somebody's")
    assert remote_run(policy=Policy(keep_existing=True)).startswith("2 painted, 0 failed, 1 kept\n")
    assert store.get("out/a.png") == b"somebody's"


@pytest.mark.usefixtures("photos")
def test_a_run_that_was_killed(remote_run: Callable[..., str], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    put = RemoteOutput.put
    calls = iter(range(100))

    def killed(self: RemoteOutput, name: str, data: bytes) -> None:
        # Between the second painting and its line.
        if next(calls) == 1:
            raise KilledError
        put(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteOutput, "put", killed)
        patch.setattr(RemoteJournal, "close", lambda self: None)
        with pytest.raises(KilledError):
            remote_run()
    assert len(store.paintings("out")) == 2
    assert sum(f"{STATE}/journal" in name for name in store.names()) == 1
    found = remote_run("elsewhere")
    assert found.startswith("2 painted, 0 failed, 1 up to date\n"), "no painting without its line is taken for one"
    assert len(store.paintings("out")) == 3


@pytest.mark.usefixtures("photos")
def test_errors_that_pass_cost_nothing(remote_run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    failures: Counter[str] = Counter()
    kinds = [TimeoutError("timed out"), OSError(errno.EIO, "SlowDown"), ConnectionResetError("reset"), RuntimeError("503")]

    def flaky(url: str) -> None:
        if failures[url] < 5:
            failures[url] += 1
            raise kinds[failures.total() % len(kinds)]

    with monkeypatch.context() as patch:
        interpose(patch, flaky)
        assert remote_run().startswith("3 painted, 0 failed\n")
    assert failures.total() >= 50
    assert remote_run().startswith("0 painted, 0 failed, 3 up to date\n")


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("place", ["/in/b.png", "/out/b.png"])
@pytest.mark.parametrize(
    ("error", "text"),
    [(PermissionError(errno.EACCES, "Access Denied"), "Access Denied"), (TimeoutError("late"), "late (tried 6 times)")],
)
def test_errors_that_stay_are_rows(
    place: str, error: Exception, text: str, remote_run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str) -> None:
        if url.endswith(place):
            raise error

    with monkeypatch.context() as patch:
        interpose(patch, refused)
        found = remote_run()
    assert found.startswith("2 painted, 1 failed\n")
    assert any(line.startswith("b.png failed: ") and text in line for line in found.splitlines()), found
    assert remote_run().startswith("1 painted, 0 failed, 2 up to date\n")


@pytest.mark.usefixtures("photos")
def test_a_damaged_object_is_a_row(remote_run: Callable[..., str], store: Store) -> None:
    store.put("in/b.png", b"not a picture")
    found = remote_run()
    assert found.startswith("2 painted, 1 failed\n")
    assert "b.png failed: not a picture" in found


def test_shards_of_two_hosts(remote_run: Callable[..., str], store: Store, tmp_path: Path) -> None:
    for seed in range(8):
        store.put(f"in/{seed}.png", picture(tmp_path / "any.png", seed=seed).read_bytes())
    results: dict[int, str] = {}

    def host(index: int) -> None:
        results[index] = remote_run(f"host-{index}", shard=Shard(index, 2))

    threads = [threading.Thread(target=host, args=(index,)) for index in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    painted = [int(text.split()[0]) for text in results.values()]
    assert (sum(painted), len(painted)) == (8, 2)
    assert min(painted) > 0
    assert remote_run("third").startswith("0 painted, 0 failed, 8 up to date\n")


@pytest.mark.usefixtures("photos")
def test_lines_are_merged_as_they_grow(
    remote_run: Callable[..., str], store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(RemoteJournal, "MERGED", 2)
    remote_run()
    names = [name for name in store.names() if f"{STATE}/journal" in name]
    assert len(names) == 2
    assert sorted(len(store.get(name).splitlines()) for name in names) == [1, 2]
    mirrored = {path.name for path in (tmp_path / "mirror" / STATE).glob("journal*")}
    assert mirrored == {Path(name).name for name in names}
    assert remote_run("elsewhere").startswith("0 painted, 0 failed, 3 up to date\n")


def test_a_listing_is_read_page_by_page(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = Store(f"{s3}/many")
    for n in range(45):
        many.put(f"{n:03d}.png", b"")
    many.put("below/x.png", b"")
    monkeypatch.setattr(remote, "_PAGE", 10)
    asked = 0
    pages = type(many.fs)._iterdir

    async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal asked
        async for info in pages(self, *arguments, **options):
            asked += 1
            yield info

    monkeypatch.setattr(type(many.fs), "_iterdir", counted)
    names = remote.listing(to_location(many.url), recursive=False)  # type: ignore[arg-type]
    found = dict([next(names)])
    assert asked == 10, "no more than a page is held"
    found |= dict(names)
    assert len(found) == 46
    assert found["below"] is None
    deep = dict(remote.listing(to_location(many.url), recursive=True))  # type: ignore[arg-type]
    assert len(deep) == 46
    assert "below/x.png" in deep


@pytest.mark.usefixtures("photos")
def test_folders_that_are_outputs_are_left_out(store: Store) -> None:
    from nstbatch.runtime.planning.discovery import discover

    store.put(f"in/painted/{STATE}/journal-1.jsonl", b"")
    store.put("in/painted/a.png", b"")
    store.put("in/painted/deeper/a.png", b"")
    store.put("in/report_files/a.jpg", b"")

    def found(recursive: bool) -> list[str]:
        inputs = discover([to_location(f"{store.url}/in")], styles=[], recursive=recursive)
        return [str(photo.source).removeprefix(f"{store.url}/in/") for photo in inputs.photos]

    assert found(recursive=True) == ["a.png", "b.png", "below/c.png"]
    assert found(recursive=False) == ["a.png", "b.png"]


def test_a_header_behind_the_first_bytes(memory: Store, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "large.jpg"
    Image.new("RGB", (50, 40)).save(path, icc_profile=b"\0" * 200_000)
    url = to_location(memory.put("large.jpg", path.read_bytes()))
    assert probe_photo(url).size == (50, 40)
    assert read_photo(url).picture.size == (50, 40)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{url}/nothing"], "no such object, and none below it"),
        (["{url}/in/notes.txt"], "the output could not be written"),
        (["{url}/in", "-o", "{url}/in/out"], "the output lies inside the input"),
        (["{url}/in", "-o", "{url}/in"], "the output lies inside the input"),
        (["{url}/in/a.png", "-o", "{url}/in"], "the output would replace an input"),
        (["nope://x/y"], "nope://x/y: cannot be reached"),
        (["{url}/in", "-o", "{url}/out", "--snapshots", "every=3"], "--snapshots takes an output folder of this host"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], message: str, store: Store, samples: Path) -> None:
    filled = [argument.format(url=store.url) for argument in arguments]
    found = nstbatch(*filled, "--style", samples / "starry.jpg", *OPTIONS)
    assert found.exit_code == ExitCode.USAGE
    assert message in found.output
    assert not any(name.startswith("out/") for name in store.names())


def test_a_list_of_urls(store: Store, photos: list[str], tmp_path: Path) -> None:
    from nstbatch.runtime.planning.discovery import discover, read_list

    listed = read_list("\n".join([photos[0], photos[2], str(tmp_path / "none.png")]).encode())
    inputs = discover([], listed, styles=[])
    assert [str(photo.source) for photo in inputs.photos] == [photos[0], photos[2], str(tmp_path / "none.png")]
    assert [photo.error for photo in inputs.photos] == [None, None, "no such file"]


def test_a_url_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import upath

    def missing(*_: object) -> None:
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr(upath, "UPath", missing)
    with pytest.raises(UsageError, match=r"gcsfs.*pip install 'nstbatch\[remote\]'"):
        to_location("gs://bucket/photos")
    assert to_location("file:///srv/photos") == Path("/srv/photos")
    assert to_location("photos") == Path("photos")


def test_a_scheme_in_capitals_is_the_same() -> None:
    assert str(to_location("MEMORY://bucket/Photos")) == "memory://bucket/Photos"


@pytest.mark.slow
def test_ray_paints_from_s3_to_s3(bundle: Bundle, s3: str, samples: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    store = Store(f"{s3}/ray")
    for seed in range(4):
        store.put(f"in/{seed}.png", picture(tmp_path / "any.png", seed=seed).read_bytes())
    command = [f"{store.url}/in", "--style", samples / "starry.jpg", "--bundle", bundle.path, *OPTIONS]
    found = nstbatch(*command, "--engine", "ray", "--workers", "2", "--threads", "1")
    assert "4 painted, 0 failed" in found.output
    assert len(store.paintings("in-starry")) == 4
    assert "4 up to date" in nstbatch(*command).output
    assert os.environ["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")


def test_a_bundle_that_is_not_there(store: Store, samples: Path, tmp_path: Path) -> None:
    folder = picture(tmp_path / "in" / "a.png").parent
    for content in (None, b"{", b"{}"):
        if content is not None:
            store.put("broken/manifest.json", content)
        found = nstbatch(folder, "--style", samples / "starry.jpg", "--bundle", f"{store.url}/broken", *OPTIONS)
        assert found.exit_code == ExitCode.FATAL
        assert f"{store.url}/broken" in found.output
