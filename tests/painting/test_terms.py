"""The terms of the objective for any picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.painting.terms import compare
from nstbatch.runtime.pictures.photo import Picture, read_picture


@pytest.fixture(scope="module")
def stylizer(bundle: Bundle, samples: Path) -> Stylizer:
    options = {"size": 64, "iterations": 12, "scales": "1", "tv_weight": 0.1}
    return Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", threads=1, **options)


def test_terms_of_the_start_are_those_of_the_run(stylizer: Stylizer, samples: Path) -> None:
    photo = read_picture(samples / "photos" / "town.jpg")
    result = stylizer(photo)
    found = compare(stylizer, photo, photo)
    assert found.size == (64, 45)
    terms = found.terms
    np.testing.assert_allclose([term.weighted for term in terms], result.losses.terms[0], rtol=1e-4, atol=1e-6)
    assert [(term.kind, term.tap) for term in terms][:2] == [("content", "conv2_2"), ("style", "conv1_1")]
    assert (terms[-1].kind, terms[-1].tap) == ("tv", "")


def test_a_painting_has_the_loss_that_its_run_reported(stylizer: Stylizer, samples: Path) -> None:
    whole = Picture(read_picture(samples / "photos" / "town.jpg").rgb.resize((64, 45), Image.Resampling.LANCZOS))
    result = stylizer(whole)
    found = compare(stylizer, whole, result.picture)
    assert found.loss == pytest.approx(result.loss, rel=0.05), "but for 8 bits"
    assert found.loss < 0.2 * result.losses.total[0]


def test_another_picture_is_refused(stylizer: Stylizer, samples: Path) -> None:
    photo = read_picture(samples / "photos" / "town.jpg")
    other = Picture(photo.rgb.resize((64, 64)))
    with pytest.raises(UsageError, match="64 x 64 is no painting of a photo of 400 x 280"):
        compare(stylizer, photo, other)


def test_strength_is_monotone(bundle: Bundle, samples: Path) -> None:
    engine = Engine(bundle, Host(provider="cpu", threads=1))
    photo = Picture(read_picture(samples / "photos" / "town.jpg").rgb.resize((64, 45), Image.Resampling.LANCZOS))
    options = {"size": 64, "scales": "1", "iterations": 40, "whitening": "off"}
    content, style = [], []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        stylizer = Stylizer.open(engine, samples / "starry.jpg", strength=strength, **options)
        terms = compare(stylizer, photo, stylizer(photo).picture).terms
        unit = {"content": content, "style": style}
        for kind, found in unit.items():
            # In the units of strength 0.5, for all: a term's own weight would hide how near it is.
            gatys = {term.tap: term.weight for term in terms if term.kind == kind}
            share = stylizer.settings.style_weight / 10 if kind == "style" else 1.0
            found.append(sum(term.value * gatys[term.tap] / share for term in terms if term.kind == kind))
    assert content == sorted(content), "the photo gets lost"
    assert style == sorted(style, reverse=True), "and the style comes"
    assert content[-1] > 2 * content[0]
    assert style[0] > 5 * style[-1]
