"""How good paintings are, by measures that none of them was optimised for: candidates for the default, and peers.

    python bench/judge.py [--size 512] [--pairs 6] [--iterations 60] [--only NAME]... [--save]

Each candidate paints each pair of a photo and a style. Iterations and steps are chosen so that all take the time that the
first takes, as far as the first pair tells. The judge is VGG-16 with torchvision's weights, if the project's
shared data are at hand; else it is VGG-19 with Oxford's, which also paints, and the table is of little use. It compares
8-bit pictures at their size and at half of it, with photo and style scaled alike.

- content: |F - P| / |P| of relu3_3.
- Gram: the mean over five layers of |G - A| / |A|.
- Wasserstein: the mean over them of the root of the squared distance over what the style's features vary by.
- mesh: power of luma, and of chroma, above 0.4 cycles per pixel, as a share of that above 0.1.
- chroma: the mean of CIELAB's, beside the photo's and the style's.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageCms
from torch import Tensor

from common import RESULTS, ROOT, SHARED, machine, markdown, pastiche, read, torch_objective, write
from nstbatch.cli.actions.bundles import BundleRequest, find_bundle
from nstbatch.exporter.moments import moments, tap_means
from nstbatch.exporter.objective import gram_matrix
from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.gaussians import root_metric
from nstbatch.runtime.bundle.spec import WASSERSTEIN, BundleSpec
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.painting.objective import weigh
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.contact_sheet import contact_sheet
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size

TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""Of the judge: the last of each block, while painters compare the first."""

CONTENT = "relu3_3"

CROP = 128
"""Side, in pixels, of the part that is shown three times as large."""


_SAMPLES = ROOT / "samples"

PAIRS = (
    *(
        (SHARED / f"{photo}.jpg", SHARED / f"{style}.jpg")
        for photo, style in (("golden_gate", "starry_night"), ("tubingen", "the_scream"), ("tubingen", "shipwreck"))
    ),
    *(
        (_SAMPLES / "photos" / f"{photo}.jpg", _SAMPLES / f"{style}.jpg")
        for photo, style in (("town", "mosaic"), ("still_life", "ember"), ("mountains", "starry"))
    ),
)
"""Photos and styles; the first three are no part of the project."""


@dataclass
class Candidate:
    """A way to paint.

    Attributes:
        name: in the table.
        spec: of the bundle; None for a peer.
        options: of the settings.
        peer: paints a photo in a style at a size with so many steps; returns the picture.
        steps: iterations, or a peer's steps: what takes as long as the first candidate does.
    """

    name: str
    spec: BundleSpec | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    peer: "Callable[[Path, Path, int, int], Image.Image] | None" = None
    steps: int = 0

    def paint(self, photo: Path, style: Path, size: int) -> tuple[Image.Image, float]:
        """A painting, and the seconds that it took, with start-up for pastiche alone."""
        began = time.perf_counter()
        if self.peer is not None:
            image = self.peer(photo, style, size, self.steps)
        else:
            assert self.spec is not None
            engine = Engine(find_bundle(BundleRequest(spec=self.spec)), Host(provider="cpu"))
            began = time.perf_counter()
            stylizer = Stylizer.open(engine, style, size=size, iterations=self.steps, **self.options)
            # At its size: enlarged to the photo's own it would have no mesh to see.
            image = stylizer(Picture(scaled(photo, size))).image
        return image.convert("RGB"), time.perf_counter() - began


def by_pastiche(photo: Path, style: Path, size: int, steps: int) -> Image.Image:
    with TemporaryDirectory() as name:
        pastiche(photo, style, Path(name, "out.png"), size, steps)
        return Image.open(Path(name, "out.png")).convert("RGB")


def by_adam(photo: Path, style: Path, size: int, steps: int) -> Image.Image:
    """The schedule of crowsonkb/style-transfer-pytorch, with its objective, in PyTorch.

    Scales grow by the root of two from 128 pixels; the first has twice as many steps; Adam's rate is 0.02 on RGB/255; the
    picture is the average of the iterates.
    """
    preset = PRESETS[WASSERSTEIN]
    objective = torch_objective(preset.spec)
    sides = sorted({round(size / 2 ** (i / 2)) for i in range(20) if size / 2 ** (i / 2) >= min(128, size)})
    image: Tensor | None = None
    for i, side in enumerate(sides):
        content, target = pixels(photo, side), pixels(style, side)
        with torch.no_grad():
            contents, grams = objective.encode(content)[0], objective.encode(target)[1]
        metrics = [torch.from_numpy(root_metric(gram[0].numpy()).astype(np.float32))[None] for gram in grams]
        weights = torch.tensor(weights_of(preset.spec, content.shape[2:]))
        image = content / 255 if image is None else F.interpolate(image, content.shape[2:], mode="bicubic").clamp(0, 1)
        image = image.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([image], lr=0.02, betas=(0.9, 0.99))
        average, mass = torch.zeros_like(image), 0.0
        for _ in range(2 * steps if i == 0 else steps):
            optimizer.zero_grad()
            (objective.losses(255 * image, contents, grams, metrics)[0] * weights).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                image.clamp_(0, 1)
                average, mass = 0.99 * average + 0.01 * image, 0.99 * mass + 0.01
        image = average / mass
    assert image is not None
    values = (255 * image[0].clamp(0, 1)).permute(1, 2, 0).round().byte().numpy()
    return Image.fromarray(values)


