"""Weights to bundle: build the network, trace, write, verify, and only then let the folder appear."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from ..runtime.assembly.sources import WeightsSource
from ..runtime.bundle.folder import new_bundle, write_manifest
from ..runtime.bundle.network import CHANNELS
from ..runtime.bundle.spec import (
    CLASSIFY,
    FOR_CPU,
    FOR_GPU,
    GRADIENT,
    GRAM,
    LEAN,
    OTHERS,
    STEPS,
    Bundle,
    BundleSpec,
    Manifest,
)
from .classifier import Classifier, classifier_spec
from .cpu import for_cpu
from .gpu import LeanObjective, finish, without_metrics_and_variation
from .graphs import OPSET, GraphSpec, Shape, build, write
from .objective import Objective
from .step import step_parts
from .trace import FOR_GPUS
from .verify import Subject, tolerance_of, verify, verify_classifier
from .vgg import TruncatedVGG, Weights

_EXAMPLE = (17, 3, 309, 345)
"""Shape to trace with. The tracer takes sizes that are equal for the same symbol: so batch, height and width differ at
every depth from each other, from the channels, and from the number of taps."""

_EXAMPLE_REGIONS = 13
"""Regions to trace with, likewise."""


def export_bundle(
    spec: BundleSpec,
    folder: Path,
    source: WeightsSource | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Write the bundle of ``spec`` to ``folder``, verified against autograd in float64.

    Args:
        spec: what to compute.
        folder: where to; must not exist yet, or be empty.
        source: of the weights; None for the one that ``spec.weights`` names.
        progress: is called with each step in a few words.

    Raises:
        UsageError: the folder holds something already, or the spec names what the network has not.
        WeightsError: the weights cannot be had.
        ExportError: the graphs do not equal autograd; nothing is written.
    """
    spec.check()
    with new_bundle(folder) as temporary:
        _fill(temporary, spec, source or WeightsSource(spec.weights), progress)
    return Bundle.load(folder)


def _fill(folder: Path, spec: BundleSpec, source: WeightsSource, progress: Callable[[str], None]) -> None:
    """Write every file of the bundle to a folder; the manifest last, after the check."""
    progress(f"loading weights ({source.name})")
    parameters, info = source.load(spec.network, dense=spec.classes)
    loaded = Weights.of(parameters)
    graphs = write_graphs(folder, spec, loaded, progress)
    exact = loaded.to(torch.float64)
    parity = verify(
        graphs.subject,
        _objective(spec, exact),
        tolerance_of(spec),
        progress=progress,
        stored=_objective(spec, exact, torch.float64) if spec.precision == "fp16" else None,
    )
    if spec.classes:
        verify_classifier(graphs.subject, Classifier(spec.network, exact), progress)
    write_manifest(folder, Manifest(spec, info, parity, OPSET, version("nstbatch")), graphs.files)


@dataclass(frozen=True)
class WrittenGraphs:
    """Graphs of a bundle that nothing has been compared with yet.

    Attributes:
        files: names of the bundle's files, less the manifest.
        subject: what to compare.
    """

    files: list[str]
    subject: Subject


def write_graphs(
    folder: Path, spec: BundleSpec, loaded: Weights, progress: Callable[[str], None] = lambda _: None
) -> WrittenGraphs:
    """Trace the graphs of a bundle, and write them and their weights to a folder.

    Args:
        folder: exists, and is empty.
        spec: what to compute.
        loaded: the weights.
        progress: see `export_bundle`.
    """
    half = torch.float16 if spec.precision == "fp16" else None
    models = {}
    for graph in graph_specs(_objective(spec, loaded, half), spec):
        progress(f"tracing {graph.name}")
        models[graph.name] = build(graph)
    progress(f"tracing {FOR_GPU}")
    models[FOR_GPU] = finish(build(_gpu_spec(_objective(spec, loaded, half, pool_first=True), spec)))
    rewritten = {}
    if not spec.regions and spec.style_distance == GRAM:
        rewritten[LEAN] = without_metrics_and_variation(models[FOR_GPU])
    if not half:
        rewritten[FOR_CPU] = for_cpu(models[GRADIENT])
    progress("tracing the optimizer's arithmetic")
    parts = step_parts()
    models |= rewritten
    steps = {name: parts.around(models[form]) for name, form in STEPS.items() if form in models}
    models |= steps
    if spec.classes:
        progress(f"tracing {CLASSIFY}")
        models[CLASSIFY] = build(classifier_spec(Classifier(spec.network, loaded)))
    progress("writing graphs and weights")
    subject = Subject(folder, spec.regions, traced=(GRADIENT, FOR_GPU), rewritten=tuple(rewritten), steps=tuple(steps))
    return WrittenGraphs(write(models, folder), subject)


