"""A bundle as a value, to be sent to a host that has none."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, first_line
from ..files import remote
from ..files.name import Name
from ..files.own import OwnFile, make_folder
from ..files.records import MOST
from .spec import MANIFEST, Bundle, Manifest

if TYPE_CHECKING:
    from upath import UPath


@dataclass(frozen=True)
class PackedBundle:
    """The files of a bundle.

    Attributes:
        path: where it came from.
        files: bytes by name; arrays, which Ray's object store shares between the processes of a host.
    """

    path: Path
    files: dict[Name, NDArray[np.uint8]]

    @classmethod
    def of(cls, bundle: Bundle) -> "PackedBundle":
        """Pack a bundle.

        Raises:
            BundleError: a file cannot be read.
        """
        try:
            files = {name: _content(OwnFile(bundle.path, name)) for name in (MANIFEST, *bundle.manifest.files)}
        except OSError as error:
            raise BundleError(f"{bundle.path}: cannot be read ({first_line(error)})") from None
        return cls(bundle.path.absolute(), files)

    @classmethod
    def fetch(cls, url: "UPath", cache: Path) -> Bundle:
        """A bundle from behind a URL, kept in a cache, where only its manifest is asked for again.

        Raises:
            BundleError: there is none, it is damaged, or the cache cannot be written to.
        """
        try:
            manifest = remote.read_bytes(url / MANIFEST, MOST + 1)
            if (bundle := kept_bundle(cache, manifest)) is not None:
                return bundle
            names = Manifest.from_json(manifest).files
            files = {name: np.frombuffer(remote.read_bytes(url / name), np.uint8) for name in names}
        except OSError as error:
            raise BundleError(f"{url}: no bundle there ({first_line(error)})") from None
        except ValueError as error:
            raise BundleError(f"{url / MANIFEST}: not a manifest ({first_line(error)})") from None
        return cls(_folder(cache, manifest), {MANIFEST: np.frombuffer(manifest, np.uint8), **files}).unpack(cache)

    def unpack(self, cache: Path) -> Bundle:
        """The bundle here: where it came from, if that is this host; else in a cache, once.

        Raises:
            BundleError: it is damaged, or the cache cannot be written to.
        """
        manifest = self.files[MANIFEST].tobytes()
        folder = _folder(cache, manifest)
        for place in (self.path, folder):
            try:
                if OwnFile(place, MANIFEST).read() == manifest:
                    return Bundle.load(place)
            except (OSError, BundleError):
                continue
        try:
            make_folder(folder.parent)
            temporary = Path(tempfile.mkdtemp(prefix=".sent-", dir=folder.parent))
            try:
                self.write(temporary)
                # Of several workers of a host that come here at once, one is first, and its files are as good.
                if not folder.exists():
                    os.rename(temporary, folder)  # noqa: PTH104 - replaces nothing
            except OSError:
                if not folder.exists():
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except (OSError, ValueError) as error:
            raise BundleError(f"{folder}: the bundle cannot be kept there ({first_line(error)})") from None
        return Bundle.load(folder)

    def write(self, folder: Path) -> None:
        """Write the files into a folder.

        Raises:
            OSError: one cannot be written.
            ValueError: one has a name that leads elsewhere.
        """
        for name, data in self.files.items():
            # By way of the constructor: what another host has sent may be anything.
            OwnFile(folder, Name(name)).stage(data.data)


def kept_bundle(cache: Path, manifest: bytes) -> Bundle | None:
    """The bundle with this manifest that a cache has already.

    Raises:
        BundleError: it is damaged.
    """
    folder = _folder(cache, manifest)
    return Bundle.load(folder) if OwnFile(folder, MANIFEST).is_there() else None


def _content(file: OwnFile) -> NDArray[np.uint8]:
    with file.reading() as opened:
        return np.fromfile(opened, np.uint8)


def _folder(cache: Path, manifest: bytes) -> Path:
    return cache / "bundles" / f"sent-{hashlib.sha256(manifest).hexdigest()[:24]}"
