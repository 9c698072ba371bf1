"""Outputs behind URLs: whole, journalled, and shared."""

import errno
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from nstbatch.runtime.output.names import STATE
from nstbatch.runtime.output.remote import RemoteJournal, RemoteOutput
from nstbatch.runtime.output.shard import Shard
from seams import picture
from stores import Store, interpose


@pytest.mark.usefixtures("stored")
def test_what_changed_is_painted_again(remote_run: Callable[..., str], store: Store, tmp_path: Path) -> None:
    assert remote_run().startswith("3 painted, 0 failed\n")
    before = store.paintings("out")
    store.put("in/a.png", picture(tmp_path / "other.png", seed=40).read_bytes())
    store.fs.rm_file(f"{store.path}/out/b.png")
    store.put("out/below/c.png", b"edited")
    found = remote_run()
    assert found.startswith("3 painted, 0 failed\n")
    after = store.paintings("out")
    assert after["a.png"] != before["a.png"]
    assert (after["b.png"], after["below/c.png"]) == (before["b.png"], before["below/c.png"])
    assert remote_run("elsewhere").startswith("0 painted, 0 failed, 3 up to date\n")


@pytest.mark.usefixtures("stored")
def test_a_file_that_is_not_ours_is_kept(remote_run: Callable[..., str], store: Store) -> None:
    from nstbatch.runtime.planning.plan import Policy

    store.put("out/a.png", b"somebody's")
    assert remote_run(policy=Policy(keep_existing=True)).startswith("2 painted, 0 failed, 1 kept\n")
    assert store.get("out/a.png") == b"somebody's"


@pytest.mark.usefixtures("stored")
def test_a_run_that_was_killed(remote_run: Callable[..., str], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    put = RemoteOutput.put
    calls = iter(range(100))

    def killed(self: RemoteOutput, name: str, data: bytes) -> None:
        # Between the second painting and its line.
        if next(calls) == 1:
            raise KilledError
        put(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteOutput, "put", killed)
        patch.setattr(RemoteJournal, "close", lambda self: None)
        with pytest.raises(KilledError):
            remote_run()
    assert len(store.paintings("out")) == 2
    assert sum(f"{STATE}/journal" in name for name in store.names()) == 1
    found = remote_run("elsewhere")
    assert found.startswith("2 painted, 0 failed, 1 up to date\n"), "no painting without its line is taken for one"
    assert len(store.paintings("out")) == 3


@pytest.mark.usefixtures("stored")
def test_errors_that_pass_cost_nothing(remote_run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    failures: Counter[str] = Counter()
    kinds = [TimeoutError("timed out"), OSError(errno.EIO, "SlowDown"), ConnectionResetError("reset"), RuntimeError("503")]

    def flaky(url: str) -> None:
        if failures[url] < 5:
            failures[url] += 1
            raise kinds[failures.total() % len(kinds)]

    with monkeypatch.context() as patch:
        interpose(patch, flaky)
        assert remote_run().startswith("3 painted, 0 failed\n")
    assert failures.total() >= 50
    assert remote_run().startswith("0 painted, 0 failed, 3 up to date\n")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("place", ["/in/b.png", "/out/b.png"])
@pytest.mark.parametrize(
    ("error", "text"),
    [(PermissionError(errno.EACCES, "Access Denied"), "Access Denied"), (TimeoutError("late"), "late (tried 6 times)")],
)
def test_errors_that_stay_are_rows(
    place: str, error: Exception, text: str, remote_run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str) -> None:
        if url.endswith(place):
            raise error

    with monkeypatch.context() as patch:
        interpose(patch, refused)
        found = remote_run()
    assert found.startswith("2 painted, 1 failed\n")
    assert any(line.startswith("b.png failed: ") and text in line for line in found.splitlines()), found
    assert remote_run().startswith("1 painted, 0 failed, 2 up to date\n")


@pytest.mark.usefixtures("stored")
def test_a_damaged_object_is_a_row(remote_run: Callable[..., str], store: Store) -> None:
    store.put("in/b.png", b"not a picture")
    found = remote_run()
    assert found.startswith("2 painted, 1 failed\n")
    assert "b.png failed: not a picture" in found


def test_shards_of_two_hosts(remote_run: Callable[..., str], store: Store, tmp_path: Path) -> None:
    for seed in range(8):
        store.put(f"in/{seed}.png", picture(tmp_path / "any.png", seed=seed).read_bytes())
    results: dict[int, str] = {}

    def host(index: int) -> None:
        results[index] = remote_run(f"host-{index}", shard=Shard(index, 2))

    threads = [threading.Thread(target=host, args=(index,)) for index in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    painted = [int(text.split()[0]) for text in results.values()]
    assert (sum(painted), len(painted)) == (8, 2)
    assert min(painted) > 0
    assert remote_run("third").startswith("0 painted, 0 failed, 8 up to date\n")


@pytest.mark.usefixtures("stored")
def test_lines_are_merged_as_they_grow(
    remote_run: Callable[..., str], store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(RemoteJournal, "MERGED", 2)
    remote_run()
    names = [name for name in store.names() if f"{STATE}/journal" in name]
    assert len(names) == 2
    assert sorted(len(store.get(name).splitlines()) for name in names) == [1, 2]
    mirrored = {path.name for path in (tmp_path / "mirror" / STATE).glob("journal*")}
    assert mirrored == {Path(name).name for name in names}
    assert remote_run("elsewhere").startswith("0 painted, 0 failed, 3 up to date\n")
