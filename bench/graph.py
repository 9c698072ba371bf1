"""Kernels and bytes of one evaluation: each form of the gradient graph, by operator.

    python bench/graph.py [--size 512] [--webgpu NHWC|NCHW] [--bundle DIR] [--save]

What ONNX Runtime runs of a graph whose sizes are fixed; bytes are of each kernel's inputs and outputs. Reshapes and their
like move nothing. `lean` has no metric and no total variation.

Without --webgpu, after the optimisations that do not depend on the provider. With it, on that provider, which in NHWC adds
transposes of its own, and with the whole step. It takes a GPU or a software adapter, see docs/gpu-hosts.md, on which a size
of 32 is enough to count.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

import click
import numpy as np
import onnxruntime

from common import load_bundle, machine, markdown, write
from nstbatch.runtime.bundle.spec import FOR_GPU, GRADIENT, LEAN, METRIC, STEPS, TV_WEIGHT, Bundle
from nstbatch.runtime.bundle.step import control_size
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.engine.plugins import plugin_device
from nstbatch.runtime.engine.webgpu import webgpu_options
from nstbatch.runtime.recipe.provider import Provider

STILL = {"Reshape", "Squeeze", "Unsqueeze", "Identity"}
"""Operators that give their input another shape, and touch no value."""

FORMS = (GRADIENT, FOR_GPU, LEAN)

ROWS = 31
"""Of a step with ten curvature pairs."""


@click.command(help=__doc__)
@click.option("--size", default=512, show_default=True, help="Height and width, in pixels.")
@click.option("--webgpu", type=click.Choice(("NHWC", "NCHW")), help="Count on WebGPU, in this layout.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to count in.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(size: int, webgpu: str | None, bundle: Path | None, save: bool) -> None:
    loaded = load_bundle(bundle)
    forms = (*FORMS, *STEPS) if webgpu else FORMS
    found = {form: count(loaded, form, size, webgpu) for form in forms}
    operators = sorted({name for kernels, _ in found.values() for name in kernels}, key=lambda n: -found[GRADIENT][1][n])
    rows = [[name, *(cell for form in forms for cell in _cells(found[form], name))] for name in operators]
    totals = [(sum(kernels.values()), sum(moved.values())) for kernels, moved in found.values()]
    rows.append(["all", *(cell for kernels, moved in totals for cell in (str(kernels), f"{moved / 1e6:,.0f}"))])
    header = ["operator", *(f"{form}, {what}" for form in forms for what in ("kernels", "MB"))]
    command = f"python bench/graph.py --size {size}{f' --webgpu {webgpu}' if webgpu else ''}"
    text = (
        f"# Kernels and bytes of one evaluation\n\n`{command}`: {size} x {size} pixels, float32.\n\n"
        f"{machine(available_cores())}\n\n{markdown(header, rows)}"
    )
    if save:
        write(f"graph-{size}{f'-webgpu-{webgpu.lower()}' if webgpu else ''}.md", text)
    else:
        print(text)


def count(bundle: Bundle, form: str, size: int, webgpu: str | None = None) -> tuple[Counter[str], Counter[str]]:
    """Kernels, and the bytes that they read and write, by operator: from ONNX Runtime's profile of one run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.enable_profiling = True
    plain = onnxruntime.InferenceSession(bundle.graph(form), providers=["CPUExecutionProvider"])
    for each in plain.get_inputs():
        for name in filter(lambda d: isinstance(d, str), each.shape):
            options.add_free_dimension_override_by_name(name, _extent(name, size))
    if webgpu:
        own = webgpu_options(captured=False) | {"preferredLayout": webgpu}
        options.add_provider_for_devices([plugin_device(Provider.WEBGPU)], own)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        chain = [] if webgpu else ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(bundle.graph(form), options, providers=chain)
        session.run(None, {each.name: _value(each.name, each.shape) for each in session.get_inputs()})
        events = json.loads(Path(session.end_profiling()).read_text())
    kernels: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for event in events:
        what = event.get("args", {})
        if event["name"].endswith("_kernel_time") and what["op_name"] not in STILL:
            kernels[what["op_name"]] += 1
            moved[what["op_name"]] += sum(int(what[f"{part}_size"]) for part in ("activation", "parameter", "output"))
    return kernels, moved


def _cells(found: tuple[Counter[str], Counter[str]], name: str) -> tuple[str, str]:
    kernels, moved = found
    return (str(kernels[name]), f"{moved[name] / 1e6:,.0f}") if kernels[name] else ("", "")


def _extent(name: str, size: int) -> int:
    """Extent of a free dimension: the image's, that of a tap such as ``relu4_2.h``, of a step, or 1."""
    if name in {"H", "W"}:
        return size
    if name in {"Q", "control"}:
        return ROWS if name == "Q" else control_size(ROWS)
    return size >> (int(name[4]) - 1) if "." in name else 1


def _value(name: str, shape: list[int]) -> np.ndarray:
    if name.startswith(METRIC):
        return np.broadcast_to(np.eye(shape[-1], dtype=np.float32), shape).copy()
    return np.full(shape, 0.0 if name == TV_WEIGHT else 1.0, np.float32)


if __name__ == "__main__":
    main()
