"""Runtime: a bundle, a style and photos to pictures, through ONNX Runtime. Imports neither torch nor onnx.

from nstbatch.runtime import Stylizer

stylizer = Stylizer("vgg19/", style="starry.jpg", size=512)
result = stylizer("photo.jpg")
result.image.save("painting.jpg")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import Batch
    from .bundle import Bundle, BundleSpec
    from .discovery import discover
    from .errors import ExitCode, NstbatchError
    from .fleet import Fleet
    from .journal import Journal
    from .lbfgs import LBFGS
    from .local import LocalPainters
    from .lock import hold
    from .masks import MaskFiles
    from .memory import Budget
    from .painters import Painters, Procedure
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
    "Fleet",
    "Journal",
    "LocalPainters",
    "MaskFiles",
    "NstbatchError",
    "Painters",
    "Painting",
    "Policy",
    "Procedure",
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
    "recover",
]

_HOMES = {
    "Batch": "batch",
    "Budget": "memory",
    "Bundle": "bundle",
    "BundleSpec": "bundle",
    "ExitCode": "errors",
    "Fleet": "fleet",
    "Journal": "journal",
    "LBFGS": "lbfgs",
    "LocalPainters": "local",
    "MaskFiles": "masks",
    "NstbatchError": "errors",
    "Painters": "painters",
    "Painting": "painting",
    "Policy": "plan",
    "Procedure": "painters",
    "Progress": "painting",
    "Report": "report",
    "Result": "painting",
    "Settings": "settings",
    "Stop": "stop",
    "Stylizer": "stylizer",
    "discover": "discovery",
    "hold": "lock",
    "make_items": "placement",
    "make_plan": "plan",
    "recover": "saving",
}


def __getattr__(name: str) -> Any:
    # NumPy, Pillow and SciPy are loaded when a name is used (PEP 562): a command line that only tells its options, or a
    # process that reads a bundle's manifest, has no use for them.
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
