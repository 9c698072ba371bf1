"""Lines of text for people, on stdout and stderr."""

import os
import sys

import click


def say(text: str) -> None:
    """A note about the run, on stderr."""
    print_line(f"nstbatch: {printable(text)}", err=True)


def print_line(line: str, err: bool = False) -> None:
    """A line of the report, on stdout or stderr. Where it cannot be written (`| head`, a full disk) the run goes on."""
    try:
        click.echo(line, err=err)
    except OSError:
        silence(err=err)


def silence(*, err: bool) -> None:
    """Send what is still to come on stdout or stderr nowhere: whoever read it has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())
    os.close(nowhere)


def printable(text: str) -> str:
    """A file name may hold line breaks, escape sequences, or bytes that are no UTF-8."""
    text = text.encode(sys.getfilesystemencoding(), "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
