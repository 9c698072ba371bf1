"""Which file is whose mask."""

from pathlib import Path

import pytest
from PIL import Image

from nstbatch.runtime.errors import ImageError, UsageError
from nstbatch.runtime.planning.masks import MaskFiles
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.recipe.size import Size

RED, BLUE = (255, 0, 0), (0, 0, 255)


def item(root: Path, key: str) -> Item:
    return Item(root / "photos" / key, root / "out" / key, root / "out")


def mask(path: Path, left: tuple[int, int, int] = RED, right: tuple[int, int, int] = BLUE) -> Path:
    image = Image.new("RGB", (64, 48), left)
    image.paste(right, (32, 0, 64, 48))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def test_the_nearest_of_a_folder_and_else_the_one_at_the_top(tmp_path: Path) -> None:
    mask(tmp_path / "masks" / "a.png")
    mask(tmp_path / "masks" / "deep" / "a.png", BLUE, RED)
    masks = MaskFiles([RED, BLUE], tmp_path / "masks", feather=0)
    for key, red_at_the_left in (("a.jpg", True), ("deep/a.jpg", False), ("other/a.jpg", True)):
        guidance = masks.read(item(tmp_path, key), Size(64, 48))
        assert guidance is not None
        assert bool(guidance.channels[0, 24, 8]) is red_at_the_left, key
    same = {masks.digest(item(tmp_path, key)) for key in ("a.jpg", "other/a.jpg")}
    assert len(same) == 1
    assert masks.digest(item(tmp_path, "deep/a.jpg")) not in same


def test_a_file_is_the_mask_of_every_photo(tmp_path: Path) -> None:
    masks = MaskFiles([RED, BLUE], mask(tmp_path / "mask.png"))
    assert masks.digest(item(tmp_path, "a.jpg")) == masks.digest(item(tmp_path, "deep/b.jpg")) != ""


def test_without_masks_there_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    assert MaskFiles().digest(item(tmp_path, "a.jpg")) == ""
    assert MaskFiles().read(item(tmp_path, "a.jpg"), Size(64, 48)) is None


def test_a_photo_without_a_mask_or_with_two(tmp_path: Path) -> None:
    mask(tmp_path / "masks" / "a.png")
    masks = MaskFiles([RED, BLUE], tmp_path / "masks")
    with pytest.raises(ImageError, match=r"masks: has no mask of it, such as b\.png"):
        masks.digest(item(tmp_path, "b.jpg"))
    mask(tmp_path / "masks" / "a.tiff")
    with pytest.raises(ImageError, match=r"a\.png and a\.tiff are both masks of it; leave one"):
        MaskFiles([RED, BLUE], tmp_path / "masks").digest(item(tmp_path, "a.jpg"))


def test_masks_of_styles_and_of_photos_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="go together"):
        MaskFiles().check(1)
    with pytest.raises(UsageError, match="go together"):
        MaskFiles(content_mask=tmp_path).check(0)
    with pytest.raises(UsageError, match="absent: no such file or folder of masks"):
        MaskFiles(protect=tmp_path / "absent").check(0)
    MaskFiles(content_mask=tmp_path).check(1)
