"""The graphs that the package carries: made anew, or compared with what the exporter makes now.

python .ci/graphs.py make WORK    # four hours on two cores; WORK keeps what is done, for the next try
python .ci/graphs.py steps WORK   # minutes, where nothing has changed but exporter/step.py, and not what a step computes
python .ci/graphs.py check        # two of them, node by node, which takes a minute; and whether the exporter has changed
"""

import pickle
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import torch

from nstbatch.exporter.ready import changes, code_digest, make_template, packed_code, renew_steps, write_archive
from nstbatch.runtime.assembly.ready import ARCHIVE, Template, find_template, template_key
from nstbatch.runtime.bundle.network import CONVOLUTIONS
from nstbatch.runtime.bundle.spec import GRAM, PADDINGS, POOLINGS, PRECISIONS, STYLE_DISTANCES, WASSERSTEIN, BundleSpec
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS

_PACKAGED = Path(__file__).parents[1] / "runtime" / "assembly" / ARCHIVE

_CHECKED = (BundleSpec(), BundleSpec("vgg16", pooling="average", precision="fp16", padding="replicate", regions=True))


def specs() -> list[BundleSpec]:
    """What the package has graphs of; each with masks and without, but for the last two kinds.

    - Of either network, in either precision: what the default computes (VGG-16 in float16 without masks alone), all presets
      that compare Gram matrices, and the default's layers by Gram matrices with every kind of pooling and padding.
    - Of VGG-19 in float32 besides: every other preset and distance.
    - Of that and of masks none: what the default computes, with every other kind of pooling, or of padding.
    - Of either network: what the default computes, with dense layers.
    """
    found: dict[str, BundleSpec] = {}
    for spec in _choices():
        try:
            spec.check()
        except UsageError:
            continue  # VGG-16 lacks one of a preset's layers.
        found.setdefault(template_key(spec), replace(spec, weights=""))
    return list(found.values())


def _choices() -> Iterator[BundleSpec]:
    default, plain = PRESETS[DEFAULT].spec, PRECISIONS[0]
    of_presets = [preset.spec for preset in PRESETS.values()]
    kinds = [{"pooling": pooling, "padding": padding} for pooling, padding in product(POOLINGS, PADDINGS)]
    usual = [*(BundleSpec(**kind) for kind in kinds), *(spec for spec in of_presets if spec.style_distance == GRAM), default]
    rare = [*(BundleSpec(style_distance=distance) for distance in STYLE_DISTANCES), *of_presets]
    for network, regions, precision in product(CONVOLUTIONS, (False, True), PRECISIONS):
        for spec in usual + (rare if (network, precision) == ("vgg19", plain) else []):
            if (network, precision, regions, spec.style_distance) == ("vgg16", "fp16", True, WASSERSTEIN):
                continue  # It takes half an hour, and nobody has asked for it.
            yield replace(spec, network=network, regions=regions, precision=precision)
    single = [kind for kind in kinds if kind["pooling"] == POOLINGS[0] or kind["padding"] == PADDINGS[0]]
    yield from (replace(default, **kind) for kind in single)
    yield from (replace(default, network=network, classes=True) for network in CONVOLUTIONS)


def make(work: Path, one: Callable[[BundleSpec, Path], Template]) -> None:
    """Make every template, as many at a time as there are cores, and the archive.

    Args:
        work: folder for temporary files.
        one: makes a template.
    """
    work.mkdir(parents=True, exist_ok=True)
    wanted = specs()
    with ProcessPoolExecutor(available_cores(), get_context("spawn")) as pool:
        templates = []
        for i, template in enumerate(pool.map(one, wanted, [work] * len(wanted)), 1):
            templates.append(template)
            print(f"{i} of {len(wanted)}: {template.spec}", flush=True)
    with _PACKAGED.open("wb") as file:
        write_archive(templates, file, code_digest())
    print(f"{_PACKAGED}: {_PACKAGED.stat().st_size} bytes")


def _made(spec: BundleSpec, work: Path) -> Template:
    """A template, kept for the next try: of this exporter."""
    kept = work / f"{template_key(spec)}-{code_digest()[:12]}.pickle"
    if not kept.exists():
        data = pickle.dumps(_fresh(spec, work))
        kept.with_suffix(".new").write_bytes(data)
        kept.with_suffix(".new").rename(kept)
    template: Template = pickle.loads(kept.read_bytes())
    return template


def _with_new_steps(spec: BundleSpec, work: Path) -> Template:
    packed = find_template(spec)
    if packed is None:
        raise SystemExit(f"the package has no graphs for {spec}; run `python .ci/graphs.py make WORK`")
    return renew_steps(packed, work)


def _fresh(spec: BundleSpec, work: Path) -> Template:
    # As many exports run at a time as there are cores.
    torch.set_num_threads(1)
    return make_template(spec, work)


def _changes(spec: BundleSpec, work: Path) -> list[str]:
    torch.set_num_threads(1)
    packed = find_template(spec)
    return [] if packed is None else changes(packed, work)


def check() -> int:
    """Compare; returns the exit code."""
    problems = []
    if packed_code(_PACKAGED) != code_digest():
        problems.append("the exporter has changed since the graphs were made; run `python .ci/graphs.py make WORK`")
    with tarfile.open(_PACKAGED) as tar:
        there = {name.partition("/")[0] for name in tar.getnames()}
    problems += [f"there is no graph for {spec}" for spec in specs() if template_key(spec) not in there]
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(available_cores(), get_context("spawn")) as pool,
    ):
        # What is packed has been compared with autograd, so that this tells whether the exporter still makes the same.
        for spec, found in zip(_CHECKED, pool.map(_changes, _CHECKED, [Path(name)] * len(_CHECKED)), strict=True):
            problems += [f"{spec}: {difference}" for difference in found]
    print(*problems or ["the packaged graphs are those that the exporter makes"], sep="\n")
    return bool(problems)


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        sys.exit(check())
    makers = {"make": _made, "steps": _with_new_steps}
    if len(sys.argv) != 3 or sys.argv[1] not in makers:
        sys.exit(__doc__)
    make(Path(sys.argv[2]), makers[sys.argv[1]])
