"""Runs that share an output folder, each with its part of the photos."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.cli.app import app
from nstbatch.cli.report.page import page_data, read_journal
from nstbatch.runtime.batch.saving import recover
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import ExitCode, LockedError, UsageError
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.output.names import STATE, temporary_name
from nstbatch.runtime.output.runs import Run, read_runs
from nstbatch.runtime.output.shard import Shard
from nstbatch.runtime.planning.placement import Item
from seams import Bench, picture

PROGRAM = "from nstbatch.cli import main; main()"

_TASK = {"ID": "6", "COUNT": "3", "MIN": "2", "STEP": "2"}
ARRAY = {f"SLURM_ARRAY_TASK_{name}": value for name, value in _TASK.items()}


@given(st.lists(st.text(min_size=1), max_size=50), st.integers(1, 9))
def test_every_photo_is_in_one_shard(keys: list[str], count: int) -> None:
    shards = [Shard(index, count) for index in range(1, count + 1)]
    for key in keys:
        assert sum(shard.holds(key) for shard in shards) == 1


def test_shards_are_about_equal() -> None:
    found = Counter(next(i for i in range(1, 9) if Shard(i, 8).holds(f"folder/{n}.jpg")) for n in range(8000))
    assert min(found.values()) > 900
    assert max(found.values()) < 1100


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "a/b", "-1/4", "1/4/2", "1 / 4"])
def test_a_shard_that_makes_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="is not like 3/8"):
        Shard.parse(text)


def test_the_shard_of_a_slurm_array_task() -> None:
    assert Shard.of_slurm(ARRAY) == Shard(3, 3)
    assert Shard.of_slurm({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "1"}) == Shard()
    assert Shard.of_slurm({}) == Shard()
    with pytest.raises(UsageError, match="--array=0-2"):
        Shard.of_slurm(ARRAY | {"SLURM_ARRAY_TASK_ID": "9"})


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    with hold([tmp_path], shard=Shard(1, 2)):
        yield tmp_path


def test_other_shards_may_run_meanwhile_and_no_other_run(held: Path) -> None:
    with hold([held], shard=Shard(2, 2)):
        for other in (Shard(), Shard(1, 2), Shard(2, 2)):
            with pytest.raises(LockedError, match="another run holds this output folder"), hold([held], shard=other):
                pass
    with hold([held], shard=Shard(2, 2)):
        pass


def test_a_run_of_all_photos_excludes_shards(tmp_path: Path) -> None:
    with hold([tmp_path]), pytest.raises(LockedError), hold([tmp_path], shard=Shard(1, 2)):
        pass
    with hold([tmp_path], shard=Shard(1, 2)):
        pass
    with hold([tmp_path]):
        pass


def test_a_shard_waits(held: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from nstbatch.runtime.output.lock import hold\n"
        "from nstbatch.runtime.output.shard import Shard\n"
        f"with hold([Path({str(held)!r})], wait=True, note=lambda text: print(text, flush=True)): print('had', flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "waiting for it" in process.stdout.readline()
        process.kill()


def test_the_last_shard_to_finish_has_the_newest_line(tmp_path: Path) -> None:
    bench = Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out")
    picture(tmp_path / "in" / "a.png")
    bench.run(tmp_path / "in")
    path = bench.output / STATE / "journal.jsonl"
    line = path.read_text()
    for index, year in ((1, 2031), (2, 2030)):
        shard = bench.output / STATE / f"journal-{index}-of-2.jsonl"
        shard.write_text(
            line.replace('"finished": "2', f'"finished": "{year}', 1).replace('"seconds"', f'"run": "{year}", "seconds"')
        )
    journal = Journal.read(bench.output, Shard(2, 2))
    assert journal.painted["a.png"].finished.startswith("2031")
    assert journal.path.name == "journal-2-of-2.jsonl"


def staged(item: Item) -> Path:
    """Where a painting is staged."""
    return item.root / temporary_name(item.key)


def test_what_another_shard_has_staged_is_let_alone(tmp_path: Path) -> None:
    bench = Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out")
    for n in range(6):
        picture(tmp_path / "in" / f"{n}.png", seed=n)
    bench.run(tmp_path / "in")
    items = bench.items(tmp_path / "in")
    for item in items:
        staged(item).write_text("of a picture in work")
    mine = [item for item in items if Shard(1, 2).holds(item.key)]
    assert 0 < len(mine) < 6
    recover(mine, {bench.output: Journal.read(bench.output, Shard(1, 2))})
    assert {item.key for item in items if not staged(item).exists()} == {item.key for item in mine}


@pytest.mark.slow
def test_three_shards_paint_a_folder_once(
    bundle: Bundle, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(7):
        picture(tmp_path / "in" / f"{n}.png", seed=n)
    out = tmp_path / "out"
    command = [str(tmp_path / "in"), "--style", str(samples / "starry.jpg"), "-o", str(out), "--bundle", str(bundle.path)]
    command += ["--size", "32", "--iterations", "1", "--scales", "1", "--provider", "cpu"]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *command, "--shard", f"{index}/3"], stderr=subprocess.PIPE, text=True
        )
        for index in (1, 2, 3)
    ]
    notes = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], notes
    assert sorted(path.name for path in out.glob("*.png")) == [f"{n}.png" for n in range(7)]
    journals = sorted((out / STATE).glob("journal*.jsonl"))
    assert sum(len(path.read_text().splitlines()) for path in journals) == 7, "each photo once"
    assert len(journals) > 1
    assert any("shard 2/3: " in note for note in notes)

    # All of it is in the report, by whichever it is written; and a run of all photos has nothing to do.
    assert CliRunner().invoke(app, ["report", str(out)]).exit_code == 0
    data = page_data(out, read_journal(out), "")
    assert data["painted"] == 7
    assert len(data["runs"]) == 3
    for name, value in ARRAY.items():
        monkeypatch.setenv(name, value)
    found = CliRunner().invoke(app, command)
    assert "shard 3/3, by the variables of SLURM: " in found.stderr
    assert found.exit_code == ExitCode.OK
    found = CliRunner().invoke(app, [*command, "--shard", "1/1"])
    assert "7 up to date" in found.output


def test_runs_of_shards_have_lines_of_their_own(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    for shard in (Shard(), Shard(1, 2), Shard(2, 2)):
        Run(f"run {shard}", "2030", "nstbatch", "", "cpu", "").append(tmp_path, shard.suffix)
    assert {run.id for run in read_runs(tmp_path)} == {"run 1/1", "run 1/2", "run 2/2"}
    assert len(list((tmp_path / STATE).iterdir())) == 3
