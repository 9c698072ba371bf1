"""The program from Python."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nstbatch import paint, paint_folder
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import ImageError, UsageError
from nstbatch.runtime.painting.painting import Progress
from seams import picture

QUICK: dict[str, Any] = {"size": 40, "iterations": 2, "scales": "1", "provider": "cpu"}


@pytest.fixture
def options(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    return {"style": picture(tmp_path / "starry.png", seed=9), "bundle": str(bundle.path), **QUICK}


def test_a_picture_in_every_form_is_the_same_painting(options: dict[str, Any], tmp_path: Path) -> None:
    path = picture(tmp_path / "photo.png", (60, 44))
    with Image.open(path) as opened:
        image = opened.copy()
    forms = (path, str(path), path.read_bytes(), image, np.asarray(image))
    paintings = [paint(form, **options) for form in forms]
    assert {painting.tobytes() for painting in paintings} == {paintings[0].tobytes()}
    assert (paintings[0].mode, paintings[0].size) == ("RGB", (60, 44))
    assert paintings[0].tobytes() != image.tobytes()


def test_info_and_the_picture_itself_are_untouched(options: dict[str, Any], tmp_path: Path) -> None:
    image = Image.open(picture(tmp_path / "photo.png", (60, 44)))
    image.info["dpi"] = (300, 300)
    before = (image.tobytes(), dict(image.info))
    painting = paint(image, **options)
    assert painting.info == before[1]
    assert (image.tobytes(), image.info) == before
    Image.open(tmp_path / "photo.png").save(tmp_path / "with.png", dpi=(72, 72))
    assert paint(tmp_path / "with.png", **options).info["dpi"] == pytest.approx((72, 72), abs=0.1)


def test_alpha_and_progress(options: dict[str, Any]) -> None:
    array = np.random.default_rng(0).integers(0, 256, (40, 48, 4), np.uint8)
    heard: list[Progress] = []
    painting = paint(array, progress=heard.append, **options)
    assert painting.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(painting)[..., 3], array[..., 3])
    assert len(heard) >= 2


def test_several_styles_as_one(options: dict[str, Any], tmp_path: Path) -> None:
    image = picture(tmp_path / "photo.png")
    styles = [options.pop("style"), picture(tmp_path / "other.png", seed=3)]
    first, both = (paint(image, style=styles, style_blend=shares, **options) for shares in ((1, 1e-9), (1, 1)))
    assert first.tobytes() != both.tobytes()
    alone = np.asarray(paint(image, style=styles[0], **options), int)
    assert abs(np.asarray(first, int) - alone).max() <= 1


def test_what_is_no_picture(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot paint list"):
        paint([1, 2], **options)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"^10 bytes that are no picture of a known format$"):
        paint(b"no picture", **options)
    with pytest.raises(ImageError, match=r"absent\.jpg"):
        paint(tmp_path / "absent.jpg", **options)


def test_a_folder(options: dict[str, Any], tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.jpg").write_text("no picture")
    outcome = paint_folder(str(tmp_path / "in"), **options)
    assert {row.item.source.name: row.outcome.value for row in outcome.rows} == {"a.png": "painted", "b.jpg": "failed"}
    assert (tmp_path / "in-starry" / "a.png").exists()
    again = paint_folder([tmp_path / "in" / "a.png"], output=str(tmp_path / "in-starry"), **options)
    assert str(again).startswith("0 painted, 0 failed, 1 up to date")
