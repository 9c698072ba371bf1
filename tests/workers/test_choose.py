"""Which workers go together."""

from pathlib import Path

import pytest

from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.painting.stylizer import Facts
from nstbatch.runtime.recipe.fingerprint import Recipe
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.workers.choose import WorkerChoice
from process import Call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--devices", "0,x"), "neither all nor a list of numbers"),
        (("--devices", "0", "--device", "0"), "choose one of the two"),
        (("--device", "-1"), "-1"),
        (("--overlap", "0"), "0"),
    ],
)
def test_devices_that_make_no_sense(
    nstbatch: Call, bundle: Bundle, samples: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = nstbatch(
        samples / "photos", "--style", samples / "starry.jpg", "--bundle", bundle.path, "-o", tmp_path / "out", *arguments
    )
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("choice", "size", "captures", "free", "expected"),
    [
        (WorkerChoice(), 256, True, 80 << 30, (8, True)),
        (WorkerChoice(), 256, True, 24 << 30, (4, True)),
        (WorkerChoice(), 256, True, None, (8, True)),
        (WorkerChoice(), 256, True, 8 << 30, (1, False)),
        (WorkerChoice(), 512, True, 80 << 30, (2, False)),
        (WorkerChoice(), 512, True, 8 << 30, (1, False)),
        (WorkerChoice(), 512, False, 80 << 30, (1, False)),
        (WorkerChoice(devices=(0, 1)), 512, True, 80 << 30, (1, False)),
        (WorkerChoice(), 256, False, 80 << 30, (1, False)),
        (WorkerChoice(lock_step=False), 256, True, 80 << 30, (2, False)),
        (WorkerChoice(overlap=1), 256, True, 80 << 30, (1, False)),
        (WorkerChoice(overlap=3), 256, True, 80 << 30, (3, False)),
        (WorkerChoice(overlap=3, lock_step=True), 512, False, None, (3, True)),
        (WorkerChoice(lock_step=True), 512, False, None, (4, True)),
    ],
)
def test_where_steps_are_captured_small_pictures_are_a_batch_and_others_take_turns(
    choice: WorkerChoice, size: int, captures: bool, free: int | None, expected: tuple[int, bool]
) -> None:
    settings = Settings(size=size)
    facts = Facts(settings, Recipe(("0",), "0", settings), False, captures, "cuda", free, None, None, ())
    assert choice.at_once(BundleSpec(), facts) == expected
