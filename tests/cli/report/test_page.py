"""The report of an output folder: its page, its thumbnails, its server."""

import http.client
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import seams
from nstbatch.cli.report.page import data_version, page_data, rebuild, render, write_page
from nstbatch.cli.report.server import Server
from nstbatch.cli.report.thumbnails import thumbnail_names
from nstbatch.cli.watchers.report import ReportWatcher
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.output.curves import POINTS, make_curve
from nstbatch.runtime.output.folder import REPORT_FILES, STATE
from nstbatch.runtime.output.journal import Entry, Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.output.runs import Run, read_runs
from nstbatch.runtime.pictures.photo import read_thumbnail
from process import MAIN
from seams import Bench, picture

Call = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--size", 40, "--iterations", 3, "--scales", "32,40", "--provider", "cpu")


def data_of(page: str) -> dict[str, object]:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    data: dict[str, object] = json.loads(text[1])
    return data


def test_a_run_leaves_a_report(painted_once: Path) -> None:
    painted = painted_once / "out"
    page = (painted / "report.html").read_text()
    data = data_of(page)
    rows = {row["name"]: row for row in data["rows"]}
    assert len(rows) == 3
    first = data["rows"][0]
    assert (first["name"], first["failed"], first["painting"]) == ("broken.jpg", True, None)
    assert first["reason"].startswith("not a picture")
    row = rows["a.png"]
    assert row["style"] == "starry"
    assert row["evaluations"] == 6
    assert [point[1] for point in row["curve"]] == [32] * 3 + [40] * 3
    assert row["curve"][-1][2] > 0
    for url in (row["photo"], row["painting"], row["photoThumbnail"], row["paintingThumbnail"]):
        assert (painted / url).exists()
    (run,) = data["runs"]
    assert (run["painted"], run["failed"], run["exit_code"]) == (2, 1, 3)
    assert run["seconds"] > 0
    assert "--style" in run["command"]
    assert "onnxruntime" in run["versions"]
    assert run["provider"] == "cpu, float32"
    assert set(re.findall(r"\w+://[^\"]+", page)) == {"http://www.w3.org/2000/svg", "https://pypi.org/project/nstbatch/"}


def test_no_name_of_a_file_is_code(painted: Path) -> None:
    page = (painted / "report.html").read_text()
    assert page.count("<script") == 2
    assert "alert(1)<" not in page
    name = "<script>alert(1)<script>\"'&.png"
    (row,) = [row for row in data_of(page)["rows"] if row["name"] == name]
    assert re.fullmatch(r"\./[A-Za-z0-9%._-]+", row["painting"])


@given(st.text(max_size=40))
def test_any_text_comes_back_from_the_page(name: str) -> None:
    page = render(Path("out"), {"rows": [name]})
    assert data_of(page)["rows"] == [name]
    assert page.count("</script>") == 2


def test_quiet_runs_leave_none(bundle: Bundle, tmp_path: Path, nstbatch: Call) -> None:
    picture(tmp_path / "in" / "a.png")
    common = (tmp_path / "in", "--style", picture(tmp_path / "s.png"), "--bundle", bundle.path, *QUICK)
    for name, options in {"q": ["-q"], "no": ["--no-report"], "dry": ["--dry-run"]}.items():
        assert nstbatch(*common, "-o", tmp_path / name, *options).returncode == 0
        assert not (tmp_path / name / "report.html").exists()
        assert not (tmp_path / name / REPORT_FILES).exists()
    assert nstbatch(*common, "-o", tmp_path / "q", "-q", "--report").returncode == 0
    assert (tmp_path / "q" / "report.html").exists()


def test_it_is_rebuilt_from_the_journal(painted: Path, nstbatch: Call) -> None:
    before = data_of((painted / "report.html").read_text())
    (painted / "report.html").unlink()
    for path in (painted / REPORT_FILES).iterdir():
        path.unlink()
    picture(painted / REPORT_FILES / f"{'0' * 24}.jpg")
    done = nstbatch("report", painted)
    assert (done.returncode, done.stdout.strip()) == (0, str(painted / "report.html"))
    after = data_of((painted / "report.html").read_text())
    assert before | {"generated": ""} == after | {"generated": ""}
    assert len(list((painted / REPORT_FILES).iterdir())) == 4, "without the one that nothing shows"
    nowhere = nstbatch("report", painted.parent)
    assert (nowhere.returncode, "is no output folder of nstbatch" in nowhere.stderr) == (2, True)


def test_somebody_elses_page_is_left_alone(painted: Path) -> None:
    (painted / "report.html").write_text("<html>mine</html>")
    with pytest.raises(UsageError, match="no report of nstbatch; move it away"):
        write_page(painted)
    assert (painted / "report.html").read_text() == "<html>mine</html>"


