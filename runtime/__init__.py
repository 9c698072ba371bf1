"""Runtime: a bundle, a style and photos to pictures, through ONNX Runtime. Imports neither torch nor onnx.

from nstbatch.runtime import Stylizer

stylizer = Stylizer("vgg19/", style="starry.jpg", size=512)
result = stylizer("photo.jpg")
result.image.save("painting.jpg")
"""

from .batch import Batch, recipe_of
from .bundle import Bundle, BundleSpec
from .discover import discover
from .errors import ExitCode, NstbatchError
from .journal import Journal
from .lbfgs import LBFGS
from .lock import hold
from .memory import Budget
from .painting import Painting, Progress, Result
from .placement import make_items
from .plan import Policy, make_plan
from .report import Report
from .saving import recover
from .settings import Settings
from .stop import Stop
from .stylizer import Stylizer

__all__ = [
    "LBFGS",
    "Batch",
    "Budget",
    "Bundle",
    "BundleSpec",
    "ExitCode",
    "Journal",
    "NstbatchError",
    "Painting",
    "Policy",
    "Progress",
    "Report",
    "Result",
    "Settings",
    "Stop",
    "Stylizer",
    "discover",
    "hold",
    "make_items",
    "make_plan",
    "recipe_of",
    "recover",
]
