"""Actors of Ray: killed, refused, counted."""

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from clusters import ray_painters, run_with, tokens
from fleets import SETTINGS, dying, make, slow
from nstbatch.runtime.batch.outcome import PhotoOutcome
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import ProviderError, UsageError
from nstbatch.runtime.workers.ray_cluster import ATTEMPTS, Crew, RayPainters
from seams import Bench, files, outcomes, picture
from stores import OPTIONS, Store, in_process

KILLS = 10


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, *(f"{number}.png" for number in range(5)), settings=SETTINGS)


@pytest.mark.usefixtures("cluster")
def test_a_picture_that_kills_its_worker_three_times_is_a_row(bench: Bench, tmp_path: Path) -> None:
    for path in list((tmp_path / "in").iterdir())[1:]:
        path.unlink()
    with ray_painters(dying, style=bench.style, times=tokens(tmp_path / "tokens", ATTEMPTS + 5)) as painters:
        (row,) = run_with(bench, painters, tmp_path / "in").rows
    assert row.outcome is PhotoOutcome.FAILED
    assert row.reason.startswith(f"its worker ended {ATTEMPTS} times, at last so: ")
    assert len(list((tmp_path / "tokens").iterdir())) == 5
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"painted"}


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_workers_killed_at_random_moments(bench: Bench, tmp_path: Path, figures: dict[str, str]) -> None:
    for seed in range(5, 40):
        picture(tmp_path / "in" / f"{seed}.png", seed=seed)
    killed = 0
    over = threading.Event()

    def kill() -> None:
        nonlocal killed
        while killed < KILLS and not over.wait(0.3):
            workers = _workers()
            if workers:
                # One that ends at this moment is not there to kill.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[killed % len(workers)], signal.SIGKILL)
                    killed += 1

    killer = threading.Thread(target=kill, daemon=True)
    rows: list[Any] = []
    with ray_painters(slow, style=bench.style) as painters:
        killer.start()
        # Those that three kills befell are failures: the next run paints them.
        for attempt in range(1, 100):
            rows += run_with(bench, painters, tmp_path / "in").rows
            if not killer.is_alive():
                break
            for path in (tmp_path / "in").iterdir():
                picture(path, seed=int(path.stem) + 100 * attempt)
        rows += (last := run_with(bench, painters, tmp_path / "in")).rows
        over.set()
        killer.join()
    assert killed == KILLS
    entries = [e for e in (bench.output / ".nstbatch" / "journal.jsonl").read_text().splitlines() if '"painted"' in e]
    painted = sum(row.outcome is PhotoOutcome.PAINTED for row in rows)
    lost = 40 - len(files(bench.output))
    twice = len(entries) - painted
    assert (lost, twice) == (0, 0)
    assert not last.count(PhotoOutcome.FAILED)
    figures["workers of Ray killed"] = f"{killed} times, {painted} paintings; pictures lost {lost}, done twice {twice}"


def _workers() -> list[int]:
    """Processes of actors that paint at this moment."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        # Those that end meanwhile have no command line.
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith("ray::_Worker.paint"):
                found.append(process.pid)
    return sorted(found)


@pytest.mark.usefixtures("cluster")
def test_no_more_pictures_are_in_work_than_there_are_workers(bench: Bench, tmp_path: Path) -> None:
    most = 0
    with ray_painters(slow, style=bench.style) as painters:
        submit = painters.submit

        def counted(*arguments: Any) -> None:
            nonlocal most
            submit(*arguments)
            most = max(most, len(painters._working))  # type: ignore[attr-defined]

        painters.submit = counted  # type: ignore[method-assign]
        run_with(bench, painters, tmp_path / "in")
    assert most == 2


@pytest.mark.usefixtures("cluster")
def test_what_a_worker_cannot_make_is_told(bench: Bench) -> None:
    from fleets import broken

    with pytest.raises(ProviderError, match="no such GPU"), ray_painters(broken, style=bench.style, device=7):
        pass


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another test's cluster is none of this one's.
    monkeypatch.setattr(pytest.importorskip("ray"), "is_initialized", lambda: False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"--ray-address {address}: no cluster there"):
            RayPainters(make, address=address)  # type: ignore[arg-type]


def test_a_crew_that_fits_the_cluster() -> None:
    gpus = {"CPU": 64.0, "GPU": 8.0}
    assert Crew.fit(gpus, 2, None, None, None) == Crew(8, 8, 1.0)
    assert Crew.fit(gpus, 2, None, None, 0.5) == Crew(16, 4, 0.5)
    assert Crew.fit(gpus, 2, 3, 2, None) == Crew(3, 2, 1.0)
    assert Crew.fit({"CPU": 6.0}, 3, None, None, None) == Crew(3, 2, 0.0)
    with pytest.raises(UsageError, match="has no GPU"):
        Crew.fit({"CPU": 6.0}, 3, None, None, 1.0)


@pytest.mark.slow
def test_ray_paints_from_s3_to_s3(bundle: Bundle, s3: str, samples: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    # Workers have the environment that their cluster was started in, in which the bucket's keys may not have been yet.
    ray.shutdown()
    store = Store(f"{s3}/ray")
    for seed in range(4):
        store.put(f"in/{seed}.png", picture(tmp_path / "any.png", seed=seed).read_bytes())
    command = [f"{store.url}/in", "--style", samples / "starry.jpg", "--bundle", bundle.path, *OPTIONS]
    found = in_process(*command, "--engine", "ray", "--workers", "2", "--threads", "1")
    assert "4 painted, 0 failed" in found.output
    assert len(store.paintings("in-starry")) == 4
    assert "4 up to date" in in_process(*command).output
    assert os.environ["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
