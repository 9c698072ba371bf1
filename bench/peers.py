"""Wall seconds to the same loss: this program against pastiche (PyPI), which optimises the same objective in PyTorch.

    python bench/peers.py [--size 384] [--steps 300] [--pairs N] [--folder 8] [--folder-size 256] [--save]

For each pair of photo and style pastiche runs its steps; then this program runs with ever more --iterations until the loss
of its picture is not above that of pastiche's. Both are whole programs, started anew, with start-up, decoding and encoding;
the bundle is in the cache. Both losses are measured by one independent evaluation, in PyTorch and float32, of the 8-bit
pictures that the programs wrote. Both get the same PNGs, at the size at which they work, so that neither resamples.

Then a folder: one run of this program against a shell loop of pastiche, with the iterations that the pairs took; its
pictures are measured likewise.
"""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import matplotlib as mpl
import numpy as np
import torch
from PIL import Image

from common import (
    ITERATIONS,
    RESULTS,
    ROOT,
    SHARED,
    load_bundle,
    machine,
    markdown,
    pastiche,
    plain_loss,
    timed,
    torch_objective,
    write,
)
from nstbatch.exporter.objective import Objective
from nstbatch.runtime.bundle.spec import BundleSpec
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.engine.providers import installed_providers

CONTENT_WEIGHT, STYLE_WEIGHT = 0.01, 10.0
"""Pastiche's defaults: mean squares of relu4_2 x 0.01; of Gram matrices over positions x 10/C², for five layers."""


@dataclass
class Mode:
    """A way to run this program; ``used`` is the index of the iterations that sufficed last."""

    name: str
    options: list[str]
    used: int = 2
    seconds: list[float] = field(default_factory=list)


@click.command(help=__doc__)
@click.option("--size", default=384, show_default=True, help="Long side, in pixels.")
@click.option("--steps", default=300, show_default=True, help="Of pastiche.")
@click.option("--pairs", "count", default=6, show_default=True, help="Of photo and style, at most 6.")
@click.option("--folder", default=8, show_default=True, help="Photos of the folder; 0 for none.")
@click.option("--folder-size", default=256, show_default=True, help="Long side of the folder's photos.")
@click.option("--save", is_flag=True, help="Keep table, plot and pictures in bench/results/.")
def main(size: int, steps: int, count: int, folder: int, folder_size: int, save: bool) -> None:
    load_bundle(None)
    objective = torch_objective(BundleSpec())
    modes = [Mode("float32, cpu", ["--provider", "cpu"])]
    if "openvino" in installed_providers():
        modes.append(Mode("float32, openvino", ["--provider", "openvino"]))
        modes.append(Mode("mixed, openvino", ["--provider", "openvino", "--precision", "mixed"]))
    rows = []
    with TemporaryDirectory() as name:
        work = Path(name)
        for pair, (photo, style) in list(pairs().items())[:count]:
            inputs = prepare(photo, size, work / "photo.png"), prepare(style, size, work / "style.png")
            theirs = work / "pastiche.png"
            seconds = pastiche(*inputs, theirs, size, steps)
            target = loss(objective, theirs, *inputs)
            print(f"{pair}: pastiche {seconds:.1f} s, loss {target:.5g}", flush=True)
            cells = [pair, f"{seconds:.1f}", f"{target:.4g}"]
            pictures = [theirs]
            for mode in modes:
                took, iterations, reached, picture = until(mode, objective, inputs, target, size, work)
                mode.seconds.append(seconds / took)
                cells += [f"{took:.1f} ({iterations}, {reached / target:.2f})", f"{seconds / took:.1f}"]
                pictures.append(picture)
                print(
                    f"  {mode.name}: {took:.1f} s with {iterations} iterations, {reached / target:.3f} of its loss",
                    flush=True,
                )
            rows.append(cells)
            if save:
                side_by_side(pictures, RESULTS / f"peers-{pair.replace(' ', '-')}.jpg")
        lines = []
        if folder:
            lines = compare_folder(objective, modes, work, folder, folder_size, steps)
    header = ["pair", f"pastiche, {steps} steps, s", "its loss"]
    for mode in modes:
        header += [f"{mode.name}, s (iterations, loss / its)", "times faster"]
    ratios = ", ".join(f"{mode.name} {np.exp(np.mean(np.log(mode.seconds))):.1f}" for mode in modes)
    text = (
        f"# Seconds to the loss that pastiche has after {steps} steps\n\n`python bench/peers.py --size {size} "
        f"--steps {steps} --pairs {count} --folder {folder} --folder-size {folder_size}`: whole programs, "
        f"long side {size} px.\n\n"
        f"{machine(available_cores())}\n\n{markdown(header, rows)}\nTimes faster, geometric mean: {ratios}.\n\n"
        + "\n".join(lines)
    )
    if save:
        write("peers-cpu.md", text)
        plot(rows, modes)
    else:
        print(text)


