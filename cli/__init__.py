"""Command line: words, options, progress and exit codes. No arithmetic."""

import sys

import click
from click_default_group import DefaultGroup

from ..runtime.errors import ExitCode, NstbatchError
from .console import say
from .doctor import doctor
from .export import export
from .paint import paint


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


for command in (paint, export, doctor):
    app.add_command(command)


def main() -> None:
    """Entry point of the console script: turn results and errors into exit codes."""
    try:
        code = app.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        code = ExitCode.INTERRUPTED
    except NstbatchError as error:
        say(str(error))
        code = error.exit_code
    sys.exit(code or 0)
