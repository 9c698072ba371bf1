"""How a bundle's folder is written: it appears whole, or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError, first_line
from ..files.name import Name
from ..files.own import sync_folder
from ..files.reading import sha256_file
from .spec import MANIFEST, Manifest


@contextlib.contextmanager
def new_bundle(folder: Path) -> Iterator[Path]:
    """A temporary folder that gets the name ``folder`` once it is filled, and is removed after an error.

    Raises:
        UsageError: ``folder`` holds something already, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists already; name a new folder or remove it first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({first_line(error)}); name another folder") from None
    try:
        yield temporary
        temporary.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def write_manifest(folder: Path, manifest: Manifest, names: Iterable[str]) -> None:
    """Write the manifest, with the sha256 of each named file of the folder."""
    files = {Name(name): sha256_file(folder / name) for name in names}
    (folder / MANIFEST).write_text(replace(manifest, files=files).to_json(), encoding="utf-8")
