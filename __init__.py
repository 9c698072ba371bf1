"""Neural style transfer for whole folders of photos, by the optimisation of Gatys et al., on ONNX Runtime.

    from nstbatch import paint, paint_folder

    paint("photo.jpg", style="starry.jpg").save("painting.jpg")
    print(paint_folder("holiday/", style="starry.jpg"))

docs/python.md has the rest. The checkout's root is the package: its folders are ``nstbatch.runtime`` and so on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli.library import paint, paint_folder
    from .runtime.errors import NstbatchError
    from .runtime.painting.stylizer import Stylizer
    from .runtime.recipe.settings import Settings

__all__ = ["NstbatchError", "Settings", "Stylizer", "paint", "paint_folder"]

_HOMES = {
    "NstbatchError": ".runtime.errors",
    "Settings": ".runtime.recipe.settings",
    "Stylizer": ".runtime.painting.stylizer",
    "paint": ".cli.library",
    "paint_folder": ".cli.library",
}


def __getattr__(name: str) -> Any:
    # NumPy and Pillow are loaded when a name is used (PEP 562): the command line imports this module, too.
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name], __name__), name)