def _objective(spec: BundleSpec, weights: Weights, half: torch.dtype | None = None, pool_first: bool = False) -> Objective:
    taps = dict.fromkeys((*spec.content_taps, *spec.style_taps))
    network = TruncatedVGG(spec.network, spec.pooling, taps, weights, padding=spec.padding, pool_first=pool_first, half=half)
    return Objective(network, spec.content_taps, spec.style_taps, spec.tv, spec.style_distance)


def _gpu_spec(objective: Objective, spec: BundleSpec) -> GraphSpec:
    """The gradient graph for GPUs."""
    gradient = graph_specs(objective, spec)[1]
    return replace(gradient, name=FOR_GPU, function=LeanObjective(objective).losses_and_gradient, decompositions=FOR_GPUS)


def graph_specs(objective: Objective, spec: BundleSpec) -> list[GraphSpec]:
    """The graphs of a bundle that has that objective. Another traced function is another entry here."""
    network, regions = objective.network, spec.regions
    batch, _, height, width = _EXAMPLE
    image = torch.zeros(_EXAMPLE)
    contents, grams, masks = [], [], []
    content_shapes: dict[str, Shape] = {}
    gram_shapes: dict[str, Shape] = {}
    mask_shapes: dict[str, Shape] = {}
    for name in objective.content_taps:
        block = network.taps[name].block
        channels = CHANNELS[block - 1]
        contents.append(torch.zeros(batch, channels, height >> (block - 1), width >> (block - 1)))
        content_shapes[f"content.{name}"] = ("N", channels, f"{name}.h", f"{name}.w")
    for name in objective.style_taps:
        block = network.taps[name].block
        side = spec.moments_side(name)
        if regions:
            grams.append(torch.zeros(1, _EXAMPLE_REGIONS, side, side))
            gram_shapes[f"gram.{name}"] = ("N", "R", side, side)
            masks.append(torch.zeros(batch, _EXAMPLE_REGIONS, height >> (block - 1), width >> (block - 1)))
            mask_shapes[f"mask.{name}"] = ("N", "R", f"{name}.h", f"{name}.w")
        else:
            grams.append(torch.zeros(1, side, side))
            gram_shapes[f"gram.{name}"] = ("N", side, side)
    # Gram targets and metrics are traced with a batch of 1, which broadcasts; the finished graph takes 1 or N.
    targets: dict[str, Shape] = {name: ("gram_N", *shape[1:]) for name, shape in gram_shapes.items()}
    metrics: dict[str, Shape] = {
        name.replace("gram.", "metric."): ("metric_N", *shape[1:]) for name, shape in gram_shapes.items()
    }
    # What other tiles have: a difference of Gram matrices takes it in the target.
    tiled = regions and spec.style_distance != GRAM
    others: dict[str, Shape] = {
        name.replace("gram.", OTHERS): ("others_N", *shape[1:]) for name, shape in gram_shapes.items() if tiled
    }
    k, l = len(contents), len(grams)
    pixels: Shape = ("N", 3, "H", "W")
    free = torch.export.Dim.AUTO
    free_image = {0: free, 2: free, 3: free}
    free_gram = {1: free} if regions else None
    free_masks = [{0: free, 1: free, 2: free, 3: free}] * len(masks)
    return [
        GraphSpec(
            name="encode",
            function=lambda image, masks: tuple(t for group in objective.encode(image, masks) for t in group),
            example=(image, masks),
            dynamic=(free_image, free_masks),
            inputs={"image": pixels} | mask_shapes,
            outputs=content_shapes | gram_shapes,
        ),
        GraphSpec(
            name=GRADIENT,
            function=objective.losses_and_gradient,
            example=(
                image,
                contents,
                grams,
                [torch.zeros_like(g) for g in grams],
                torch.ones(k),
                torch.ones(l),
                torch.tensor(0.5),
                masks,
                [torch.zeros_like(g) for g in grams] if tiled else [],
            ),
            dynamic=(
                free_image,
                [free_image] * k,
                [free_gram] * l,
                [free_gram] * l,
                None,
                None,
                None,
                free_masks,
                [free_gram] * len(others),
            ),
            inputs={"image": pixels}
            | content_shapes
            | targets
            | metrics
            | {"content_weight": (k,), "style_weight": (l,), "tv_weight": ()}
            | mask_shapes
            | others,
            outputs={"losses": ("N", k + l + 1), "gradient": pixels},
        ),
    ]
