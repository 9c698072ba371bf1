"""Values that options refuse."""

from pathlib import Path

import pytest

from process import Call


@pytest.mark.parametrize("text", ["", "50", "m", "1d", "-5m", "5m5h", f"{'9' * 400}s"])
def test_durations_that_make_no_sense(text: str, nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos, *common, f"--max-duration={text}")
    assert done.returncode == 2
    assert "is not a duration such as 90s, 50m, 2h or 1h30m" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-megapixels", "nan"), "no finite number"),
        (("--max-megapixels", "0"), "not in the range"),
        (("--checkpoint", "inf"), "no finite number"),
        (("--tv-weight", "1e308"), "weights must be between 0 and 1e+30"),
    ],
)
def test_numbers_that_make_no_sense(
    arguments: tuple[str, str], message: str, nstbatch: Call, photos: Path, common: list[object]
) -> None:
    done = nstbatch(photos, *common, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("place", ["photos", "style", "output", "log", "deep"])
def test_paths_that_are_too_long(place: str, nstbatch: Call, photos: Path, common: list[object]) -> None:
    long = "x" * 5000 if place != "deep" else "/".join(["x" * 200] * 25)
    words = {"photos": [long, *common], "style": [photos, "--style", long], "output": [photos, *common, "-o", long]}
    done = nstbatch(*words.get(place, [photos, *common, "--log-file", long]))
    assert done.returncode == 2
    assert "is too long for a path" in done.stderr
    assert len(done.stderr) < 1000
