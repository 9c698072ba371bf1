"""Command line: words, options, progress and exit codes. No arithmetic."""

import difflib
import logging
import os
import sys
import warnings

import click
from click_default_group import DefaultGroup

from ..runtime.errors import ExitCode, NstbatchError
from ..runtime.files.cache import CACHE_VARIABLE
from .actions.signals import interruptible
from .commands.classify import classify
from .commands.doctor import doctor
from .commands.export import export
from .commands.losses import losses
from .commands.pack import pack
from .commands.paint import paint
from .commands.presets import presets
from .commands.report import report, serve
from .commands.sweep import sweep
from .commands.warmup import warmup
from .commands.watch import watch
from .options import PREFIX
from .text import say


@click.group(
    cls=DefaultGroup,
    default="paint",
    default_if_no_args=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="nstbatch")
def app() -> None:
    """Neural style transfer for whole folders of photos, unattended.

    \b
      nstbatch FOLDER --style PICTURE     paint every photo of FOLDER (the command may be left out: paint)
      nstbatch paint --help               its options

    Every option can be given in the environment: NSTBATCH_STYLE, NSTBATCH_SIZE, ... The cache is NSTBATCH_CACHE_DIR.
    """


for command in (paint, watch, report, serve, sweep, losses, classify, export, presets, doctor, pack, warmup):
    app.add_command(command)


def run(tools: object = None) -> int:
    """Run the command line; results and errors become exit codes.

    Args:
        tools: `Tools` of a test; None for the program's own.
    """
    # What Pillow logs of damaged files is in the errors that it raises.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", module=r"PIL\b")
    for name in _unknown_variables():
        say(f"{name} is set, and is none of the options")
    with interruptible() as interruption:
        try:
            return app.main(standalone_mode=False, obj=tools) or 0
        except click.ClickException as error:
            error.show()
            if hint := _meant():
                say(hint)
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            pass
        except Exception as error:
            # An import that is interrupted says that its module is not there.
            if not interruption.taken:
                if not isinstance(error, NstbatchError):
                    raise
                say("; ".join(text for text in (str(error), _meant()) if text))
                return error.exit_code
    say("interrupted")
    return ExitCode.INTERRUPTED


def _meant() -> str:
    """A hint for whoever has misspelt a command, which is then taken for a photo."""
    word = next(iter(sys.argv[1:]), "")
    if word in app.commands or os.path.lexists(word):
        return ""
    near = difflib.get_close_matches(word, app.commands, 1, _NEAR)
    return f"did you mean `nstbatch {near[0]}`?" if near else ""


_NEAR = 0.7
"""Share of letters in common from which two words are near."""


def _unknown_variables() -> list[str]:
    """Names of the environment that look like an option and are none: most often a misspelling."""
    known = {CACHE_VARIABLE} | {str(p.envvar) for command in app.commands.values() for p in command.params if p.envvar}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
