"""Where the checkout has what tests look at."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parent.parent
DOCS = ROOT / "docs"
