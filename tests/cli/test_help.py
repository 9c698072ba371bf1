"""The help: options in groups, those for experts on demand, and none twice."""

import re

import click
import pytest
from click.testing import CliRunner

from nstbatch.cli.app import app
from nstbatch.cli.commands.paint import paint
from nstbatch.cli.help import Group, Option


def shown(*words: str) -> tuple[list[str], set[str]]:
    """The headings and the options of a help text."""
    done = CliRunner().invoke(app, words, terminal_width=200)
    assert done.exit_code == 0, done.output
    headings = re.findall(r"^(\w[\w ]*):$", done.output, re.MULTILINE)
    return headings, set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", done.output, re.MULTILINE))


def test_help_has_groups_and_leaves_out_what_is_for_experts() -> None:
    headings, options = shown("paint", "--help")
    assert headings == [group.value for group in Group]
    assert {"--style", "--size", "--output", "--dry-run", "--provider", "--help-all"} <= options
    assert not {"--vectors", "--cuda-graphs", "--overlap", "--lock-step", "--learning-rate", "--gpus-per-worker"} & options
    assert len(options) < 50


def test_help_all_has_every_option_once() -> None:
    _, options = shown("paint", "--help-all")
    assert options == {param.opts[-1] for param in paint.params if isinstance(param, click.Option)} | {
        "--help-all",
        "--help",
    }
    assert all(isinstance(param, Option) for param in paint.params if isinstance(param, click.Option))
    assert not any(param.group is Group.OTHER for param in paint.params if isinstance(param, Option))


@pytest.mark.parametrize(("command", "own"), [("warmup", set()), ("sweep", {"--output", "--size", "--strength"})])
def test_of_options_that_are_those_of_paint_only_what_differs_is_shown(command: str, own: set[str]) -> None:
    _, options = shown(command, "--help")
    assert {"--style", "--help-all"} | own <= options
    assert not {"--provider", "--recursive", "--threads", "--json"} & options
    assert "--provider" in shown(command, "--help-all")[1]


def test_options_for_experts_work_as_others() -> None:
    done = CliRunner().invoke(app, ["paint", "x", "--style", "y", "--overlap", "0"])
    assert done.exit_code == 2
    assert "--overlap" in done.output
