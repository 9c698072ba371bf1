"""Defaults of options from a file."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nstbatch.cli.app import app
from nstbatch.cli.commands import paint as module


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, object]]:
    """The options that the command would have acted on."""
    found: list[dict[str, object]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("nstbatch.cli.actions.paint.paint", lambda options, _: found.append(options) or 0)
    return found


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["photos", *words])


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    asked: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "nstbatch.toml").write_text(
        'style = "s.jpg"\nsize = 1024\niterations = 90\nseed = 7\nstyle-each = true\nno-report = true\nlog-file = 5\n'
    )
    monkeypatch.setenv("NSTBATCH_ITERATIONS", "80")
    done = run("--seed", "8")
    assert done.exit_code == 0, done.output
    (options,) = asked
    assert [str(path) for path in options["style"]] == ["s.jpg"]  # type: ignore[attr-defined]
    assert (options["size"], options["iterations"], options["seed"], options["style_each"]) == (1024, 80, 8, True)
    assert (options["report"], str(options["log_file"])) == (False, "5")
    assert "tv_weight" not in options, "the preset's own"


def test_the_users_file_is_second_and_a_named_one_is_alone(asked: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "config" / "nstbatch").mkdir(parents=True)
    (tmp_path / "config" / "nstbatch" / "nstbatch.toml").write_text("size = 300")
    (tmp_path / "other.toml").write_text("iterations = 5")
    assert run("--style", "s.jpg").exit_code == 0
    assert run("--style", "s.jpg", "--config", "other.toml").exit_code == 0
    assert (asked[0]["size"], asked[1]["iterations"]) == (300, 5)
    assert "size" not in asked[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sizes = 3", "'sizes' is not an option of `nstbatch paint`"),
        ("config = 'x'", "'config' is not an option"),
        ("size = ", "not TOML"),
        ("style = [['a']]", "'style' has a value that the option does not take"),
        ("size = [1, 2]", "'size' has a value that the option does not take"),
        ("size = 'large'", "Invalid value for '--size'"),
        ("\xff", "not TOML"),
    ],
)
def test_files_that_make_no_sense(text: str, said: str, asked: list[dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "nstbatch.toml").write_bytes(text.encode("latin-1"))
    done = run("--style", "s.jpg")
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert asked == []
    missing = run("--style", "s.jpg", "--config", "absent.toml")
    assert (missing.exit_code, "absent.toml: No such file" in missing.output) == (2, True)


def test_other_commands_with_these_options_take_it_too() -> None:
    from nstbatch.cli.commands.warmup import warmup
    from nstbatch.cli.commands.watch import watch

    for command in (module.paint, warmup, watch):
        assert "config" in {param.name for param in command.params}
