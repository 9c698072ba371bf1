"""``nstbatch watch``: what arrives in a folder is painted, until somebody stops it."""

from pathlib import Path
from typing import Any

import click

from ...runtime.files.location import is_folder
from ...runtime.output.names import STATE
from ..help import Command
from ..options import explicit
from ..text import say
from .paint import paint
from .report import serve

_LEFT_OUT = ("dry_run", "force", "files_from", "wait", "max_duration")
"""Options of `paint` that make no sense for a run that has no end."""


class _Watch(Command):
    """Was the name of `serve` before; without a style it still is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; or do what this command did."""
        with_style = any(word == "--style" or word.startswith("--style=") for word in args)
        folders = [word for word in args if is_folder(Path(word) / STATE)]
        if len(folders) == 1 and not with_style:
            say("`nstbatch watch OUTPUT` is now `nstbatch serve OUTPUT`; `watch FOLDER --style PICTURE` paints what arrives")
            serve.main(args, "nstbatch serve", standalone_mode=False)
            ctx.exit()
        return super().parse_args(ctx, args)


@click.pass_context
def _watch(context: click.Context, /, **options: Any) -> None:
    from ..actions.watch import watch as act

    context.exit(act(explicit(context, options), context.obj))


watch = _Watch(
    "watch",
    callback=_watch,
    params=[parameter for parameter in paint.params if parameter.name not in _LEFT_OUT],
    elsewhere=[str(parameter.name) for parameter in paint.params if parameter.name not in ("photos", "style", "output")],
    help="Paint the photos of folders, and then what arrives in them, until it is stopped.\n\n"
    "\b\n  nstbatch watch camera-uploads/ --style starry.jpg\n\n"
    "A photo that is still being copied is waited for, and so is another run that holds the output folder. It ends with the "
    "exit code of a run that could not go on, or with 130. Other options are those of `nstbatch paint`.",
)
