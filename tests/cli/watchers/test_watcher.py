"""Several watchers as one."""

import pytest

from nstbatch.cli.watchers.watcher import CommandWatcher, Watchers
from nstbatch.runtime.batch.outcome import Outcome
from nstbatch.runtime.errors import ExitCode, UsageError


class Ear(CommandWatcher):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def note(self, text: str) -> None:
        self.heard.append(text)

    def ended(self, outcome: Outcome, code: ExitCode, error: str | None) -> None:
        self.heard.append((code, error))


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, (ExitCode.OK, None)),
        (UsageError("size 1 is too small"), (ExitCode.USAGE, "size 1 is too small")),
        (KeyboardInterrupt(), (ExitCode.INTERRUPTED, "interrupted")),
        (ZeroDivisionError("by zero"), (ExitCode.FATAL, "ZeroDivisionError: by zero")),
    ],
)
def test_everyone_hears_the_end_whatever_it_is(error: BaseException | None, end: tuple[ExitCode, str | None]) -> None:
    first, late = Ear(), Ear()
    watchers = Watchers([first])

    def work() -> None:
        with watchers.until_the_end():
            watchers.note("before")
            watchers.add(late)
            watchers.note("after")
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    assert first.heard == ["before", "after", end]
    assert late.heard == ["after", end]


def test_a_dry_run_that_refuses_ends_as_the_run_would() -> None:
    watchers = Watchers([])
    watchers.refused = True
    assert watchers.exit_code is ExitCode.SOME_FAILED
