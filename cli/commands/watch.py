"""``nstbatch watch``: what arrives in a folder is painted, until somebody stops it."""

import os
from typing import Any

import click

from ..help import Command
from ..options import PREFIX, explicit
from ..text import say
from .paint import paint
from .report import serve

_LEFT_OUT = ("dry_run", "force", "files_from", "wait")
"""Options of `paint` that make no sense for a run that has no end."""


class _Watch(Command):
    """Was the name of `serve` before; without a style it still is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; or do what this command did."""
        with_style = any(word == "--style" or word.startswith("--style=") for word in args)
        if args and not with_style and f"{PREFIX}STYLE" not in os.environ and not {"-h", "--help", "--help-all"} & set(args):
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
    "A photo that is still being copied is waited for. Other options are those of `nstbatch paint`.",
)
