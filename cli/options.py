"""Options shared by commands. Each can be given in the environment as ``NSTBATCH_<NAME>``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def option(*declarations: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`click.option` with the environment variable that belongs to its long name."""
    long = next(d for d in declarations if d.startswith("--"))
    variable = "NSTBATCH_" + long.removeprefix("--").replace("-", "_").upper()
    attributes.setdefault("envvar", variable)
    attributes.setdefault("show_default", attributes.get("default") is not None)
    return click.option(*declarations, **attributes)


class _Path(click.Path):
    """A path that is not empty: pathlib takes the empty string, most often an unset shell variable, for the folder `.`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value) or str(value).isspace():
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)
