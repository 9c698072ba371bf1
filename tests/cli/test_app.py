"""The command line as a whole: help, environment, order."""

from importlib.metadata import version
from pathlib import Path

from process import QUICK, Call


def test_help_and_version(nstbatch: Call) -> None:
    for arguments in (("--help",), ("paint", "--help"), ("export", "--help"), ("doctor", "--help")):
        done = nstbatch(*arguments)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: ")
    assert version("nstbatch") in nstbatch("--version").stdout
    assert nstbatch().returncode == 2


def test_a_misspelt_variable_is_told(nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos / "a.jpg", *common, *QUICK, NSTBATCH_SIZ="64")
    assert done.returncode == 0
    assert "NSTBATCH_SIZ is set, and is none of the options" in done.stderr
    assert "NSTBATCH_CACHE_DIR" not in done.stderr
