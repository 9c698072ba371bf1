"""Options in groups, and those for experts in ``--help-all`` only."""

import os
import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import click

HABITS = {
    "--avg-decay": "--average",
    "--content": "an argument: nstbatch PHOTO --style PICTURE",
    "--content-image": "an argument: nstbatch PHOTO --style PICTURE",
    "--end-scale": "--size",
    "--ext": "--format",
    "--gpu": "--device, or --provider cpu for none",
    "--image-size": "--size",
    "--init-image": "--init",
    "--input": "an argument: nstbatch FOLDER --style PICTURE",
    "--iters": "--iterations",
    "--jobs": "--overlap",
    "--max-iter": "--iterations",
    "--num-iterations": "--iterations",
    "--num-steps": "--iterations",
    "--original-colors": "--colors photo",
    "--output-dir": "--output",
    "--output-image": "--output",
    "--overwrite": "--force",
    "--preserve-color": "--colors photo",
    "--random-seed": "--seed",
    "--size-pixels": "--size",
    "--skip-existing": "how every run works; --keep-existing spares files of yours, too",
    "--style-image": "--style",
    "--styles": "--style, once for each",
    "--suffix": "--name '{stem}_SUFFIX{ext}'",
}
"""What options of other programs are called here."""

_TWO = 2
"""Arguments of somebody who has named a photo and a style."""


class Group(StrEnum):
    """A heading of the help, in the order of the headings."""

    STYLE = "Style"
    STRENGTH = "Strength"
    FILES = "Input and output"
    RUN = "Run"
    HARDWARE = "Hardware"
    OTHER = "Options"


class Option(click.Option):
    """An option that knows its place in the help.

    Attributes:
        group: under which heading it stands.
        expert: whether it stands in ``--help-all`` only: the program chooses well for nearly everyone.
    """

    def __init__(self, *arguments: Any, group: Group = Group.OTHER, expert: bool = False, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.group = group
        self.expert = expert


class Command(click.Command):
    """A command whose options are in groups.

    Attributes:
        elsewhere: names of options that are documented with another command, and stand in ``--help-all`` only.
    """

    def __init__(self, *arguments: Any, elsewhere: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.elsewhere = elsewhere

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and tell those who know other programs what an option is called here."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if (here := HABITS.get(error.option_name)) is not None:
                raise click.UsageError(f"No such option '{error.option_name}'; here it is {here}.", ctx) from None
            raise
        except click.MissingParameter as error:
            if error.param is None or error.param.name != "style" or len(given) != _TWO or not os.path.lexists(given[0]):
                raise
            photo, style = map(shlex.quote, given)
            raise click.UsageError(f"Which is the style? Say it: nstbatch {photo} --style {style}", ctx) from None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters, with ``--help-all`` where there is more than ``--help`` shows."""
        params = super().get_params(ctx)
        if any(self._is_for_experts(param) for param in params):
            params.insert(-1, _HELP_ALL)
        return params

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a heading for each group."""
        groups: dict[Group, list[tuple[str, str]]] = {group: [] for group in Group}
        for param in self.get_params(ctx):
            shown = isinstance(param, click.Option) and (_ALL in ctx.meta or not self._is_for_experts(param))
            if shown and (record := param.get_help_record(ctx)) is not None:
                groups[param.group if isinstance(param, Option) else Group.OTHER].append(record)
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)

    def _is_for_experts(self, param: click.Parameter) -> bool:
        return param.name in self.elsewhere or (isinstance(param, Option) and param.expert)


_ALL = f"{__name__}.all"
"""In the context: whether all options are to be shown."""


def show_all(context: click.Context) -> str:
    """The help of ``--help-all``."""
    context.meta[_ALL] = True
    return context.get_help()


def _help_all(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(show_all(context), color=context.color)
        context.exit()


_HELP_ALL = click.Option(
    ["--help-all"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_help_all,
    help="Show every option, those for experts too, and exit.",
)
