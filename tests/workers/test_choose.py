"""Which workers go together."""

from pathlib import Path

import pytest

from nstbatch.runtime.bundle.spec import Bundle
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
