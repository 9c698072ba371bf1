"""Write docs/cli.md from the program's own --help, or check that it is up to date.

python docs/generate_cli.py [--check]
"""

import sys
from pathlib import Path

import click

from nstbatch.cli.app import app
from nstbatch.cli.commands.paint import paint
from nstbatch.cli.help import show_all

TARGET = Path(__file__).resolve().parent / "cli.md"


def render() -> str:
    """The text of docs/cli.md."""
    parts = ["# Command line\n\nWritten by `python docs/generate_cli.py` from `--help`.\n"]
    parts.append("What options of other programs are called here: [other-programs.md](other-programs.md).\n")
    commands = [("nstbatch", app), *((f"nstbatch {name}", command) for name, command in sorted(app.commands.items()))]
    for name, command in commands:
        context = click.Context(
            command, info_name=name, **{**app.context_settings, "max_content_width": 100, "terminal_width": 100}
        )
        parts.append(f"## `{name}`\n\n```text\n{_help(command, context)}\n```\n")
    return "\n".join(parts)


def _help(command: click.Command, context: click.Context) -> str:
    """All options of the command that has them; of others, what is not those of another."""
    return show_all(context) if command is paint else command.get_help(context)


def main() -> None:
    """Write, or with --check compare."""
    text = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text(encoding="utf-8") != text:
            sys.exit(f"{TARGET.name} is out of date; run `python docs/generate_cli.py`")
    else:
        TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
