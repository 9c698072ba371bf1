"""Paint the pictures of docs/recipes.md and of the README from the samples: every option and every preset, small.

    python docs/draw_recipes.py [--work DIR] [--vgg16 WEIGHTS] [--vgg19 WEIGHTS] [NAME...]

Takes an hour or two on two cores; with --work, what has been painted is kept there, and not painted again. WEIGHTS are
torchvision's, as `nstbatch export` takes them, for the presets that compute with these; by default they are downloaded.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples"
TARGET = ROOT / "docs" / "images" / "recipes"
WIDTH = 240
QUALITY = 85

SIZE = ("--size", "192")
FULL = ("--size", "512")
PRESET_SIZE = ("--size", "160")
"""Below what presets ask for, or thousands of iterations would take days."""

PRESET_OPTIONS = {"keras-v3": ("--size", "400", "--iterations", "250")}
"""Its learning rate is for its own size, and at a smaller one too large."""


@dataclass(frozen=True)
class Recipe:
    """A picture.

    Attributes:
        options: of `nstbatch`.
        photo: a sample's name.
        styles: samples' names.
        snapshots: numbers of those that are laid side by side in place of the painting.
    """

    options: tuple[str, ...] = ()
    photo: str = "tree"
    styles: tuple[str, ...] = ("starry",)
    snapshots: tuple[int, ...] = ()


def of(options: str, photo: str = "tree", styles: str = "starry") -> Recipe:
    """A recipe of options that are separated by spaces."""
    return Recipe(tuple(options.split()), photo, tuple(styles.split()))


OPTIONS: dict[str, Recipe] = {
    "default": of(""),
    "strength-0.3": of("--strength 0.3"),
    "strength-0.8": of("--strength 0.8"),
    "layer-weight": of("--layer-weight relu4_1=0.01,relu5_1=0.01"),
    "style-scale-0.5": of("--style-scale 0.5"),
    "style-scale-2": of("--style-scale 2"),
    "style-blend": of("--style-blend 1:1", styles="starry ember"),
    "colors-photo": of("--colors photo", styles="ember"),
    "colors-blend": of("--colors blend:0.5", styles="ember"),
    "colors-match": of("--colors match", styles="ember"),
    "colors-histogram": of("--colors histogram", styles="ember"),
    "colors-style": of("", styles="ember"),
    "masks": of(f"--style-mask {SAMPLES}/masks/starry.png --content-mask {SAMPLES}/masks/tree.png"),
    "two-styles": of(
        f"--style-mask {SAMPLES}/masks/sky.png --style-mask {SAMPLES}/masks/land.png "
        f"--content-mask {SAMPLES}/masks/tree.png",
        styles="starry mosaic",
    ),
    "protect": of(f"--protect {SAMPLES}/masks/still_life.png --feather 1", "still_life", "mosaic"),
    "init-noise": of("--init noise --seed 1"),
    "init-style": of("--init style"),
    "optimizer-adam": of("--optimizer adam"),
    "optimizer-adagrad": of("--optimizer adagrad"),
    "optimizer-sgd": of("--optimizer sgd"),
    "average": of("--optimizer adam --average 0.9"),
    "distance-covariance": of("--style-distance covariance"),
    "distance-correlation": of("--style-distance correlation"),
    "pooling-average": of("--pooling average"),
    "pooling-rescaled": of("--pooling rescaled"),
    "padding-replicate": of("--padding replicate"),
    "content-taps": of("--content-taps relu2_2"),
    "style-taps": of("--style-taps relu1_1,relu2_1"),
    "tv-weight": of("--tv-weight 300"),
    "scales-1": of("--scales 1"),
    "whitening": of("--preset gram --style-weight 1000 --whitening on"),
    "whitening-off": of("--preset gram --style-weight 1000 --whitening off"),
    "snapshots": Recipe(("--snapshots", "every=10"), snapshots=(10, 30, 60, 90)),
}
"""By the picture's name."""

PICTURES = OPTIONS | {
    f"preset-{name}": Recipe(("--preset", name, *PRESET_OPTIONS.get(name, PRESET_SIZE)))
    for name in PRESETS
    if name != DEFAULT
}
"""Of docs/recipes.md."""

GALLERY = {
    f"{photo}-{style}": Recipe(FULL, photo, (style,))
    for photo, style in (("town", "starry"), ("still_life", "mosaic"), ("tree", "ember"))
}
"""Of the README and docs/recipes.md: with the defaults alone, and in the photo's own size."""


def paint(name: str, recipe: Recipe, work: Path, weights: dict[str, str]) -> Image.Image:
    """Run the program, and read what it made."""
    options = list(recipe.options) if "--size" in recipe.options else [*recipe.options, *SIZE]
    preset = recipe.options[1] if "--preset" in recipe.options else DEFAULT
    spec = PRESETS[preset].spec
    if spec.weights == "torchvision" and weights[spec.network]:
        bundle = work / f"bundle-{preset}"
        if not bundle.exists():
            source = weights[spec.network]
            told = ["--preprocessing", "torchvision"] if Path(source).exists() else []
            nstbatch("export", "--preset", preset, "--weights", source, *told, "-o", bundle)
        options += ["--bundle", str(bundle)]
    for style in recipe.styles:
        options += ["--style", str(SAMPLES / f"{style}.jpg")]
    nstbatch(SAMPLES / "photos" / f"{recipe.photo}.jpg", *options, "-o", work / "out", "--name", name + "{ext}")
    painting = work / "out" / f"{name}.jpg"
    if not recipe.snapshots:
        return Image.open(painting)
    folder = painting.with_name(f"{painting.name}.snapshots")
    parts = [Image.open(folder / f"{number:06d}.jpg") for number in recipe.snapshots]
    strip = Image.new("RGB", (sum(part.width for part in parts), parts[0].height))
    for index, part in enumerate(parts):
        strip.paste(part, (index * part.width, 0))
    return strip


def nstbatch(*arguments: object) -> None:
    """Run the program."""
    subprocess.run([Path(sys.executable).with_name("nstbatch"), *map(str, arguments)], check=True)


def main() -> None:
    """Paint them, and save them small."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--vgg16", default="", metavar="WEIGHTS")
    parser.add_argument("--vgg19", default="", metavar="WEIGHTS")
    parser.add_argument("names", nargs="*", metavar="NAME", default=[*PICTURES, *GALLERY])
    chosen = parser.parse_args()
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = chosen.work or Path(temporary)
        for name in chosen.names:
            picture = paint(name, (PICTURES | GALLERY)[name], work, {"vgg16": chosen.vgg16, "vgg19": chosen.vgg19})
            if name in GALLERY:
                picture.save(TARGET.parent / f"{name}.jpg", quality=QUALITY)
                continue
            width = WIDTH * (len(PICTURES[name].snapshots) or 1) // (2 if PICTURES[name].snapshots else 1)
            small = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
            small.save(TARGET / f"{name}.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
