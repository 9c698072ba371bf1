"""A bundle as a value, to be sent to a host that has none."""

import hashlib
import json
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
from ..files.atomic import make_folder
from .spec import MANIFEST, Bundle

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
    files: dict[str, NDArray[np.uint8]]

    @classmethod
    def of(cls, bundle: Bundle) -> "PackedBundle":
        """Pack a bundle.

        Raises:
            BundleError: a file cannot be read.
        """
        try:
            files = {name: np.fromfile(bundle.path / name, np.uint8) for name in (MANIFEST, *bundle.manifest.files)}
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
            manifest = remote.read_bytes(url / MANIFEST)
            if (bundle := kept_bundle(cache, manifest)) is not None:
                return bundle
            names = json.loads(manifest)["files"]
            files = {name: np.frombuffer(remote.read_bytes(url / name), np.uint8) for name in names}
        except OSError as error:
            raise BundleError(f"{url}: no bundle there ({first_line(error)})") from None
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{url / MANIFEST}: not a manifest ({error})") from None
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
                if (place / MANIFEST).read_bytes() == manifest:
                    return Bundle.load(place)
            except (OSError, BundleError):
                continue
        try:
            make_folder(folder.parent)
            temporary = Path(tempfile.mkdtemp(prefix=".sent-", dir=folder.parent))
            try:
                for name, data in self.files.items():
                    data.tofile(temporary / name)
                # Of several workers of a host that come here at once, one is first, and its files are as good.
                if not folder.exists():
                    os.rename(temporary, folder)  # noqa: PTH104 - replaces nothing
            except OSError:
                if not folder.exists():
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise BundleError(f"{folder}: the bundle cannot be kept there ({first_line(error)})") from None
        return Bundle.load(folder)


def kept_bundle(cache: Path, manifest: bytes) -> Bundle | None:
    """The bundle with this manifest that a cache has already.

    Raises:
        BundleError: it is damaged.
    """
    folder = _folder(cache, manifest)
    return Bundle.load(folder) if (folder / MANIFEST).exists() else None


def _folder(cache: Path, manifest: bytes) -> Path:
    return cache / "bundles" / f"sent-{hashlib.sha256(manifest).hexdigest()[:24]}"