def test_what_is_wrong_with_a_report_costs_nothing(bundle: Bundle, tmp_path: Path, nstbatch: Call) -> None:
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    (tmp_path / "out" / REPORT_FILES).write_text("a file in the way")
    done = nstbatch(
        tmp_path / "in", "--style", picture(tmp_path / "s.png"), "--bundle", bundle.path, "-o", tmp_path / "out", *QUICK
    )
    assert (done.returncode, "1 painted" in done.stdout) == (0, True), done.stderr


def test_losses_that_are_not_finite_break_no_page(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    losses = np.array([[1.0, 2.0, 0.0], [np.nan, 1.0, 0.0], [1.0, np.inf, 0.0]])
    curve = make_curve(losses, np.array([40, 40, 40]))
    assert curve == [[1, 40, 1.0, 2.0, 0.0]]
    journal = Journal(tmp_path)
    journal.append(Entry("a.png", "/a.png", "painted", "diverged", "2026", "0", loss=float("nan"), curve=curve))
    assert data_of(write_page(tmp_path).read_text())["rows"][0]["loss"] is None


def test_a_photo_that_is_sound_again_is_no_failure(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in")
    journal = Journal.read(bench.output)
    journal.append(Entry("a.png", str(tmp_path / "in" / "a.png"), "failed", "Permission denied", "2026", "0"))
    journal.close()
    (row,) = page_data(bench.output, Journal.read(bench.output))["rows"]
    assert row["failed"]
    bench.run(tmp_path / "in")
    (row,) = page_data(bench.output, Journal.read(bench.output))["rows"]
    assert not row["failed"]


def test_a_folder_that_cannot_be_looked_into_stops_no_page(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(tmp_path / "in")
    real = Path.exists

    def exists(path: Path, **options: bool) -> bool:
        if path == tmp_path / "in" / "a.png":
            raise PermissionError(13, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(Path, "exists", exists)
    assert data_of(write_page(bench.output).read_text())["rows"][0]["photo"] is None


def test_a_report_during_a_run_leaves_its_thumbnails(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in")
    new = picture(bench.output / REPORT_FILES / f"{'1' * 24}.jpg")
    torn = bench.output / REPORT_FILES / f".{'0' * 16}.tmp"
    torn.touch()
    with hold([bench.output]):
        rebuild(bench.output)
        assert new.exists()
    rebuild(bench.output)
    assert not new.exists()
    assert not torn.exists(), "what a killed run left"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    picture(tmp_path / "in" / "a.png")
    return Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", {"size": 40, "iterations": 3, "scales": "1"})


def test_torn_lines_of_runs_are_skipped(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    run = Run.begin("cpu", "float32", seams.bundle(), "nstbatch photos")
    run.append(tmp_path)
    with (tmp_path / STATE / "runs.jsonl").open("a") as file:
        file.write('{"id": "torn\n[]\n{"id": "other"}\n')
    assert read_runs(tmp_path) == [run]


@given(
    levels=st.lists(st.tuples(st.integers(32, 512), st.integers(1, 300)), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
def test_a_curve_has_the_ends_of_every_level(levels: list[tuple[int, int]], seed: int) -> None:
    sizes = np.concatenate([[size] * count for size, count in levels])
    losses = np.random.default_rng(seed).random((len(sizes), 3)) * 1e5
    curve = make_curve(losses, sizes)
    assert len(curve) <= POINTS + 2
    numbers = [int(row[0]) for row in curve]
    assert numbers == sorted(set(numbers))
    edges = {1, len(sizes)} | {i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1]}
    assert edges <= set(numbers)
    for number, size, content, style, tv in curve:
        assert size == sizes[int(number) - 1]
        np.testing.assert_allclose([content, style, tv], losses[int(number) - 1], rtol=1e-3)


def test_thumbnails_are_upright_and_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.new("RGB", (1200, 400), "white")
    photo.paste("red", (0, 0, 600, 400))
    photo.save(tmp_path / "a.jpg", exif=exif)
    small = read_thumbnail(tmp_path / "a.jpg", 300)
    assert small.size == (100, 300)
    assert small.getpixel((50, 50))[1] < 20 < 200 < small.getpixel((50, 250))[1], "red above"
    Image.new("RGBA", (64, 48), (255, 0, 0, 0)).save(tmp_path / "b.png")
    assert read_thumbnail(tmp_path / "b.png", 300).getpixel((30, 20)) == (255, 255, 255)


# The server


@pytest.fixture
def server(painted: Path) -> Iterator[str]:
    served = Server(painted, 0)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served.url
    served.shutdown()
    served.server_close()


def get(url: str, path: str, host: str | None = None) -> tuple[int, bytes]:
    """What is answered to a path below the page's, or to one from ``/`` on."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    whole = path if path.startswith("/") else parts.path + path
    connection.request("GET", whole, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read()


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


def test_watch_from_the_command_line(painted: Path, nstbatch: Call) -> None:
    with subprocess.Popen([*MAIN, "watch", painted, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert get(process.stdout.readline().strip(), "status.json")[0] == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert nstbatch("watch", painted.parent).returncode == 2


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
