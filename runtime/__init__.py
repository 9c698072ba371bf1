"""Runtime: a bundle, a style and photos to pictures, through ONNX Runtime. Imports neither torch nor onnx.

from nstbatch.runtime import Stylizer

stylizer = Stylizer("vgg19/", style="starry.jpg", size=512)
result = stylizer("photo.jpg")
result.image.save("painting.jpg")
"""

from .batch import Report, make_plan, run
from .bundle import Bundle, BundleSpec
from .errors import ExitCode, NstbatchError
from .lbfgs import LBFGS
from .settings import Settings
from .stylizer import Progress, Result, Stylizer

__all__ = [
    "LBFGS",
    "Bundle",
    "BundleSpec",
    "ExitCode",
    "NstbatchError",
    "Progress",
    "Report",
    "Result",
    "Settings",
    "Stylizer",
    "make_plan",
    "run",
]
