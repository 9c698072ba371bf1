"""The rules of the house: what a start may load, and what the package gives."""

import ast
import subprocess
import sys

import pytest

import nstbatch
from nstbatch.cli.library import paint, paint_folder
from nstbatch.runtime.errors import UsageError
from places import ROOT

HEAVY = ("numpy", "PIL", "onnxruntime", "rich", "scipy", "jinja2", "torch", "onnx", "asyncio")


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_a_start_that_paints_nothing_loads_nothing_heavy(word: str) -> None:
    code = (
        f"import sys; sys.argv = ['nstbatch', {word!r}]\n"
        "from nstbatch.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr.strip() == "[]"
    assert found.stdout


def test_every_room_says_what_lives_there() -> None:
    rooms = [path for top in ("runtime", "cli") for path in (ROOT / top).glob("*/__init__.py")]
    assert len(rooms) >= 15
    for path in rooms:
        (docstring,) = ast.parse(path.read_text()).body
        assert isinstance(docstring, ast.Expr), f"{path} is a docstring and nothing else"


OPENERS = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "unlink", "rename", "remove", "rmtree"}
"""Functions and methods that open, write or delete files; and `os.replace`, which text has a method of the name of."""

ELSEWHERE = ("remote.", "source.joinpath", "Image.", "self._painters.")
"""Objects behind URLs, the package's own files, and what opens no file."""


def test_our_own_files_are_opened_and_deleted_in_one_module() -> None:
    rooms = ("runtime/output", "runtime/batch", "runtime/painting", "runtime/planning", "cli/report", "cli/watchers")
    for path in (path for room in rooms for path in sorted((ROOT / room).glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if not called.startswith(ELSEWHERE):
                assert called != "os.replace", f"{path}:{node.lineno}"  # type: ignore[attr-defined]
                assert called.rpartition(".")[2] not in OPENERS, f"{path}:{node.lineno}"  # type: ignore[attr-defined]


def test_the_public_names_are_there() -> None:
    for name in nstbatch.__all__:
        assert getattr(nstbatch, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        nstbatch.nonsense  # noqa: B018


def test_a_misspelt_keyword_names_the_near_one() -> None:
    with pytest.raises(UsageError, match="'style_wieght' is not an option; did you mean 'style_weight'"):
        paint("photo.jpg", style="starry.jpg", style_wieght=3)
    with pytest.raises(UsageError, match="'recursiv' is not an option; did you mean 'recursive'"):
        paint_folder("photos", style="starry.jpg", recursiv=True)
    for ours in ("cache", "regions", "listed", "_listings"):
        with pytest.raises(UsageError, match=f"'{ours}' is not an option"):
            paint_folder("photos", style="starry.jpg", **{ours: ()})


def test_the_runtime_loads_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, nstbatch.runtime; "
        "print([m for m in ('torch', 'onnx', 'onnxscript', 'torchvision', 'click', 'rich') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_tests_stand_in_the_rooms_of_their_modules() -> None:
    below = {"cli": ROOT / "cli", "exporter": ROOT / "exporter"}
    strangers = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        room, *rest = path.relative_to(ROOT / "tests").parent.parts or ("",)
        if room in ("house", "gpu"):
            continue
        home = below.get(room, ROOT / "runtime" / room).joinpath(*rest)
        if not (home / path.name.removeprefix("test_")).exists():
            strangers.append(path.relative_to(ROOT).as_posix())
    assert strangers == []
