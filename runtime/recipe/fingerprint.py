"""Fingerprints: what decides the pixels of an output, in one hash."""

import hashlib
import json
import math
from dataclasses import dataclass, replace

from .settings import Settings

VERSION = 3
"""Version of the recipe. It goes up when the same photo, style, bundle and options come out as other pixels than before;
every output is then out of date."""


@dataclass(frozen=True)
class Subject:
    """All that decides an output's pixels, but for the recipe.

    Attributes:
        photo: sha256 of the photo's bytes.
        long_side: of the photo, in pixels.
        format: of the output, by Pillow's name.
        guidance: `Guidance.digest` of its masks; empty if it has none.
        style: number of its style.
    """

    photo: str
    long_side: int
    format: str
    guidance: str = ""
    style: int = 0


@dataclass(frozen=True)
class Recipe:
    """All that decides an output's pixels, but for the photo.

    Which provider computes, and on how many threads, changes pixels by rounding only and is left out.

    Attributes:
        styles: what decides the Gram matrices of each style, a sha256.
        bundle: `Bundle.id`.
        settings: of the optimisation.
        start: sha256 of the picture that ``settings.init`` names, None if it names none.
        version: see `VERSION`.
    """

    styles: tuple[str, ...]
    bundle: str
    settings: Settings
    start: str | None = None
    version: int = VERSION

    def at_most(self, size: int) -> "Recipe":
        """The same recipe with no level above ``size``."""
        return replace(self, settings=self.settings.at_most(size))

    def fingerprint(self, subject: Subject) -> str:
        """Hexadecimal sha256 of everything that decides what an output holds, and of nothing else.

        An option counts by its effect: a size above that of the photo does not, nor does the seed of noise that is not
        there.
        """
        settings = self.settings
        parts = {
            "recipe": self.version,
            "photo": subject.photo,
            "style": self.styles[subject.style],
            "bundle": self.bundle,
            "levels": settings.levels(subject.long_side),
            "style_levels": settings.style_levels(settings.levels(subject.long_side)),
            "iterations": settings.iterations,
            "weights": [settings.preset, settings.content_weight, settings.style_weight, settings.tv_weight],
            "layers": sorted(settings.layer_weights),
            "colors": settings.colors_parts,
            "start": self.start or settings.init,
            "seed": settings.seed if settings.init == "noise" else None,
            "optimizer": settings.optimizer_parts,
            "average": settings.average,
            "precision": settings.precision,
            "whitens": settings.whitens,
            "tolerance": settings.tolerance,
            "format": subject.format,
        }
        if settings.strip_gps or settings.strip_metadata:
            parts["stripped"] = [settings.strip_gps, settings.strip_metadata]
        if math.isfinite(settings.enlargement):
            parts["enlargement"] = settings.enlargement
        if settings.quality is not None:
            parts["quality"] = settings.quality
        if subject.guidance:
            parts["guidance"] = subject.guidance
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
