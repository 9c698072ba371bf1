"""The config file: defaults of the options of ``nstbatch paint``, in TOML."""

import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..runtime.files.location import is_file
from .help import Group, Option

NAME = "nstbatch.toml"
"""Of the file, in the working folder or in the user's config folder; the first that is there counts."""

_MOST = 2**20
"""Bytes of a file."""


def config_option(params: Sequence[click.Parameter]) -> Option:
    """The option ``--config``; eager, so that the others find their defaults.

    Args:
        params: those that a file may name: of `paint`, also for other commands that have some of them.
    """
    return Option(
        ["--config"],
        type=click.Path(dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=partial(_load, params),
        envvar="NSTBATCH_CONFIG",
        group=Group.RUN,
        help=f"Defaults of options, in TOML: `size = 1024`.  [default: {NAME} here, or in the user's config folder]",
    )


def _load(params: Sequence[click.Parameter], context: click.Context, _: click.Parameter, named: Path | None) -> None:
    path = named or next((place for place in _places() if is_file(place)), None)
    if path is None or context.resilient_parsing:
        return
    options = [param for param in params if isinstance(param, click.Option) and param.expose_value]
    defaults: dict[str, Any] = {}
    for key, value in _read(path).items():
        name = f"--{key.replace('_', '-')}"
        option = next((each for each in options if name in (*each.opts, *each.secondary_opts)), None)
        if option is None:
            raise click.UsageError(f"{path}: '{key}' is not an option of `nstbatch paint`", context)
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str | int | float) for each in values) or (values is value and not option.multiple):
            raise click.UsageError(f"{path}: '{key}' has a value that the option does not take", context)
        # As on the command line, where all is text.
        texts: list[Any] = [each if isinstance(each, bool) else str(each) for each in values]
        if name in option.secondary_opts:
            texts = [each is False for each in texts]
        defaults[str(option.name)] = texts if option.multiple else texts[0]
    context.default_map = defaults


def _places() -> list[Path]:
    import platformdirs

    return [Path(NAME), platformdirs.user_config_path("nstbatch") / NAME]


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(_MOST).decode())
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.UsageError(f"{path}: not TOML ({error})") from None
