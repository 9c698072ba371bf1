"""Documentation that cannot lie."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nstbatch import runtime

ROOT = Path(__file__).resolve().parent.parent


def test_the_command_line_reference_is_what_help_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate_cli.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_starts_with_the_two_commands() -> None:
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "pip install '.[cpu,export]' && nstbatch samples/photos --style samples/starry.jpg" in blocks[0].splitlines()
    assert "pip install -e '.[cpu,openvino,export,dev]' && pytest" in blocks[1].splitlines()


def test_the_container_file_is_linted() -> None:
    # Beside the interpreter: the folder of a virtual environment need not be on the path.
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint has no wheel for this platform")
    done = subprocess.run(
        [linter, ROOT / "docs" / "container" / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_inside_the_project_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not target.startswith("http")]
    missing = [target for target in links if not ((ROOT / document).parent / target).exists()]
    assert not missing


def test_the_readme_names_every_exit_code() -> None:
    from nstbatch.runtime import ExitCode

    rows = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {int(code) for code in rows} == {int(code) for code in ExitCode}


def test_the_names_of_the_runtime_are_there() -> None:
    assert sorted(runtime.__all__) == sorted(runtime._HOMES)
    for name in runtime.__all__:
        assert getattr(runtime, name).__module__ == f"nstbatch.runtime.{runtime._HOMES[name]}"
    with pytest.raises(AttributeError, match="nonsense"):
        runtime.nonsense  # noqa: B018
