"""A grid of pictures."""

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.pictures.contact_sheet import contact_sheet


def test_pictures_lie_where_their_labels_say() -> None:
    colours = [["red", "lime"], ["blue", None], ["white", "black"]]
    pictures = [[c and Image.new("RGB", (640, 400), c) for c in line] for line in colours]
    sheet = contact_sheet(pictures, ["size 1", "size 22", "size 333"], ["a", "b"])
    found = np.asarray(sheet)

    def centre(colour: tuple[int, int, int]) -> tuple[float, float]:
        y, x = np.nonzero((found == colour).all(-1))
        assert abs(len(y) - 320 * 200) < 300, "each is scaled to the same long side"
        return float(y.mean()), float(x.mean())

    red, lime, blue = centre((255, 0, 0)), centre((0, 255, 0)), centre((0, 0, 255))
    assert red[0] == pytest.approx(lime[0], abs=1)
    assert lime[1] - red[1] == pytest.approx(328, abs=1)
    assert red[1] == pytest.approx(blue[1], abs=1)
    assert blue[0] - red[0] == pytest.approx(208, abs=1)
    dark = (found[: int(red[0] - 100)].min(-1) < 100).any(0)
    assert dark[int(red[1]) - 20 : int(red[1]) + 20].any(), "the column's label is above it"
