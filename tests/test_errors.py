"""Errors: one line, and the code that the process ends with."""

import pytest

from nstbatch.runtime import errors
from nstbatch.runtime.errors import ExitCode, NstbatchError, first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "a.jpg"), "No space left on device"),
        (ValueError("first\nsecond"), "first"),
        (ValueError("  much \t room\n"), "much room"),
        (ValueError(), "ValueError"),
        (ValueError("\n"), "ValueError"),
    ],
)
def test_an_error_in_a_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_every_error_has_a_code() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NstbatchError)]
    assert len(found) > 8
    for kind in found:
        assert isinstance(kind.exit_code, ExitCode)
        assert kind.exit_code is not ExitCode.OK
