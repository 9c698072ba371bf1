"""Pictures that programs pass on."""

import io
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from process import MAIN, QUICK


def piped(data: bytes, *words: object, cache: Path) -> subprocess.CompletedProcess[bytes]:
    env = {"NSTBATCH_CACHE_DIR": str(cache), "PATH": os.environ["PATH"]}
    return subprocess.run([*MAIN, *map(str, words)], input=data, env=env, capture_output=True, check=False)


@pytest.fixture
def plain(common: list[object], tmp_path: Path) -> list[object]:
    """The common options without an output."""
    return [option for option in common if option not in ("-o", tmp_path / "out")]


def test_from_stdin_to_stdout(plain: list[object], photos: Path, tmp_path: Path) -> None:
    for name, options, kind in (("a.jpg", (), "JPEG"), ("b.png", (), "PNG"), ("b.png", ("--format", "webp"), "WEBP")):
        data = (photos / name).read_bytes()
        done = piped(data, "-", *plain, *QUICK, "-o", "-", *options, cache=tmp_path / "cache")
        assert done.returncode == 0, done.stderr
        painting = Image.open(io.BytesIO(done.stdout))
        painting.load()
        assert (painting.format, painting.size) == (kind, (60, 44))
        assert done.stdout != data
    assert {path.name for path in (tmp_path / "cache").iterdir()} <= {"styles", "bundles"}, "nothing is left of it"


def test_from_a_file_to_stdout_and_from_stdin_to_a_file(plain: list[object], photos: Path, tmp_path: Path) -> None:
    done = piped(b"", photos / "a.jpg", *plain, *QUICK, "-o", "-", cache=tmp_path / "cache")
    assert (done.returncode, Image.open(io.BytesIO(done.stdout)).format) == (0, "JPEG")
    target = tmp_path / "painted.png"
    done = piped((photos / "a.jpg").read_bytes(), "-", *plain, *QUICK, "-o", target, cache=tmp_path / "cache")
    assert (done.returncode, Image.open(target).size) == (0, (60, 44))


@pytest.mark.parametrize(
    ("data", "words", "said"),
    [
        (b"", ["-", "-o", "-"], "0 bytes are no photo"),
        (b"text", ["-", "-o", "-"], "stdin: not a picture"),
        (b"x", ["-"], "name a picture with -o"),
        (b"x", ["-", "-o", "folder"], "name a picture with -o"),
        (b"x", ["-", "other.jpg", "-o", "-"], "name one photo"),
        (b"x", ["-", "-o", "-", "--json"], "leave out --json"),
        (b"", [".", "-o", "-"], "may be several photos, and stdout takes one painting"),
        (b"", ["*.jpg", "-o", "-"], "may be several photos"),
        (b"x", [".", "-o", "-", "--style-each"], "name one photo and one style"),
    ],
)
def test_what_cannot_be_piped(data: bytes, words: list[str], said: str, plain: list[object], tmp_path: Path) -> None:
    done = piped(data, *words, *plain, *QUICK, cache=tmp_path / "cache")
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
