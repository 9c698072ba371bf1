"""What ``nstbatch paint`` and ``nstbatch warmup`` do."""

import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...runtime.batch.outcome import duration
from ...runtime.batch.run import Forecast, Job, forecast, run
from ...runtime.batch.run import warm_up as warm_up_job
from ...runtime.bundle.spec import Bundle
from ...runtime.errors import ExitCode, UsageError, first_line
from ...runtime.files.own import OwnFile
from ...runtime.planning.plan import TaskState
from ...runtime.recipe.keywords import Options, take
from ..text import print_line, printable, say
from ..watchers.events import JsonLines
from ..watchers.log_file import LogFile
from ..watchers.report import ReportWatcher
from ..watchers.status_file import StatusFile
from ..watchers.terminal import RunDisplay, steps
from ..watchers.watcher import CommandWatcher, Watchers
from .bundles import BundleRequest
from .jobs import Tools, make_job
from .signals import stopping


@dataclass(frozen=True, kw_only=True)
class Audience:
    """The options that say who watches.

    Attributes:
        json: events on stdout, for programs.
        log_file, status_file: files for people and for monitors; None for none.
        verbose, quiet: say more, or only what failed.
        report: whether there is a report; None for one unless quiet.
        preview: whether each painting is shown on the terminal.
        piped: whether stdout is for a painting.
    """

    json: bool = False
    log_file: Path | None = None
    status_file: Path | None = None
    verbose: bool = False
    quiet: bool = False
    report: bool | None = None
    preview: bool = False
    piped: bool = False


def paint(options: Options, tools: Tools | None = None) -> ExitCode:
    """Paint what the options ask for, or with ``dry_run`` print what would be painted.

    Returns the exit code, or raises what `Watchers.until_the_end` lets through.
    """
    audience = take(Audience, options)
    events = JsonLines() if audience.json else None
    watchers = _watchers(audience, events)
    with watchers.until_the_end():
        _add_files(watchers, audience)
        job = _job(options, tools or Tools(), watchers)
        if options.get("dry_run"):
            with steps(watchers.note) as step:
                found = forecast(job, watchers, step)
            if found is not None:
                watchers.refused = found.plan.count(TaskState.REFUSED) > 0
                _print_forecast(found, events)
                if text := str(found.left_out):
                    watchers.note(text)
        else:
            drop = options.get("on_stop", "drop") == "drop"
            run(job, watchers, partial(stopping, drop=drop, note=watchers.note))
    return watchers.exit_code


def warm_up(options: Options, tools: Tools | None = None) -> ExitCode:
    """Prepare for what the options ask for; see `paint`."""
    audience = take(Audience, options)
    watchers = _watchers(audience, JsonLines() if audience.json else None)
    with watchers.until_the_end():
        _add_files(watchers, audience)
        job = _job(options, tools or Tools(), watchers)
        with steps(watchers.note) as step:
            warm_up_job(job, watchers, step)
    return watchers.exit_code


def _watchers(audience: Audience, events: JsonLines | None) -> Watchers:
    display = RunDisplay(audience.verbose - audience.quiet, audience.json or audience.piped, audience.preview)
    several: list[CommandWatcher] = [display] if events is None else [display, events]
    return Watchers(several)


def _add_files(watchers: Watchers, audience: Audience) -> None:
    """Those watchers that may be refused."""
    if audience.log_file is not None:
        watchers.add(LogFile(audience.log_file, audience.verbose))
    if audience.status_file is not None:
        watchers.add(StatusFile(_own_file("--status-file", audience.status_file)))
    if audience.report or (audience.report is None and not audience.quiet):
        watchers.add(ReportWatcher(watchers.note))


def _own_file(option: str, path: Path) -> OwnFile:
    try:
        return OwnFile.at(path)
    except OSError as error:
        raise UsageError(f"{option} {path}: {first_line(error)}") from None


def _job(options: Options, tools: Tools, watchers: Watchers) -> Job:
    def find(request: BundleRequest) -> Bundle:
        with steps(watchers.note) as step:
            return tools.find_bundle(request, note=say, step=step)

    return make_job(options, find, tools.make_engine, shlex.join(["nstbatch", *sys.argv[1:]]))


def _print_forecast(found: Forecast, events: JsonLines | None) -> None:
    times = iter(found.seconds)
    if events is not None:
        events.planned(found.plan, found.settings)
    for task in found.plan.tasks:
        seconds = next(times) if task.state is TaskState.TODO else None
        if events is not None:
            events.estimated(task, seconds)
        else:
            place = f" -> {task.item.target}" if task.state is TaskState.TODO else ""
            about = "" if seconds is None else f", about {duration(seconds)}"
            print_line(printable(f"{task.state.value}: {task.item.source}{place} ({task.reason}){about}"))
    if events is None:
        print_line(f"{found.plan}, about {duration(sum(found.seconds))}")
