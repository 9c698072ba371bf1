"""A kit: all that a host needs that has no torch, and perhaps no network."""

import base64
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ...runtime.assembly.compact import compact
from ...runtime.bundle.packed import PackedBundle
from ...runtime.bundle.spec import Bundle
from ...runtime.errors import ExportError, UsageError, first_line

_NAME = "nstbatch"

_TESTED = Path(__file__).resolve().parent.parent / "constraints.txt"
"""The versions that the tests have passed with. What is not in it, such as CUDA's libraries, is the newest that fits."""

_NO_SOURCE = shutil.ignore_patterns(".*", "build", "*.egg-info")

_NOT_PACKED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""Files of an installed distribution that tell of the installation, and are no part of its wheel."""


@dataclass(frozen=True)
class KitTarget:
    """Where a kit is for.

    Attributes:
        extra: of nstbatch: ``gpu``, ``cpu`` or ``webgpu``.
        python: version of Python there, such as ``3.12``.
        machine: its processor: ``x86_64`` or ``aarch64``.
        glibc: version of its C library, such as ``2.28``.
    """

    extra: str
    python: str
    machine: str
    glibc: str

    @property
    def platforms(self) -> list[str]:
        """Tags of the wheels that it takes, best first (PEP 600)."""
        major, minor = self.glibc.split(".")
        tags = [f"manylinux_{major}_{older}_{self.machine}" for older in range(int(minor), 4, -1)]
        return [*tags, f"manylinux2014_{self.machine}", f"manylinux2010_{self.machine}", f"manylinux1_{self.machine}"]


RunCommand = Callable[[Sequence[str]], str]


def make_kit(bundle: Bundle, folder: Path, host: KitTarget, *, download: bool, run: RunCommand | None = None) -> Path:
    """Write a kit: the bundle, the wheel of nstbatch, ``requirements.txt`` with hashes, and ``README.txt``.

    The bundle is ``bundle.npz``, see `compact`; of layers whose graphs the package does not have, the folder ``bundle/``.

    Args:
        bundle: to copy.
        folder: must be new or empty.
        host: where the kit is for.
        download: whether to put the wheels of the requirements into ``wheels/``, for a host without network.
        run: runs pip with arguments and returns what it prints.

    Returns:
        The wheel.

    Raises:
        UsageError: the folder is not empty, or cannot be written to.
        ExportError: pip finds no versions that fit together for the host, or has no network.
    """
    run = run or _pip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder}: is not empty; name a new folder")
        if (content := compact(bundle)) is not None:
            packed = folder / "bundle.npz"
            packed.write_bytes(content)
        else:
            packed = folder / "bundle"
            packed.mkdir()
            PackedBundle.of(bundle).write(packed)
        wheel = write_wheel(folder, run)
        requirements = list(_resolve(wheel, host, run))
        (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
        if download:
            where = ["download", "--no-deps", "--dest", str(folder / "wheels"), *_target(host)]
            run([*where, "--require-hashes", "--requirement", str(folder / "requirements.txt")])
        (folder / "README.txt").write_text(_readme(wheel, packed, host, download=download), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written to ({first_line(error)})") from None
    return wheel


def write_wheel(folder: Path, run: RunCommand) -> Path:
    """The wheel of the nstbatch that runs: from its installed files, or from its source if it is installed in place."""
    distribution = importlib.metadata.distribution(_NAME)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        # In a copy: setuptools builds in place, and takes up what an earlier build has left.
        with tempfile.TemporaryDirectory() as name:
            source = Path(name, "source")
            shutil.copytree(url2pathname(urlsplit(origin["url"]).path), source, ignore=_NO_SOURCE)
            run(["wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)])
        return next(folder.glob("*.whl"))
    version = distribution.version
    target = folder / f"{_NAME}-{version}-py3-none-any.whl"
    records = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(map(str, distribution.files or [])):
            path = Path(name)
            # Scripts lie outside of site-packages, and are made anew from the entry points.
            if ".." in path.parts or path.name in _NOT_PACKED or path.suffix == ".pyc":
                continue
            data = Path(str(distribution.locate_file(name))).read_bytes()
            archive.writestr(name, data)
            records.append(f"{name},sha256={_record_hash(data)},{len(data)}")
        record = f"{_NAME}-{version}.dist-info/RECORD"
        archive.writestr(record, "\n".join([*records, f"{record},,", ""]))
    return target


def _resolve(wheel: Path, host: KitTarget, run: RunCommand) -> Iterator[str]:
    """Lines of a requirements file: each distribution that nstbatch needs on the host, with the hash of its file."""
    arguments = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", "--target", str(wheel.parent)]
    arguments += ["--constraint", str(_TESTED)]
    report = json.loads(run([*arguments, *_target(host), f"{wheel}[{host.extra}]"]))
    for entry in sorted(report["install"], key=lambda entry: str(entry["metadata"]["name"]).lower()):
        metadata, archive = entry["metadata"], entry["download_info"]["archive_info"]
        if metadata["name"] != _NAME:
            yield f"{metadata['name']}=={metadata['version']} --hash=sha256:{archive['hashes']['sha256']}"


def _target(host: KitTarget) -> list[str]:
    platforms = [part for tag in host.platforms for part in ("--platform", tag)]
    return ["--only-binary=:all:", "--python-version", host.python, *platforms]


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _pip(arguments: Sequence[str]) -> str:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ExportError(f"pip {arguments[0]} failed: {reason}; packing needs pip and a network")
    return done.stdout


def _readme(wheel: Path, bundle: Path, host: KitTarget, *, download: bool) -> str:
    fetch = ""
    if not download:
        target = " ".join(_target(host))
        fetch = (
            f"pip download --no-deps --require-hashes -r requirements.txt -d wheels {target}  # where there is a network\n"
        )
    return f"""A kit for nstbatch on a host with Python {host.python}, {host.machine}, glibc {host.glibc} or newer. In it:

python3 -m venv venv && . venv/bin/activate
{fetch}pip install --no-index --find-links wheels --require-hashes -r requirements.txt
pip install --no-index --no-deps {wheel.name}
nstbatch doctor --bundle {bundle.name}
nstbatch PHOTOS --style PICTURE --bundle {bundle.name}
"""
