"""What weights expect of a picture. Needs no NumPy: `--help` lists the names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preprocessing:
    """What the weights expect: ``(channels of order - mean) * scale``, where order is RGB or BGR.

    ``mean`` and ``scale`` are in RGB order; ``mean`` in 0..255.
    """

    order: str
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]


_CAFFE_MEAN = (123.68, 116.779, 103.939)

PREPROCESSINGS: dict[str, Preprocessing] = {
    # Simonyan and Zisserman's Caffe models, and Keras, which converted them.
    "caffe": Preprocessing("BGR", _CAFFE_MEAN, (1.0, 1.0, 1.0)),
    # The same weights with the first layer turned to RGB (Frossard's vgg16_weights.npz).
    "caffe-rgb": Preprocessing("RGB", _CAFFE_MEAN, (1.0, 1.0, 1.0)),
    "torchvision": Preprocessing(
        "RGB",
        (255 * 0.485, 255 * 0.456, 255 * 0.406),
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    ),
}
