"""Options shared by commands. Each can be given in the environment as ``NSTBATCH_<NAME>``."""

from collections.abc import Callable
from typing import Any

import click


def option(*declarations: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`click.option` with the environment variable that belongs to its long name."""
    long = next(d for d in declarations if d.startswith("--"))
    variable = "NSTBATCH_" + long.removeprefix("--").replace("-", "_").upper()
    attributes.setdefault("show_default", attributes.get("default") is not None)
    return click.option(*declarations, envvar=variable, **attributes)
