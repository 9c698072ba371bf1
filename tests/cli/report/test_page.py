"""The page of an output folder: what it tells, and what it does to no file of somebody else's."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.cli.report.page import page_data, render, write_page
from nstbatch.runtime.output.curves import make_curve
from nstbatch.runtime.output.journal import Entry, Journal
from nstbatch.runtime.output.names import STATE, Key
from nstbatch.runtime.output.runs import Run
from pages import data_of
from seams import Bench


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


def test_losses_that_are_not_finite_break_no_page(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    losses = np.array([[1.0, 2.0, 0.0], [np.nan, 1.0, 0.0], [1.0, np.inf, 0.0]])
    curve = make_curve(losses, np.array([40, 40, 40]))
    assert curve == [[1, 40, 1.0, 2.0, 0.0]]
    journal = Journal(tmp_path)
    journal.append(Entry(Key("a.png"), "/a.png", "painted", "done", "2026", "0", loss=1.0, curve=curve))
    journal.append(Entry(Key("b.png"), "/b.png", "painted", "diverged", "2026", "0", loss=float("nan"), curve=curve))
    assert [row["name"] for row in data_of(write_page(tmp_path).read_text())["rows"]] == ["a.png"]


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


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, "a.png", settings={"size": 40, "iterations": 3, "scales": "1"})


def test_odd_lines_break_no_page(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    Journal(tmp_path).append(Entry(Key("a.png"), "", "failed", "because", "2026", "0"))
    Run("1", "2026", "", "", "", "", seconds=1e-320, painted=1).append(tmp_path)
    assert data_of(write_page(tmp_path).read_text())["runs"][0]["rate"] == 36_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "nstbatch /srv/photos --style '/home/me/my styles/starry.jpg' -o=/out/x",
            "nstbatch photos --style 'my styles/starry.jpg' -o=x",
        ),
        ("vgg19, /home/me/.cache/nstbatch/vgg19-max", "vgg19, vgg19-max"),
        (
            "s3://bucket/photos/a.jpg and photos/b.jpg, ../c.jpg, ~/d.jpg",
            "s3://bucket/photos/a.jpg and photos/b.jpg, ../c.jpg, ~/d.jpg",
        ),
        (
            "there is a folder where the output would go: /srv/out/a.png",
            "there is a folder where the output would go: a.png",
        ),
    ],
)
def test_a_page_tells_nothing_of_the_host(text: str, shown: str, tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    Journal(tmp_path).append(Entry(Key("a.png"), "/srv/a.png", "failed", text, "2026", "0"))
    Run("1", "2026", text, "", "cpu", text).append(tmp_path)
    page = write_page(tmp_path).read_text()
    data = data_of(page)
    assert (data["rows"][0]["reason"], data["runs"][0]["command"], data["runs"][0]["bundle"]) == (shown, shown, shown)
    assert str(tmp_path) not in page
