"""From options to a job."""

from pathlib import Path
from typing import Any

import pytest

import seams
from nstbatch.cli.actions.bundles import BundleRequest
from nstbatch.cli.actions.jobs import JOB_OPTIONS, make_job, read_listed
from nstbatch.cli.commands.paint import paint
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.planning.plan import Policy
from nstbatch.runtime.recipe.settings import Settings

BASE: dict[str, Any] = {"photos": (Path("in"),), "style": (Path("starry.jpg"),)}
WATCHING = {"json", "log_file", "status_file", "verbose", "quiet", "report", "preview", "dry_run", "on_stop"}


def test_every_option_of_the_command_is_one_of_the_job() -> None:
    of_the_command = {parameter.name for parameter in paint.params}
    # `layer_weights` is what becomes of --layer-weight; nobody has asked for the other yet.
    assert set(JOB_OPTIONS) - of_the_command == {"layer_weights", "history"}
    assert of_the_command - set(JOB_OPTIONS) - WATCHING <= {"help", "yes", "config"}


def test_what_is_left_out_has_the_defaults_of_its_fields() -> None:
    job = make_job(BASE, lambda *_: seams.bundle())
    assert job.settings == Settings()
    assert job.policy == Policy()
    assert (job.checkpoint, job.max_duration, job.fail_fast) == (None, None, False)


def test_options_reach_their_fields() -> None:
    asked: list[BundleRequest] = []

    def find(request: BundleRequest) -> seams.Bundle:
        asked.append(request)
        return seams.bundle()

    options = BASE | {"size": 256, "force": True, "checkpoint": 2.0, "overlap": 3, "pooling": "max", "preset": "gatys"}
    job = make_job(options, find)
    assert (job.settings.size, job.settings.preset, job.policy.force, job.workers.overlap) == (256, "gatys", True, 3)
    assert job.checkpoint == 120, "minutes there, seconds here"
    job.bundle()
    (request,) = asked
    assert (request.named, request.spec.pooling, request.source) == (None, "max", None)


def test_what_does_not_go_together_is_refused_here() -> None:
    with pytest.raises(UsageError, match="nothing to paint"):
        make_job(BASE | {"photos": ()}, lambda *_: seams.bundle())
    with pytest.raises(UsageError, match="another bundle than --bundle names"):
        make_job(BASE | {"bundle": Path("b"), "pooling": "max"}, lambda *_: seams.bundle())


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.jpg\n\nb c.jpg\n")
    assert read_listed(tmp_path / "list") == [Path("a.jpg"), Path("b c.jpg")]
    with pytest.raises(UsageError, match=r"--files-from .*absent: No such file"):
        read_listed(tmp_path / "absent")
