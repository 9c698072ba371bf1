"""What the style's size should be where its picture is much smaller, or much larger, than the painting.

    python bench/style_scale.py [--size 256] [--pairs 3] [--iterations 30] [--only NAME]... [--save]

The style picture is read at its size, and shrunk to a quarter of the painting's. By default, the program enlarges a style
that is smaller than the painting to twice its own size; --style-scale and --style-size set other sizes. The judge of
bench/judge.py compares each painting with the style as it was before it was shrunk, at the painting's size. At other scales
of the style there is nothing to compare with but the eye, and the sheet is for it.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from common import RESULTS, machine, write
from judge import COLUMNS, Candidate, Judge, crop, of_picture, pairs, questions, scaled, table
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.pictures.contact_sheet import contact_sheet
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS

SMALL = 4
"""A shrunk style's size is the painting's over that."""


def ways(size: int) -> list[tuple[str, bool, dict[str, Any]]]:
    """Names of rows, whether the style is shrunk, and options."""
    own = size // SMALL
    return [
        *((f"large, at {scale:g} of the painting's", False, {"style_scale": scale}) for scale in (0.5, 1.0, 1.5, 2.0)),
        ("small, at its own size", True, {"style_size": own}),
        ("small, enlarged twice", True, {"style_size": 2 * own}),
        ("small, enlarged twice at most, the default", True, {}),
        ("small, enlarged three times", True, {"style_size": 3 * own}),
        ("small, enlarged to the painting's size", True, {"style_scale": 1.0}),
    ]


@questions(__doc__, size=256, pairs=3, iterations=30)
def main(size: int, count: int, iterations: int, only: tuple[str, ...], save: bool) -> None:
    judge, asked = Judge(), [way for way in ways(size) if not only or way[0] in only]
    found: dict[str, list[list[float]]] = {}
    sheet: list[list[Image.Image | None]] = []
    chosen = pairs()[:count]
    with TemporaryDirectory() as name:
        small = Path(name, "small.png")
        for photo, style in chosen:
            scaled(style, size // SMALL).save(small)
            pictures = [scaled(photo, size), scaled(style, size)]
            for label, shrunk, options in asked:
                candidate = Candidate(label, PRESETS[DEFAULT].spec, options, steps=iterations)
                picture, _ = candidate.paint(photo, small if shrunk else style, size)
                pictures.append(picture)
                scores = [*judge.scores(picture, photo, style), *of_picture(picture)]
                found.setdefault(label, []).append(scores)
                print(photo.stem, style.stem, label, *(f"{value:.4g}" for value in scores), flush=True)
            sheet += [[*pictures], [crop(picture) for picture in pictures]]
    text = (
        f"# The style's size\n\n`python bench/style_scale.py --size {size} --pairs {count} --iterations {iterations}`: "
        f"means over {len(chosen)} pairs; its docstring describes it.\n\n{machine(available_cores())}\n\n"
        f"{table('the style, and its size', COLUMNS, found)}"
    )
    if save:
        labels = [label for photo, style in chosen for label in (f"{photo.stem} x {style.stem}", "x 3")]
        contact_sheet(sheet, labels, ["photo", "style", *found]).save(RESULTS / "style-scale.jpg", quality=70, optimize=True)
        write("style-scale.md", f"{text}\n![all of them, and their middles three times as large](style-scale.jpg)\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
