"""Lines for people."""

import subprocess
import sys

import pytest

from nstbatch.cli.text import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Müller 日本.jpg", "Müller 日本.jpg"),
        ("two\nlines.jpg", r"two\nlines.jpg"),
        ("\x1b[31mred.jpg", r"\x1b[31mred.jpg"),
        ("bytes\udcff.jpg", r"bytes\xff.jpg"),
        ("left\u202eright.jpg", r"left\u202eright.jpg"),
    ],
)
def test_a_name_cannot_write_on_the_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_a_reader_that_has_left_stops_nothing() -> None:
    code = (
        "import sys, time\n"
        "from nstbatch.cli.text import print_line\n"
        "sys.stdin.read()\n"
        "for _ in range(3): print_line('x' * 100_000)\n"
        "print_line('still here', err=True)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1, text=True)
    assert run.stdin is not None
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    run.stdin.close()
    assert run.stderr.read() == "still here\n"
    assert run.wait() == 0
