"""The terms of the objective for any picture, whoever painted it."""

from dataclasses import dataclass, replace

from ..errors import UsageError
from ..pictures.photo import Picture
from ..pictures.pixels import resize, to_pixels
from ..pictures.regions import Guidance
from ..recipe.size import Size
from .objective import Objective, encode, weigh
from .stylizer import Stylizer


@dataclass(frozen=True)
class Term:
    """One term of an objective.

    Attributes:
        kind: ``content``, ``style`` or ``tv``.
        tap: whose features or Gram matrices are compared; empty for ``tv``.
        value: of the term, unweighted: a mean, see the gradient graph.
        weight: what it is multiplied by.
    """

    kind: str
    tap: str
    value: float
    weight: float

    @property
    def weighted(self) -> float:
        """Its share of the loss."""
        return self.weight * self.value


@dataclass(frozen=True)
class Comparison:
    """A painting against its photo and style.

    Attributes:
        size: at which they were compared.
        terms: content, style, total variation.
    """

    size: Size
    terms: list[Term]

    @property
    def loss(self) -> float:
        """The weighted sum of the terms."""
        return sum(term.weighted for term in self.terms)


def compare(stylizer: Stylizer, photo: Picture, painting: Picture, guidance: Guidance | None = None) -> Comparison:
    """Compute the terms of a painting of a photo, by a stylizer's style, bundle and settings.

    Both are scaled to the painting's shape at the settings' last level, as for a run at that size. With ``guidance``, the
    photo's regions are compared each with its own.

    Raises:
        UsageError: the two have not the same proportions, or the photo not the style's regions.
    """
    stylizer.check(guidance)
    settings, engine = stylizer.settings, stylizer.engine
    size = painting.size.fit(settings.levels(painting.size.long_side)[-1])
    expected = photo.size.fit(size.long_side)
    if max(abs(expected.width - size.width), abs(expected.height - size.height)) > 2:
        raise UsageError(
            f"a picture of {painting.size} is no painting of a photo of {photo.size}: they have other proportions"
        )
    content, image = (to_pixels(resize(picture.rgb, size)) for picture in (photo, painting))
    style_size = settings.style_levels([size.long_side])[0]
    grams = stylizer.style_for(photo).grams(style_size, settings.enlargement)
    targets = replace(encode(engine, content, guidance), grams=grams)
    spec = engine.bundle.manifest.spec
    weights = weigh(settings, spec, size)
    objective = Objective(engine, targets, weights, precision=stylizer.precisions[-1])
    names = [*(("content", tap) for tap in spec.content_taps), *(("style", tap) for tap in spec.style_taps), ("tv", "")]
    found = zip(names, objective.losses(image), objective.weighing.weights, strict=True)
    return Comparison(size, [Term(kind, tap, float(value), float(weight)) for (kind, tap), value, weight in found])
