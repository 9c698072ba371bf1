"""Fault injection: killed at every call, hostile folders, damaged pictures, full disks, little memory, two runs at once."""

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import seams
from nstbatch.cli.actions.jobs import Tools
from nstbatch.cli.actions.paint import paint
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import DiskError, UsageError
from nstbatch.runtime.output.journal import Journal
from places import ROOT, SUPPORT
from process import MAIN, Process
from seams import Bench, SeamEngine, after, files, outcomes, picture

Figures = dict[str, str]

KILLS = 6


def script(name: str, *arguments: object, wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*wrapper, sys.executable, str(SUPPORT / name), *map(str, arguments)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("NSTBATCH_")}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


# Killed at every call


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["first", "again"])
def test_killed_at_every_call(scenario: str, tmp_path: Path, figures: Figures) -> None:
    done = script("killer.py", tmp_path / "kill", "--scenario", scenario)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    where, points, calls, states = (found.pop(name) for name in ("where", "kill points", "calls", "states"))
    found.pop("seconds")
    assert not where, where
    assert not any(found.values()), found
    assert points > {"first": 70, "again": 180}[scenario]
    name = {"first": "into an empty folder", "again": "over older paintings, with checkpoints and a status file"}[scenario]
    figures[f"kill points tried, {name}"] = (
        f"{points} at {calls} calls, which left {states} states; torn files {found['torn']}, "
        f"pictures lost {found['pictures lost']}, pictures done twice {found['pictures done twice']}"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("sabotage", "harm"), [("direct", "torn"), ("late", "pictures done twice"), ("unsynced", "torn")])
def test_the_harness_finds_what_it_looks_for(sabotage: str, harm: str, tmp_path: Path) -> None:
    done = script("killer.py", tmp_path / "kill", "--sabotage", sabotage)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[harm] > 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
def test_the_harness_counts_the_calls_that_the_kernel_sees(tmp_path: Path) -> None:
    calls = "openat,open,creat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
    log = tmp_path / "strace"
    wrapper = ("strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={calls},truncate,ftruncate,link,linkat")
    done = script("killer.py", tmp_path / "kill", "--trace", wrapper=wrapper)
    if "ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    top = str(tmp_path / "kill" / "work") + "/"
    counted = [call.split(" ")[0] for call in json.loads(done.stdout)]
    kernel = {"openat": "open", "rename": "replace", "renameat": "replace", "unlinkat": "unlink", "mkdirat": "mkdir"}
    seen = []
    for line in log.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if match is None or top not in line.replace(top[:-1] + ">", top) or "O_RDONLY" in line or "O_PATH" in line:
            continue
        seen.append(kernel.get(match[1], match[1]))
    # The folder that the trial itself makes before the run is not the run's.
    assert seen[-len(counted) :] == counted
    assert all(call == "mkdir" for call in seen[: -len(counted)])


@pytest.mark.slow
def test_the_real_program_killed_at_any_moment(bundle: Bundle, samples: Path, tmp_path: Path, figures: Figures) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed, name in enumerate(("mountains", "tree", "town", "still_life") * 2):
        image = Image.open(samples / "photos" / f"{name}.jpg").convert("RGB").resize((96 - seed, 66))
        image.save(photos / f"{seed}.jpg")
    common: list[object] = [photos, "--style", samples / "ember.jpg", "--bundle", bundle.path, "--threads", "1"]
    common += ["--size", "48", "--iterations", "20", "--scales", "1", "--checkpoint", "0", "--provider", "cpu"]
    assert Process(*common, "-o", tmp_path / "reference", cache=tmp_path / "cache").end() == 0
    expected = files(tmp_path / "reference")
    assert len(expected) == 8
    chance = random.Random(0)
    output = tmp_path / "out"
    kills = 0
    for _ in range(KILLS):
        run = Process(*common, "-o", output, cache=tmp_path / "cache")
        run.until("start")
        time.sleep(chance.uniform(0, 0.2))
        run.send(signal.SIGKILL)
        kills += run.end() == -signal.SIGKILL
        found = {name: data for name, data in files(output).items() if not name.endswith(".tmp")}
        assert all(expected[name] == data for name, data in found.items()), "whole, or not there"
    assert kills == KILLS
    assert Process(*common, "-o", output, cache=tmp_path / "cache").end() == 0
    assert files(output) == expected, "resumed within pictures, over and over: the same pixels"
    assert [json.loads(line)["target"] for line in (output / ".nstbatch" / "journal.jsonl").open()] == sorted(expected)
    figures["the real program killed at random moments"] = f"{kills} times; torn files 0, the same pixels in the end"


# Hostile folders

