"""One photo from stdin, or one painting to stdout, as programs pass pictures on."""

import io
import re
import sys
from glob import has_magic
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import UnidentifiedImageError

from ...runtime.errors import DiskError, ExitCode, UsageError, first_line
from ...runtime.files import remote
from ...runtime.files.location import Location, exists, is_folder, is_remote
from ...runtime.files.own import OwnFile, own_files
from ...runtime.output.shard import Shard
from ...runtime.pictures.formats import extension_of
from ...runtime.pictures.photo import open_image
from ...runtime.planning.placement import names_picture
from ...runtime.recipe.keywords import Options
from .jobs import Tools
from .paint import paint

PIPE = Path("-")
"""How stdin and stdout are named."""

_MOST = 2**31
"""Bytes of a photo."""

_PAINTING = re.compile(r"[^.].*(?<!\.html)")
"""Names of what is painted."""


def is_piped(options: Options) -> bool:
    """Whether stdin or stdout is named."""
    return PIPE in options.get("photos", ()) or options.get("output") == PIPE


def pipe(options: Options, tools: Tools | None = None) -> ExitCode:
    """Paint one photo, from stdin or a file, into stdout or a file; see `paint`.

    Raises:
        UsageError: there are several photos, stdin holds none, or stdout is to hold something else, too.
    """
    photos, output = options.get("photos", ()), options.get("output")
    if len(photos) != 1 or options.get("files_from") or options.get("style_each"):
        raise UsageError("- is one photo from stdin, or one painting to stdout: name one photo and one style")
    if _may_be_several(photos[0]):
        raise UsageError(f"{photos[0]}: may be several photos, and stdout takes one painting; name a folder with -o")
    if output == PIPE and any(options.get(name) for name in ("json", "dry_run", "snapshots")):
        raise UsageError("-o - has stdout for the painting: leave out --json, --dry-run and --snapshots")
    if output == PIPE and sys.stdout is None:
        raise UsageError("-o -: stdout is closed")
    if photos == (PIPE,) and output != PIPE and not names_picture(output):
        raise UsageError("a photo from stdin has no name: name a picture with -o, or -o - for stdout")
    with TemporaryDirectory(prefix="nstbatch-") as name:
        folder = Path(name)
        photo: Location = _received(folder) if photos == (PIPE,) else photos[0]
        if output != PIPE:
            return paint({**options, "photos": (photo,)}, tools)
        painted = folder / "painted"
        # A task of an array has its own photo.
        alone = {"report": False, "piped": True, "shard": options.get("shard") or Shard()}
        code = paint({**options, **alone, "photos": (photo,), "output": painted}, tools)
        try:
            for file in own_files(painted, "", _PAINTING):
                sys.stdout.buffer.write(file.read(_MOST))
                sys.stdout.buffer.flush()
        except OSError as error:
            raise DiskError(f"-o -: the painting cannot be written to stdout ({first_line(error)})") from None
    return code


def _may_be_several(photo: Location) -> bool:
    """Whether it is a folder or a pattern."""
    if is_remote(photo):
        return remote.is_folder(photo)
    assert isinstance(photo, Path), "it is of this host"
    return is_folder(photo) or (not exists(photo) and has_magic(str(photo)))


def _received(folder: Path) -> Path:
    """The photo from stdin as a file, whose extension is that of its format."""
    data = b"" if sys.stdin is None else sys.stdin.buffer.read(_MOST + 1)
    if not data or len(data) > _MOST:
        raise UsageError(f"stdin: {len(data):,} bytes are no photo")
    try:
        with open_image(io.BytesIO(data), float("inf")) as image:
            kind = image.format
    except UnidentifiedImageError as error:
        reason = error.__cause__ or "not a picture, or of a kind that cannot be read"
        raise UsageError(f"stdin: {reason}") from None
    except Exception as error:  # on damaged files Pillow's decoders let through whatever befalls them
        raise UsageError(f"stdin: damaged ({first_line(error)})") from None
    path = folder / f"stdin{extension_of(kind or '')}"
    OwnFile.at(path).write(data)
    return path
