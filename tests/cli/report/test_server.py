"""The page while a run works."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

import seams
from nstbatch.cli.report.page import data_version, rebuild
from nstbatch.cli.report.server import CONNECTIONS, Server
from nstbatch.cli.report.thumbnails import thumbnail_names
from nstbatch.cli.watchers.report import ReportWatcher
from nstbatch.runtime.output.journal import Entry, Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.output.names import REPORT_FILES, STATE, Key
from nstbatch.runtime.output.runs import Run
from pages import data_of, get
from seams import Bench, picture


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, "a.png", settings={"size": 40, "iterations": 3, "scales": "1"})


@pytest.fixture
def server(painted: Path) -> Iterator[str]:
    served = Server(painted, 0)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served.url
    served.shutdown()
    served.server_close()


def test_the_server_shows_what_the_journal_knows_and_nothing_else(server: str, painted: Path) -> None:
    status, page = get(server, "")
    data = data_of(page.decode())
    assert (status, data["live"]) == (200, True)
    for row in data["rows"]:
        for name in ("photo", "painting", "photoThumbnail", "paintingThumbnail"):
            if row[name]:
                assert get(server, row[name].removeprefix("./"))[0] == 200, row[name]
    assert json.loads(get(server, "data.json")[1])["rows"] == data["rows"]
    assert get(server, "painting/a.png")[1] == (painted / "a.png").read_bytes()
    (painted / "secret.txt").write_text("secret")
    outside = ("secret.txt", "a.png", ".nstbatch/journal.jsonl", "../starry.png", "%2e%2e/starry.png", "photo/starry.png")
    for path in (
        *outside,
        "painting/secret.txt",
        "painting/../secret.txt",
        f"{REPORT_FILES}/%00.jpg",
        f"{REPORT_FILES}/../secret.txt",
    ):
        assert get(server, path)[0] == 404, path
    assert get(server, "/")[0] == get(server, "/data.json")[0] == 404, "who does not know the address"
    assert get(server, "", host="evil.example:80")[0] == 403, "a name of elsewhere that points here"
    assert get(server, "", host="localhost:1")[0] == 200


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that is no picture, and whoever serves it has been led astray."""
    path = tmp_path / "secret.txt"
    path.write_text("secret" * 1000)
    return path


@pytest.mark.parametrize("name", ["painting/a.png", "thumbnail", "easel.jpg", "photo/a.png"])
@pytest.mark.parametrize("kind", ["link", "fifo", "device", "text"])
def test_only_pictures_are_served(name: str, kind: str, server: str, painted: Path, secret: Path) -> None:
    entry = Journal.read(painted).painted[Key("a.png")]
    thumbnail = f"{REPORT_FILES}/{thumbnail_names(entry)[0]}"
    name = thumbnail if name == "thumbnail" else name
    places = {
        "painting/a.png": painted / "a.png",
        "photo/a.png": Path(entry.source),
        "easel.jpg": painted / STATE / "easel.jpg",
    }
    path = places.get(name, painted / name)
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "text":
        path.write_bytes(secret.read_bytes())
    else:
        path.symlink_to(secret if kind == "link" else "/dev/zero")
    status, answer = get(server, name)
    assert (status, b"secret" in answer) == (404, False)
    if kind == "link" and not name.startswith("photo"):
        path.unlink()
        path.symlink_to(picture(secret.with_name("private.jpg")))
        assert get(server, name)[0] == 404, "what nstbatch made is no link, wherever it leads"


def test_who_does_not_know_the_address_keeps_nobody_out(server: str) -> None:
    address = (urlsplit(server).hostname, urlsplit(server).port)
    before = threading.active_count()
    idle = []
    for number in range(300):
        idle.append(socket.create_connection(address))
        if number % 2:
            idle[-1].send(b"GET ")
    assert get(server, "status.json")[0] == 200
    assert threading.active_count() - before <= CONNECTIONS + 2
    first = idle[0]
    first.settimeout(10)
    assert first.recv(10) == b"", "it went in another's place"
    for connection in idle:
        connection.close()


def test_the_address_is_looked_at_first(server: str) -> None:
    with socket.create_connection((urlsplit(server).hostname, urlsplit(server).port)) as connection:
        connection.settimeout(10)
        connection.send(b"GET /nobody/knows HTTP/1.1\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 404"), "before any header has come"