def weights_of(spec: BundleSpec, shape: torch.Size) -> list[float]:
    terms = weigh(Settings.of(preset=WASSERSTEIN), spec, Size(shape[1], shape[0]))
    return [*terms.content, *terms.style, terms.tv]


_HALF = PRESETS[DEFAULT].weights.style / 2


def candidates(iterations: int) -> list[Candidate]:
    """Gram matrices first, which were the default."""
    steps = 3 * iterations // 4
    return [
        Candidate("Gram matrices", BundleSpec(), {"preset": "gram"}, steps=iterations),
        Candidate("the default", PRESETS[DEFAULT].spec, steps=steps),
        Candidate("the default, half as strong", PRESETS[DEFAULT].spec, {"style_weight": _HALF}, steps=steps),
        Candidate("preset wasserstein", PRESETS[WASSERSTEIN].spec, {"preset": WASSERSTEIN}, steps=steps),
        Candidate("pastiche", peer=by_pastiche, steps=iterations // 3),
        Candidate("Adam, in torch", peer=by_adam, steps=max(1, iterations // 6)),
    ]


def questions(
    about: str | None, *, size: int, pairs: int, iterations: int
) -> Callable[[Callable[..., None]], click.Command]:
    """What a command that judges paintings asks, with what it takes where nobody answers."""
    options = (
        click.option("--size", default=size, show_default=True, help="Long side, in pixels; at most the photo's."),
        click.option("--pairs", "count", default=pairs, show_default=True, help=f"At most {len(PAIRS)}."),
        click.option("--iterations", default=iterations, show_default=True, help="At each scale, of what comes first."),
        click.option("--only", multiple=True, help="The name of a row of the table; several may be given."),
        click.option("--save", is_flag=True, help="Keep table and sheet in bench/results/."),
    )

    def decorate(function: Callable[..., None]) -> click.Command:
        for option in reversed(options):
            function = option(function)
        return click.command(help=about)(function)

    return decorate


class Judge:
    """A network that painted nothing."""

    def __init__(self) -> None:
        file = SHARED / "vgg16_torchvision_features_fp16.npz"
        source, network = (
            (WeightsSource(str(file), "torchvision"), "vgg16") if file.exists() else (WeightsSource("pastiche"), "vgg19")
        )
        self._network = TruncatedVGG(network, "max", TAPS, Weights.of(source.load(network)[0]))

    def scores(self, painting: Image.Image, photo: Path, style: Path) -> list[float]:
        """Content, Gram and Wasserstein distance, each a mean over two scales."""
        found = []
        for factor in (1, 2):
            size = painting.width // factor, painting.height // factor
            images = [
                painting.resize(size, Image.Resampling.LANCZOS),
                Image.open(photo).convert("RGB").resize(size, Image.Resampling.LANCZOS),
            ]
            with torch.no_grad():
                own, content = (self._network(tensor(image)) for image in images)
                target = self._network(pixels(style, max(size)))
            content_distance = (own[CONTENT] - content[CONTENT]).norm() / content[CONTENT].norm()
            grams, gaussians = [], []
            for tap in TAPS:
                a, b = own[tap].double(), target[tap].double()
                G, A = gram_matrix(a), gram_matrix(b)
                grams.append(float((G - A).norm() / A.norm()))
                gaussians.append(_wasserstein(moments(G, *tap_means(a))[0], moments(A, *tap_means(b))[0]))
            found.append([float(content_distance), float(np.mean(grams)), float(np.mean(gaussians))])
        return [float(value) for value in np.mean(found, 0)]


def _wasserstein(own: Tensor, target: Tensor) -> float:
    """The distance of two Gaussians by eigenvectors, over the root of the variance of the second."""

    def gaussian(of: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values = of.numpy()
        mean = values[:-1, -1]
        return mean, values[:-1, :-1] - np.outer(mean, mean)

    def root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        values, vectors = np.linalg.eigh(matrix)
        return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)

    (m, C), (a, A) = gaussian(own), gaussian(target)
    half = root(A)
    squared = ((m - a) ** 2).sum() + np.trace(C + A - 2 * root(half @ C @ half))
    return float(np.sqrt(max(squared, 0) / np.trace(A)))


def mesh(values: NDArray[np.float64]) -> float:
    """Power above 0.4 cycles per pixel as a share of that above 0.1, of a plane."""
    window = np.outer(np.hanning(values.shape[0]), np.hanning(values.shape[1]))
    power = np.abs(np.fft.fft2((values - values.mean()) * window)) ** 2
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in values.shape), indexing="ij"))
    return float(power[radius > 0.4].sum() / power[radius > 0.1].sum())