def pairs() -> dict[str, tuple[Path, Path]]:
    """Three photos and two styles: real ones where the project's shared data are at hand, else samples."""
    samples = ROOT / "samples"
    if SHARED.is_dir():
        photos = [SHARED / "tubingen.jpg", SHARED / "golden_gate.jpg", samples / "photos" / "town.jpg"]
        styles = [SHARED / "starry_night.jpg", SHARED / "the_scream.jpg"]
    else:
        photos = [samples / "photos" / f"{name}.jpg" for name in ("town", "tree", "still_life")]
        styles = [samples / "starry.jpg", samples / "ember.jpg"]
    return {f"{photo.stem} x {style.stem}": (photo, style) for style in styles for photo in photos}


def prepare(source: Path, size: int, target: Path) -> Path:
    """Write a picture at a long side as PNG."""
    image = Image.open(source).convert("RGB")
    factor = size / max(image.size)
    shape = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    image.resize(shape, Image.Resampling.LANCZOS).save(target)
    return target


def ours(mode: Mode, photo: Path, style: Path, output: Path, size: int, iterations: int) -> float:
    """Run this program on a photo or a folder; its wall seconds."""
    command = [
        sys.executable,
        "-c",
        "from nstbatch.cli import main; main()",
        photo,
        "--style",
        style,
        "-o",
        output,
        "--force",
    ]
    # The objective of pastiche.
    command += ["--size", size, "--iterations", iterations, "--preset", "gram", "--content-weight", CONTENT_WEIGHT]
    return timed([*command, "--style-weight", STYLE_WEIGHT, "--quiet", *mode.options])


def until(
    mode: Mode, objective: Objective, inputs: tuple[Path, Path], target: float, size: int, work: Path
) -> tuple[float, int, float, Path]:
    """The first run that reaches a loss: seconds, iterations, its loss, its picture."""
    picture = work / f"ours-{mode.name.replace(', ', '-')}.png"
    for index in range(max(0, mode.used - 1), len(ITERATIONS)):
        seconds = ours(mode, *inputs, work / "out", size, ITERATIONS[index])
        (work / "out" / "photo.png").replace(picture)
        reached = loss(objective, picture, *inputs)
        if reached <= target:
            mode.used = index
            return seconds, ITERATIONS[index], reached, picture
    return math.inf, ITERATIONS[-1], reached, picture


def loss(objective: Objective, picture: Path, photo: Path, style: Path) -> float:
    """The objective of an 8-bit picture, in PyTorch and float32."""
    with torch.no_grad():
        contents, targets = objective.encode(read(photo))[0], objective.encode(read(style))[1]
        weights = torch.tensor([CONTENT_WEIGHT] + [STYLE_WEIGHT / target.shape[1] ** 2 for target in targets])
        return float(plain_loss(objective, read(picture), contents, targets, weights))


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float()


def compare_folder(objective: Objective, modes: list[Mode], work: Path, count: int, size: int, steps: int) -> list[str]:
    """One run over a folder against a loop; lines of Markdown."""
    photos, style = work / "photos", prepare(next(iter(pairs().values()))[1], size, work / "style.png")
    photos.mkdir()
    sources = [photo for photo, _ in list(pairs().values())[:3]]
    for index in range(count):
        # Different parts of the photos, mirrored or not: as many as one likes.
        image = Image.open(sources[index % len(sources)]).convert("RGB")
        left, top = (index * 37 % 20) / 100, (index * 53 % 20) / 100
        box = (left * image.width, top * image.height, (left + 0.8) * image.width, (top + 0.8) * image.height)
        image = image.crop(tuple(int(v) for v in box))
        image.save(work / "part.png")
        prepare(work / "part.png", size, photos / f"{index}.png")
    names = sorted(path.name for path in photos.iterdir())
    loop = sum(pastiche(photos / name, style, work / f"pastiche-{name}", size, steps) for name in names)
    targets = {name: loss(objective, work / f"pastiche-{name}", photos / name, style) for name in names}
    rows = [["shell loop of pastiche", f"{loop:.1f}", "1.0", f"{count} of {count}"]]
    for mode in modes:
        seconds = ours(mode, photos, style, work / "folder", size, ITERATIONS[mode.used])
        reached = [loss(objective, work / "folder" / name, photos / name, style) <= targets[name] for name in names]
        name = f"{mode.name}, {ITERATIONS[mode.used]} iterations"
        rows.append([name, f"{seconds:.1f}", f"{loop / seconds:.1f}", f"{sum(reached)} of {count}"])
    header = [f"folder of {count} photos at {size} px", "s", "times faster", "pictures at pastiche's loss or below"]
    return [markdown(header, rows)]


def side_by_side(pictures: list[Path], target: Path) -> None:
    """The results beside each other: pastiche's first."""
    images = [Image.open(path).convert("RGB") for path in pictures]
    sheet = Image.new("RGB", (sum(image.width for image in images), images[0].height))
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, quality=88)


def plot(rows: list[list[str]], modes: list[Mode]) -> None:
    """Times faster, a group of bars for each pair."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4))
    width = 0.8 / len(modes)
    for index, mode in enumerate(modes):
        axis.bar(np.arange(len(rows)) + index * width, mode.seconds, width, label=mode.name)
    axis.set_xticks(np.arange(len(rows)) + 0.4 - width / 2, [row[0] for row in rows], rotation=15, fontsize=8)
    axis.set(ylabel="times faster than pastiche")
    axis.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / "peers-cpu.png", dpi=110)


if __name__ == "__main__":
    main()