def test_a_journal_that_is_damaged_breaks_no_page(server: str, painted: Path) -> None:
    journal = painted / STATE / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"v": 1, "target": "../../secret.txt", "source": "/etc/passwd", "outcome": "painted"}\n[[[\n\xff\n')
    assert get(server, "data.json")[0] == 200
    assert get(server, "photo/../../secret.txt")[0] == 404
    journal.unlink()
    os.mkfifo(journal)
    assert get(server, "data.json")[0] == 500
    (painted / STATE / "status.json").write_text('{"state": "running", "pid": 1e400, "updated": [], "host": 3}')
    assert json.loads(get(server, "status.json")[1])["state"] == "ended"


def test_the_server_tells_what_is_on_the_easel(server: str, painted: Path) -> None:
    assert json.loads(get(server, "status.json")[1])["state"] == "ended"
    status = json.loads((painted / STATE / "status.json").read_text())
    running = {"state": "running", "pid": os.getpid(), "current": "a.png", "fraction": 0.25, "seconds_left": 60, "left": 3}
    (painted / STATE / "status.json").write_text(json.dumps(status | running))
    Image.new("RGB", (48, 36), "red").save(painted / STATE / "easel.jpg")
    told = json.loads(get(server, "status.json")[1])
    assert (told["state"], told["fraction"], told["left"]) == ("running", 0.25, 3)
    assert told["easel"]
    assert get(server, "easel.jpg")[0] == 200
    dead = subprocess.Popen(["true"])
    dead.wait()
    (painted / STATE / "status.json").write_text(json.dumps(status | running | {"pid": dead.pid}))
    assert json.loads(get(server, "status.json")[1])["state"] == "ended", "it was killed"
    for seen, changed in (("running", {}), ("ended", {"updated": "2026-01-01T00:00:00+00:00"})):
        elsewhere = status | running | {"pid": dead.pid, "host": "another"} | changed
        (painted / STATE / "status.json").write_text(json.dumps(elsewhere))
        assert json.loads(get(server, "status.json")[1])["state"] == seen, "its process cannot be asked for from here"


def test_the_version_changes_with_the_journal(painted: Path) -> None:
    before = data_version(painted)
    journal = Journal.read(painted)
    journal.append(Entry("b.png", "/b.png", "failed", "because", "2026-01-01T00:00:00+00:00", "0"))
    after = data_version(painted)
    assert after != before
    picture(painted / REPORT_FILES / "late.jpg")
    assert data_version(painted) != after, "a thumbnail comes after its line"


def test_a_run_in_work_is_on_the_easel(tmp_path: Path) -> None:
    """A watcher of a real batch: status, easel and thumbnails while it goes on, and what is left after it."""
    from nstbatch.runtime.batch.batch import Batch
    from nstbatch.runtime.batch.outcome import Outcome
    from nstbatch.runtime.painting.stylizer import Stylizer
    from nstbatch.runtime.planning.plan import make_plan
    from nstbatch.runtime.workers.interface import Procedure
    from nstbatch.runtime.workers.local import LocalPainters

    for seed in range(2):
        picture(tmp_path / "in" / f"{seed}.png", seed=seed)
    bench = Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out")
    seen = []
    report = Outcome()
    watcher = ReportWatcher(clock=iter(range(10**6)).__next__)
    with hold([bench.output]):
        journals = {bench.output: Journal.read(bench.output)}
        stylizer = Stylizer.open(bench.engine(), bench.style, **bench.settings)
        plan = make_plan(bench.items(tmp_path / "in"), journals, stylizer.facts.recipe)
        run = Run.begin("cpu", "float32", seams.bundle(), "nstbatch photos")
        watcher.opened(run, journals, report)
        watcher.planned(plan, stylizer.settings)

        def progress(item, step, snapshot):  # type: ignore[no-untyped-def]
            watcher.progress(item, step, snapshot)
            status = json.loads((bench.output / STATE / "status.json").read_text())
            seen.append(((bench.output / STATE / "easel.jpg").exists(), status))

        for row in Batch(plan, LocalPainters(stylizer), journals, Procedure(run=run.id)).run(watcher.started, progress):
            report.rows.append(row)
            watcher.finished(row)
        watcher.ended(report, report.exit_code, None)
    assert any(easel for easel, _ in seen)
    assert {status["state"] for _, status in seen} == {"running"}
    assert not (bench.output / STATE / "easel.jpg").exists()
    entries = Journal.read(bench.output).painted.values()
    assert {entry.run for entry in entries} == {run.id}
    assert {path.name for path in (bench.output / REPORT_FILES).iterdir()} == {
        n for e in entries for n in thumbnail_names(e)
    }
    assert len(data_of((bench.output / "report.html").read_text())["rows"]) == 2
    assert rebuild(bench.output) == bench.output / "report.html"