NAMES = st.one_of(
    st.sampled_from(
        [
            b"a", b"-rf", b"new\nline", b"tab\t", b"caf\xe9", b"\xff\xfe", b"  ", b"'; rm *", b"%s{stem}{0}", b"\x1b[31mred",
            b"[bold]x", b"a.b.c", b"~", b"*", b"?", b"[a-z]", b"\xe2\x80\xae", b"x" * 240, b"CON", b"\\", b"$HOME",
        ]
    ),
    st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & {0, 47} and not name.startswith(b".")),
)  # fmt: skip
KINDS = (
    "good", "good", "mislabelled", "truncated", "empty", "text", "tiny", "huge", "animated", "sparse", "fifo", "socket",
    "device", "dangling", "loop", "link", "folder", "unreadable", "chain", "bad exif", "deep folder",
)  # fmt: skip
GOOD = {"good", "mislabelled", "link", "chain", "bad exif"}
EXTENSIONS = (b".jpg", b".JPG", b".png", b".webp", b".tiff")


@pytest.fixture(scope="module")
def moulds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each kind, named after it."""
    folder = tmp_path_factory.mktemp("moulds")
    image = Image.open(picture(folder / "photo.png"))
    good = (folder / "photo.png").read_bytes()
    (folder / "good").write_bytes(good)
    (folder / "mislabelled").write_bytes(good)
    (folder / "truncated").write_bytes(good[: len(good) // 2])
    (folder / "empty").touch()
    (folder / "text").write_bytes(b"#!/bin/sh\nrm -rf /\n")
    Image.new("RGB", (1, 4)).save(folder / "tiny", "PNG")
    Image.new("1", (30000, 30000)).save(folder / "huge", "PNG")
    image.save(folder / "animated", "WEBP", save_all=True, append_images=[image.rotate(180)])
    image.save(folder / "bad exif", "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\0")
    return folder


def make(path: Path, kind: str, moulds: Path, outside: Path) -> None:
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
                server.bind(os.fspath(path))
            if not path.exists():  # the name is too long for a socket
                os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "dangling":
            path.symlink_to(path.with_name("nowhere"))
        case "loop":
            path.symlink_to(path.name)
        case "link":
            path.symlink_to(outside)
        case "chain":
            path.with_name(".chain").unlink(missing_ok=True)
            path.with_name(".chain").symlink_to(outside)
            path.symlink_to(".chain")
        case "folder":
            path.mkdir()
        case "deep folder":
            (path / "deeper").mkdir(parents=True)
            make(path / "deeper" / "photo.jpg", "text", moulds, outside)
        case "unreadable":
            # For root, permissions are no hindrance: what no one can read is a file whose disk fails.
            path.symlink_to("/proc/self/mem")
        case "sparse":
            shutil.copyfile(moulds / "good", path)
            os.truncate(path, 1 << 40)
        case _:
            shutil.copyfile(moulds / kind, path)


tried = itertools.count(1)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    entries=st.lists(
        st.tuples(NAMES, st.sampled_from(EXTENSIONS), st.sampled_from(KINDS), st.sampled_from(["", "sub"])),
        max_size=7,
        unique_by=lambda entry: (entry[0] + entry[1], entry[3]),
    ),
    recursive=st.booleans(),
)
def test_hostile_folders(
    entries: list[tuple[bytes, bytes, str, str]],
    recursive: bool,
    moulds: Path,
    tmp_path_factory: pytest.TempPathFactory,
    figures: Figures,
) -> None:
    root = tmp_path_factory.mktemp("hostile")
    photos = root / "in"
    (photos / "sub").mkdir(parents=True)
    outside = picture(root / "outside.png", seed=3)
    good, bad = set(), set()
    for name, extension, kind, below in entries:
        path = photos / below / os.fsdecode(name + extension)
        make(path, kind, moulds, outside)
        if kind in ("folder", "deep folder"):
            if kind == "deep folder" and recursive:
                bad.add(path / "deeper" / "photo.jpg")
        elif recursive or not below:
            (good if kind in GOOD else bad).add(path)
    before = {p: p.lstat() for p in root.rglob("*")}
    bench = Bench(picture(root / "style.png", seed=9), root / "out", {"size": 32, "iterations": 1})
    began = time.monotonic()
    report = bench.run(photos, recursive=recursive)
    assert time.monotonic() - began < 30, "nothing is waited for"
    assert {row.item.source for row in report.rows if row.outcome.value == "painted"} == good
    assert {row.item.source for row in report.rows if row.outcome.value == "failed"} == bad
    assert all(row.reason and "\n" not in row.reason for row in report.rows)
    assert report.exit_code == (3 if bad else 0)
    made = {path for path in (root / "out").rglob("*") if path.is_file() and ".nstbatch" not in path.parts}
    assert made == {root / "out" / path.relative_to(photos) for path in good}
    for path, status in before.items():
        now = path.lstat()
        assert (now.st_ino, now.st_size, now.st_mtime_ns) == (status.st_ino, status.st_size, status.st_mtime_ns)
    assert Journal.read(root / "out").skipped == 0
    again = bench.run(photos, recursive=recursive)
    assert set(outcomes(again).values()) <= {"up to date", "failed"}
    assert again.count(report.rows[0].outcome.__class__.FAILED) == len(bad) if report.rows else True
    shutil.rmtree(root)
    figures["hostile folders tried"] = f"{next(tried)}; crashes 0, hangs 0, sources changed 0"


# Damaged pictures


@pytest.mark.slow
def test_damaged_pictures(tmp_path: Path, figures: Figures) -> None:
    done = script("mutants.py", 1000, "--memory", 1024)
    assert done.returncode == 0, f"ended by {done.returncode}: {done.stderr}"
    found = json.loads(done.stdout)
    assert found["crashes"] == []
    assert found["tried"] == 1000 == found["decoded"] + found["refused"]
    assert min(found["decoded"], found["refused"]) > 100, "both happen, or nothing is tested"
    assert found["slowest_seconds"] < 5
    assert found["peak_mib"] < found["limit_mib"]
    figures["damaged pictures tried"] = (
        f"{found['tried']}, {found['refused']} refused; crashes 0, slowest {found['slowest_seconds']:.2f} s, "
        f"peak {found['peak_mib']:.0f} MiB under a limit of {found['limit_mib']}"
    )


# Damaged files of our own, and other things in their places

EXAMPLES = 15


@pytest.mark.slow
def test_whatever_befalls_what_is_ours(tmp_path: Path, figures: Figures) -> None:
    done = script("damage.py", EXAMPLES)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["exit 0"] > 100
    assert min(found[f"exit {code}"] for code in (2, 3)) > 3, "each happens, or nothing is tested"
    figures["damaged, replaced by links, FIFOs, devices, killed"] = (
        f"{found['runs']} runs after {found['damaged'] + found['replaced']} changes, "
        f"{found.get('killed', 0)} of them killed; files of others changed 0, finished paintings lost 0, hangs 0"
    )


@pytest.mark.slow
def test_following_a_link_is_noticed() -> None:
    done = script("damage.py", 0, "--sabotage")
    assert "it changed what is not its own" in done.stderr


@pytest.mark.parametrize("change", ["a link", "another folder", "nothing", "a link in place of its state"])
def test_a_folder_that_is_replaced_gets_nothing_more(change: str, tmp_path: Path) -> None:
    """With everything that writes."""
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        picture(tmp_path / "in" / name, seed=seed)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()

    def strike() -> None:
        moved = out / ".nstbatch" if change == "a link in place of its state" else out
        moved.rename(tmp_path / "moved")
        if change == "another folder":
            moved.mkdir()
        elif change != "nothing":
            moved.symlink_to(elsewhere)

    options = {"photos": (tmp_path / "in",), "style": (picture(tmp_path / "s.png"),), "output": out, "report": True}
    options |= {"size": 40, "iterations": 4, "scales": "1", "checkpoint": 0.0, "snapshots": 1}
    tools = Tools(find_bundle=lambda *_, **__: seams.bundle(), make_engine=lambda *_: SeamEngine(after(10, strike)))
    with pytest.raises(DiskError, match="is not the folder any more that the run began with"):
        paint(options, tools)
    assert list(elsewhere.iterdir()) == []
    if change in ("another folder", "nothing"):
        assert list(out.rglob("*")) == []


# Two runs at once


def start(*arguments: object, cache: Path) -> subprocess.Popen[str]:
    env = {"NSTBATCH_CACHE_DIR": str(cache), "PATH": "", "PYTHONUNBUFFERED": "1"}
    command = [*map(str, [*MAIN, *arguments])]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_runs_at_once(bundle: Bundle, samples: Path, tmp_path: Path, figures: Figures) -> None:
    common = [samples / "photos", "--style", samples / "ember.jpg", "--bundle", bundle.path, "-o", tmp_path / "out"]
    common += ["--size", "64", "--iterations", "40", "--scales", "1"]
    first = start(*common, cache=tmp_path / "cache")
    assert first.stdout is not None
    assert " -> " in first.stdout.readline()
    second = start(*common, cache=tmp_path / "cache")
    third = start(*common, "--wait", cache=tmp_path / "cache")
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 11
    assert f"another run holds this output folder (process {first.pid} on {socket.gethostname()} since " in errors
    assert "--wait" in errors
    rest, _ = first.communicate(timeout=120)
    assert first.returncode == 0
    assert "4 painted" in rest
    out, errors = third.communicate(timeout=120)
    assert third.returncode == 0
    assert f"(process {first.pid} on " in errors
    assert "0 painted, 0 failed, 4 up to date" in out
    figures["two runs at once"] = "pictures done twice 0"


def test_a_lock_dies_with_its_process(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    common = [samples / "photos" / "tree.jpg", "--style", samples / "ember.jpg", "--bundle", bundle.path]
    common += ["-o", tmp_path / "out", "--size", "64", "--scales", "1", "--iterations"]
    first = start(*common, "1000", "-v", cache=tmp_path / "cache")
    assert first.stdout is not None
    assert "begun" in first.stdout.readline()
    first.kill()
    first.wait()
    first.stdout.close()
    second = start(*common, "2", cache=tmp_path / "cache")
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors


# Little memory, and a full disk


def limited(kilobytes: int, *arguments: object, cache: Path) -> subprocess.CompletedProcess[str]:
    words = " ".join(f"'{argument}'" for argument in (*MAIN, *arguments))
    env = {"NSTBATCH_CACHE_DIR": str(cache), "PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"}
    command = ["bash", "-c", f"ulimit -v {kilobytes}; exec {words.replace(chr(34), '')}"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_under_a_limit_of_memory(bundle: Bundle, samples: Path, tmp_path: Path, figures: Figures) -> None:
    photos = tmp_path / "photos"
    picture(photos / "large.jpg", (1600, 1200))
    picture(photos / "small.jpg", (64, 48))
    common = [photos, "--style", samples / "ember.jpg", "--bundle", bundle.path, "-o", tmp_path / "out"]
    common += ["--size", "800", "--scales", "1", "--iterations", "1", "--threads", "1", "--provider", "cpu"]
    limit = 2_000_000
    refused = limited(limit, *common, "--tile", "off", cache=tmp_path / "cache")
    assert refused.returncode == 3, refused.stderr
    assert "Traceback" not in refused.stderr
    (line,) = [line for line in refused.stderr.splitlines() if "large.jpg" in line]
    match = re.search(r"needs [\d.]+ GiB of memory, [\d.]+ GiB are free; --size (\d+) would fit", line)
    assert match is not None, line
    assert set(files(tmp_path / "out")) == {"small.jpg"}
    # And it does fit, in tiles: the estimate is none too small.
    tiled = limited(limit, *common, "-v", cache=tmp_path / "cache")
    assert tiled.returncode == 0, tiled.stderr
    assert "large.jpg: begun (new; in tiles)" in tiled.stdout
    assert Image.open(tmp_path / "out" / "large.jpg").size == (1600, 1200)
    figures["a photo too large for ulimit -v"] = f"in one piece refused with --size {match[1]}; painted in tiles"


@pytest.mark.slow
def test_memory_stays_flat_over_120_pictures_of_many_shapes(bundle: Bundle, figures: Figures) -> None:
    program = ROOT / "bench" / "memory.py"
    command = [sys.executable, program, "many", bundle.path, "120", "cpu", "2"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    resident = dict(json.loads(done.stdout))
    assert len(resident) == 120
    assert resident[120] < 1.05 * resident[60]
    figures["resident memory after 60 and 120 pictures of as many shapes"] = (
        f"{resident[60] / 2**20:.0f} and {resident[120] / 2**20:.0f} MiB"
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield disk  # type: ignore[misc]
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk(bundle: Bundle, samples: Path, tmp_path: Path, small_disk: Path, figures: Figures) -> None:
    photos = tmp_path / "photos"
    for seed in range(4):
        picture(photos / f"{seed}.png", (220, 160), seed)
    output = small_disk / "out"
    common = [photos, "--style", samples / "ember.jpg", "--bundle", bundle.path, "-o", output]
    common += ["--size", "64", "--iterations", "2", "--log-file", small_disk / "log", "--status-file", small_disk / "status"]
    run = start(*common, cache=tmp_path / "cache")
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 1, errors
    assert re.search(r"\.png: cannot write [\d,]+ bytes \(No space left on device\), [\d,]+ are free; make room", errors)
    assert "Traceback" not in errors
    whole = files(output)
    assert whole, "there was room for some"
    for name in whole:
        Image.open(output / name).load()
    painted = Journal.read(output).painted
    assert set(whole) == set(painted), "the journal knows what is there, and survived"
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    run = start(*common, cache=tmp_path / "cache")
    out, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert f"{4 - len(whole)} painted, 0 failed, {len(whole)} up to date" in out
    assert len(files(output)) == 4
    figures["a full disk"] = f"{len(whole)} of 4 pictures whole, the journal whole, the rest painted once there was room"


def test_a_usage_error_touches_nothing(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    bench = Bench(picture(tmp_path / "style.png"), tmp_path / "in" / "out")
    picture(tmp_path / "in" / "a.png")
    bench.engine = SeamEngine
    with pytest.raises(UsageError):
        bench.run(tmp_path / "in")
    assert {path.name for path in tmp_path.rglob("*")} == {"style.png", "in", "a.png"}
