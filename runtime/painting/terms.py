"""The terms of the objective for any picture, whoever painted it."""

from dataclasses import dataclass, replace

from ..errors import UsageError
from ..pictures.photo import Picture
from ..pictures.pixels import fit, resize, to_pixels
from ..pictures.regions import Guidance
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


def terms_of(
    stylizer: Stylizer, photo: Picture, painting: Picture, guidance: Guidance | None = None
) -> tuple[tuple[int, int], list[Term]]:
    """The terms of a painting of a photo, by a stylizer's style, bundle and settings.

    Both are scaled to the painting's shape at the settings' last level, as for a run at that size. With ``guidance``, the
    photo's regions are compared each with its own.

    Returns:
        Width and height of what was compared, and the terms: content, style, total variation.

    Raises:
        UsageError: the two have not the same proportions, or the photo not the style's regions.
    """
    stylizer.check(guidance)
    settings, engine = stylizer.settings, stylizer.engine
    size = settings.levels(max(painting.size))[-1]
    width, height = fit(painting.size, size)
    expected = fit(photo.size, max(width, height))
    if max(abs(expected[0] - width), abs(expected[1] - height)) > 2:
        raise UsageError(
            f"a picture of {painting.size[0]} x {painting.size[1]} is no painting of a photo of {photo.size[0]} x "
            f"{photo.size[1]}: they have other proportions"
        )
    content, image = (to_pixels(resize(picture.rgb, (width, height))) for picture in (photo, painting))
    style_size = settings.style_levels([max(width, height)])[0]
    targets = replace(encode(engine, content, guidance), grams=stylizer.style_for(photo).grams(style_size))
    spec = engine.bundle.manifest.spec
    weights = weigh(settings, spec, height, width)
    objective = Objective(engine, targets, weights, precision=stylizer.precisions[-1])
    names = [*(("content", tap) for tap in spec.content_taps), *(("style", tap) for tap in spec.style_taps), ("tv", "")]
    found = zip(names, objective.losses(image), objective.weights, strict=True)
    return (width, height), [Term(kind, tap, float(value), float(weight)) for (kind, tap), value, weight in found]
