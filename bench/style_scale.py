"""What the style's size should be where its picture is much smaller, or much larger, than the painting.

    python bench/style_scale.py [--size 320] [--iterations 40] [--save]

The style picture is read at its size, and shrunk to a quarter of the painting's. The program enlarges a style that is
smaller than the painting; --style-size leaves it as it is, or between. The judge of bench/judge.py compares each painting
with the style as it was before it was shrunk, at the painting's size. At other scales of the style there is nothing to
compare with but the eye, and the sheet is for it.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from PIL import Image

from common import RESULTS, machine, markdown, write
from judge import Candidate, Judge, crop, of_picture, pairs, scaled
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.pictures.contact_sheet import contact_sheet
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS

SMALL = 4
"""A shrunk style's size is the painting's over that."""


@click.command(help=__doc__)
@click.option("--size", default=320, show_default=True, help="Long side, in pixels.")
@click.option("--iterations", default=40, show_default=True, help="At each scale.")
@click.option("--save", is_flag=True, help="Keep table and sheet in bench/results/.")
def main(size: int, iterations: int, save: bool) -> None:
    judge, (photo, style) = Judge(), pairs()[0]
    rows, pictures = [], [scaled(photo, size), scaled(style, size)]
    with TemporaryDirectory() as name:
        small = Path(name, "small.png")
        scaled(style, size // SMALL).save(small)
        ways: list[tuple[str, Path, dict[str, Any]]] = [
            *((f"large, at {scale:g} of the painting's", style, {"style_scale": scale}) for scale in (0.5, 1.0, 1.5, 2.0)),
            ("small, enlarged to the painting's", small, {}),
            ("small, enlarged to half of it", small, {"style_size": size // 2}),
            ("small, at its own", small, {"style_size": size // SMALL}),
        ]
        for label, path, options in ways:
            candidate = Candidate(label, PRESETS[DEFAULT].spec, options, steps=iterations)
            picture, _ = candidate.paint(photo, path, size)
            pictures.append(picture)
            scores, (luma, chroma, colour) = judge.scores(picture, photo, style), of_picture(picture)
            rows.append(
                [
                    label,
                    *(f"{value:.3f}" for value in scores),
                    *(f"{value:.1%}" for value in (luma, chroma)),
                    f"{colour:.1f}",
                ]
            )
            print(*rows[-1], flush=True)
    heads = ["the style, and its size", "content", "Gram", "Wasserstein", "mesh: luma", "mesh: chroma", "chroma"]
    text = (
        f"# The style's size\n\n`python bench/style_scale.py --size {size} --iterations {iterations}`: {photo.stem} in the "
        f"style {style.stem}; its docstring describes it.\n\n{machine(available_cores())}\n\n{markdown(heads, rows)}"
    )
    if save:
        sheet: list[list[Image.Image | None]] = [[*pictures], [crop(picture) for picture in pictures]]
        labels = ["photo", "style", *(label for label, _, _ in ways)]
        contact_sheet(sheet, [photo.stem, "x 3"], labels).save(RESULTS / "style-scale.jpg", quality=85)
        write("style-scale.md", f"{text}\n![all of them, and their middles three times as large](style-scale.jpg)\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
