"""Files of pictures: what a format does not hold is known before anything is painted, and costs no painting."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.pictures import encoding
from nstbatch.runtime.pictures.encoding import encode_picture, rehearse, too_large, write_picture
from nstbatch.runtime.pictures.formats import WRITTEN
from nstbatch.runtime.pictures.metadata import IFD0, Metadata
from nstbatch.runtime.pictures.photo import Header, Picture, read_picture
from nstbatch.runtime.recipe.size import Size


@pytest.mark.parametrize(("extension", "limit"), [(".jpg", 65_500), (".webp", 16_383)])
def test_the_limits_are_those_of_the_encoders(extension: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rehearse(Header(Size(limit, 33), "PNG"), extension) is None
    for size in (Size(limit + 1, 33), Size(33, limit + 1)):
        why = rehearse(Header(size, "PNG"), extension)
        assert why is not None
        assert f"{limit:,} pixels along a side, this has {limit + 1:,}" in why
        assert "--name '{stem}.png'" in why
    # Were the limit not known here, the encoder itself would say so.
    monkeypatch.setattr(encoding, "_LONGEST", {})
    why = rehearse(Header(Size(limit + 1, 33), "PNG"), extension)
    assert why is not None
    assert "encoder failed" in why


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_others_hold_longer_ones(extension: str) -> None:
    assert rehearse(Header(Size(70_000, 33), "PNG", alpha=True), extension) is None


def test_a_tiff_has_an_end() -> None:
    assert too_large(Size(30_000, 30_000), ".tif") is None
    assert "TIFF holds 4 GB" in str(too_large(Size(40_000, 40_000), ".tif"))
    assert too_large(Size(40_000, 40_000), ".png") is None


def test_metadata_that_an_encoder_does_not_take_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Image.Image.save

    def save(image: Image.Image, file: Any, kind: str, **options: Any) -> None:
        if options.get("exif"):
            raise RuntimeError("Error setting from dictionary")
        real(image, file, kind, **options)

    monkeypatch.setattr(Image.Image, "save", save)
    picture = Picture(Image.new("RGB", (40, 36)), metadata=Metadata(exif={IFD0: {271: "me"}}))
    encoded = encode_picture(picture, ".jpg")
    assert encoded.notes == ("metadata: left out, the JPEG encoder does not take it (Error setting from dictionary)",)
    with Image.open(io.BytesIO(encoded.data)) as image:
        assert image.size == (40, 36)


@pytest.mark.parametrize("extension", WRITTEN)
def test_what_no_encoder_writes_is_an_error_in_one_line(extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: 1 / 0)
    with pytest.raises(ImageError, match=f"the {WRITTEN[extension]} encoder failed: division by zero"):
        encode_picture(Picture(Image.new("RGB", (40, 36))), extension)


def test_an_encoder_that_writes_something_else_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Image.Image.save
    monkeypatch.setattr(Image.Image, "save", lambda image, *rest, **options: real(image.resize((9, 9)), *rest, **options))
    with pytest.raises(ImageError, match=r"wrote \(9, 9\) in place of \(40, 36\) pixels"):
        write_picture(tmp_path / "x.png", Picture(Image.new("RGB", (40, 36))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", WRITTEN)
def test_pillows_own_limit_is_none_of_ours(extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    encoded = encode_picture(Picture(Image.new("RGB", (40, 36))), extension)
    assert encoded.notes == ()
    if WRITTEN[extension] == "JPEG":
        (tmp_path / "x.jpg").write_bytes(encoded.data[:-2])
        assert read_picture(tmp_path / "x.jpg").size == (40, 36)
