"""The crontab line, the units and the logrotate file of docs/unattended.md, as far as tools can check them."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from nstbatch.cli.app import app
from nstbatch.runtime.errors import ExitCode
from places import DOCS

TEXT = (DOCS / "unattended.md").read_text()
SERVICE = DOCS / "systemd" / "nstbatch.service"
TIMER = DOCS / "systemd" / "nstbatch.timer"


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def is_understood(command: str) -> None:
    """Parse a command line as the program does, without running it."""
    program, *arguments = shlex.split(command)
    assert Path(program).name == "nstbatch"
    paint = app.commands["paint"]
    context = paint.make_context("paint", list(arguments))
    assert context.params["photos"]


def test_the_crontab_line() -> None:
    (line,) = re.findall(r"```crontab\n(.*)\n```", TEXT)
    minute, hour, *days, command = line.split(None, 5)
    assert 0 <= int(minute) < 60
    assert 0 <= int(hour) < 24
    assert days == ["*", "*", "*"]
    assert "%" not in command, "cron would break the line there"
    is_understood(command)
    with pytest.raises(click.UsageError):
        is_understood(command + " --frobnicate")


def test_the_service() -> None:
    service = unit(SERVICE)["Service"]
    is_understood(service["ExecStart"])
    assert service["SuccessExitStatus"] == f"{int(ExitCode.DEADLINE)} {int(ExitCode.INTERRUPTED)}"
    writable = service["ReadWritePaths"].split()
    options = dict(re.findall(r"(--[a-z-]+) (\S+)", service["ExecStart"]))
    assert options["--output"] in writable
    assert options["--log-file"].startswith(f"/var/log/{service['LogsDirectory']}/")
    assert options["--status-file"].startswith(f"/run/{service['RuntimeDirectory']}/")
    assert service["Environment"] == f"NSTBATCH_CACHE_DIR=/var/cache/{service['CacheDirectory']}"
    assert unit(TIMER)["Timer"]["OnCalendar"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    # Verify looks for the program and the user, which are here under other names.
    text = SERVICE.read_text().replace("/opt/nstbatch/bin/nstbatch", sys.executable).replace("User=nstbatch", "User=root")
    (tmp_path / SERVICE.name).write_text(text)
    shutil.copy(TIMER, tmp_path)
    units = [str(tmp_path / SERVICE.name), str(tmp_path / TIMER.name)]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "nstbatch" in line]
    assert not ours
    calendar = unit(TIMER)["Timer"]["OnCalendar"]
    done = subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # And it would complain.
    (tmp_path / SERVICE.name).write_text(text.replace("TimeoutStopSec=60", "TimeoutStopSec=soon"))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert "soon" in done.stderr


def test_the_logrotate_file(tmp_path: Path) -> None:
    path = DOCS / "logrotate" / "nstbatch"
    text = path.read_text()
    match = re.fullmatch(r"(\S+) \{\n((?:    .+\n)+)\}\n", text)
    assert match is not None
    log = re.search(r"--log-file (\S+)", SERVICE.read_text())
    assert log is not None
    assert Path(log[1]).match(match[1])
    known = {"monthly", "rotate", "compress", "delaycompress", "missingok", "notifempty", "create"}
    assert {line.split()[0] for line in match[2].splitlines()} == known
    if shutil.which("logrotate"):
        copy = tmp_path / "nstbatch"
        copy.write_text(text.replace("nstbatch nstbatch", "root root"))
        copy.chmod(0o644)
        done = subprocess.run(["logrotate", "-d", copy], capture_output=True, text=True, check=False)
        assert "error" not in done.stderr


def test_every_exit_code_says_what_it_asks() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", TEXT, re.MULTILINE))
    assert {int(code) for code in rows} == {int(code) for code in ExitCode}


def test_every_option_of_the_document_exists() -> None:
    paint = app.commands["paint"]
    known = {name for parameter in paint.params for name in parameter.opts}
    ours = re.sub(r"`python bench/[^`]+`", "", TEXT)
    used = set(re.findall(r"`(--[a-z-]+)", ours)) | set(re.findall(r" (--[a-z-]+)", ours))
    assert used - known <= {"--system", "--now"}, "those are of useradd and systemctl"
