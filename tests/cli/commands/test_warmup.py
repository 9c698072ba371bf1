"""What a run would build first, done ahead."""

from pathlib import Path

from nstbatch.runtime.bundle.spec import Bundle
from process import Call


def test_warmup_evaluates_in_every_shape_and_paints_nothing(
    nstbatch: Call, bundle: Bundle, samples: Path, tmp_path: Path
) -> None:
    options = ("--style", samples / "starry.jpg", "--bundle", bundle.path, "-o", tmp_path / "out", "--size", 64)
    done = nstbatch("warmup", samples / "photos" / "town.jpg", *options, "--scales", "48,64")
    assert done.returncode == 0, done.stderr
    shapes = [line.removeprefix("nstbatch: ") for line in done.stderr.splitlines() if " in float32" in line]
    assert shapes == ["48 x 34 in float32", "64 x 45 in float32"]
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "cache" / "styles").glob("*.npz"))) == 2, "the style's Gram matrices are there"
