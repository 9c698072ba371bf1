"""An index of several outputs."""

import shutil
from pathlib import Path

import pytest

from nstbatch.cli.report.index import find_outputs, rebuild_all, render_index, renew_index
from nstbatch.runtime.errors import UsageError
from pages import data_of
from process import QUICK, Call
from seams import picture


def test_a_run_in_several_styles_has_one(photos: Path, samples: Path, common: list[object], nstbatch: Call) -> None:
    done = nstbatch(photos, *common, *QUICK, "--style", samples / "mosaic.jpg", "--style-each", "-q", "--report")
    assert done.returncode == 0, done.stderr
    out = photos.parent / "out"
    assert {path.name for path in out.iterdir()} == {"ember", "mosaic", "report.html"}
    text = (out / "report.html").read_text()
    assert 'href="./ember/report.html"' in text
    assert text.count("2 painted") == 2
    for style in ("ember", "mosaic"):
        assert [each["name"] for each in data_of((out / style / "report.html").read_text())["styles"]] == [style]
        assert len(list((out / style / "report_files").iterdir())) == 2 + 2 + 1, "photos, paintings, and its own style"
    assert not (photos.parent / "report.html").exists(), "what else is there is not nstbatch's"


def test_one_of_somebody_elses_stays(painted: Path) -> None:
    index = painted.parent / "report.html"
    index.write_text("<p>mine</p>")
    with pytest.raises(UsageError, match=r"report\.html: already exists, and is not a report of nstbatch"):
        rebuild_all(painted.parent)
    renew_index([painted])
    assert index.read_text() == "<p>mine</p>"


def test_only_outputs_are_in_it(painted: Path) -> None:
    (painted.parent / "link").symlink_to(painted)
    shutil.copytree(painted, painted.parent / ".hidden")
    shutil.copytree(painted, painted.parent / "damaged")
    (painted.parent / "damaged" / ".nstbatch" / "journal.jsonl").write_bytes(b"\xff\n")
    picture(painted.parent / "else" / "a.png")
    assert [path.name for path in find_outputs(painted.parent)] == ["damaged", "out"]
    assert "0 painted" in render_index(painted.parent)


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no output folder of nstbatch, and none is in it"):
        rebuild_all(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        rebuild_all(tmp_path / "absent")