_LAB = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")


def of_picture(image: Image.Image) -> list[float]:
    """Mesh of luma and of chroma, and the mean chroma in CIELAB."""
    planes = np.asarray(image.convert("YCbCr"), np.float64)
    lab = np.asarray(ImageCms.applyTransform(image, _LAB)).astype(np.int8).astype(np.float64)
    chroma = np.hypot(lab[..., 1], lab[..., 2]).mean()
    return [mesh(planes[..., 0]), (mesh(planes[..., 1]) + mesh(planes[..., 2])) / 2, float(chroma)]


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()


def side_of(photo: Path, size: int) -> int:
    """Long side that a photo is painted at: enlarged, it would have no detail to judge."""
    with Image.open(photo) as image:
        return min(size, max(image.size))


def scaled(path: Path, side: int) -> Image.Image:
    image = Image.open(path).convert("RGB")
    factor = side / max(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def pixels(path: Path, side: int) -> Tensor:
    return torch.from_numpy(read(path, side))


def pairs() -> list[tuple[Path, Path]]:
    """Photos and styles that are here, the most telling first: real ones, then the samples."""
    return [pair for pair in PAIRS if all(path.is_file() for path in pair)]


COLUMNS = {
    **dict.fromkeys(("content", "Gram", "Wasserstein"), "{:.3f}"),
    **dict.fromkeys(("mesh: luma", "mesh: chroma"), "{:.1%}"),
    "chroma": "{:.1f}",
}
"""What `Judge.scores` and `of_picture` tell of a painting, and how it is printed."""


def table(first: str, columns: Mapping[str, str], rows: Mapping[str, list[list[float]]]) -> str:
    """The means of rows over pairs, under heads; what a row has not is NaN, and left empty."""
    cells = [
        [name, *("" if np.isnan(value) else form.format(value) for form, value in zip(columns.values(), mean, strict=True))]
        for name, mean in ((name, np.mean(found, 0)) for name, found in rows.items())
    ]
    return markdown([first, *columns], cells)


def crop(image: Image.Image) -> Image.Image:
    """The middle, three times as large, by its own pixels."""
    left, top = (image.width - CROP) // 2, (image.height - CROP) // 2
    part = image.crop((left, top, left + CROP, top + CROP))
    return part.resize((3 * CROP, 3 * CROP), Image.Resampling.NEAREST)


@questions(__doc__, size=512, pairs=6, iterations=60)
def main(size: int, count: int, iterations: int, only: tuple[str, ...], save: bool) -> None:
    judge, asked = Judge(), [each for each in candidates(iterations) if not only or each.name in only]
    rows: dict[str, list[list[float]]] = {}
    sheet: list[list[Image.Image | None]] = []
    chosen = pairs()[:count]
    for photo, style in chosen:
        side = side_of(photo, size)
        pictures = [scaled(photo, side), scaled(style, side)]
        for name, picture in zip(("photo", "style"), pictures, strict=True):
            rows.setdefault(name, []).append([np.nan] * 5 + of_picture(picture))
        first = 0.0
        for each in asked:
            picture, seconds = each.paint(photo, style, side)
            if each is asked[0]:
                first = seconds
            elif photo == chosen[0][0] and abs(seconds / first - 1) > 0.1:
                # Once, so that the pairs after this one need not be painted twice.
                each.steps = max(1, round(each.steps * first / seconds))
                picture, seconds = each.paint(photo, style, side)
            pictures.append(picture)
            scores = [each.steps, seconds, *judge.scores(picture, photo, style), *of_picture(picture)]
            rows.setdefault(each.name, []).append(scores)
            print(f"{photo.stem} x {style.stem}, {each.name}:", *(f"{value:.4g}" for value in scores), flush=True)
        sheet += [[*pictures], [crop(picture) for picture in pictures]]
    columns = {"iterations": "{:.0f}", "s": "{:.0f}", **COLUMNS}
    text = (
        f"# The judge\n\n`python bench/judge.py --size {size} --pairs {count} --iterations {iterations}`: means over "
        f"{len(chosen)} pairs; its docstring describes the columns.\n\n{machine(available_cores())}\n\n"
        f"{table('painted by', columns, rows)}"
    )
    if save:
        labels = [f"{photo.stem} x {style.stem}" for photo, style in chosen]
        image = contact_sheet(sheet, list(itertools.chain.from_iterable((label, "x 3") for label in labels)), list(rows))
        image.save(RESULTS / "judge.jpg", quality=70, optimize=True)
        write("judge.md", f"{text}\n![all of them, and their middles three times as large](judge.jpg)\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
