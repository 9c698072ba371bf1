"""What WebGPU does on a GPU that is software, printed as JSON.

It is a process of its own, since the environment in which it starts chooses the adapter::

    python tests/support/software_gpu.py BUNDLE STYLE PHOTO
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstbatch.runtime.bundle.spec import STEPS, Bundle
from nstbatch.runtime.engine.binding import BoundGraph, Place
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.probe import ADD
from nstbatch.runtime.engine.providers import OnnxRuntime, probe, start_provider, why_not
from nstbatch.runtime.engine.sessions import make_session
from nstbatch.runtime.engine.vulkan import find_adapter
from nstbatch.runtime.engine.webgpu import on_cpu
from nstbatch.runtime.errors import ProviderError
from nstbatch.runtime.painting.agreement import check_agreement
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture

_CHROMIUM = (Path("/usr/lib/chromium"), Path("/usr/lib/chromium-browser"), Path("/opt/google/chrome"))
"""Folders of Chromium, which brings SwiftShader, a GPU that is software, and a loader of Vulkan."""

_ADD_DOUBLE = ADD.replace(b"\x08\x08\x01\x12\x04", b"\x08\x08\x0b\x12\x04")
"""x + x for one number of float64."""


def environment() -> dict[str, str]:
    """The environment in which WebGPU computes on SwiftShader; the test is skipped without it."""
    for folder in _CHROMIUM:
        driver = folder / "vk_swiftshader_icd.json"
        if driver.exists():
            return {
                **os.environ,
                "VK_ICD_FILENAMES": str(driver),
                "LD_LIBRARY_PATH": str(folder),
                "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER": "1",
            }
    pytest.skip("needs Chromium, which brings a GPU that is software")


class Counting(OnnxRuntime):
    """Counts sessions and the runs of steps.

    Attributes:
        runs: of steps.
        operators: of the nodes of all sessions, by where they are.
        captured: how many sessions of steps may capture.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.captured = 0
        self.operators: Counter[str] = Counter()

    def make_session(self, model: str, provider: str, threads: int, **options: Any) -> Any:
        session = super().make_session(model, provider, threads, **options)
        for part in session.get_provider_graph_assignment_info():
            self.operators[part.ep_name] += len(part.get_nodes())
        if Path(model).stem in STEPS:
            self.captured += options["captured"]
            run = session.run_with_iobinding

            def counted(*arguments: Any) -> None:
                self.runs += 1
                run(*arguments)

            session.run_with_iobinding = counted
        return session


def _paint(engine: Engine, style: Path, photo: Path) -> Mapping[str, Any]:
    stylizer = Stylizer.open(engine, style, size=36, scales="32,36", iterations=2, check=lambda *_: None)
    picture = read_picture(photo)
    picture = replace(picture, rgb=picture.rgb.resize(_SIZE))
    losses: list[float] = []
    result = stylizer(picture, lambda progress: losses.append(progress.loss))
    return {"losses": losses, "pixels": np.asarray(result.image, int).tolist()}


_SIZE = (36, 30)


def _refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except ProviderError as error:
        return str(error)
    return "not refused"


def _parts() -> Iterator[bool]:
    """Whether graphs run on what can be bound, and whether a part of WebGPU's memory cannot."""
    place = Place("webgpu")
    rows = place.put(np.arange(6, dtype=np.float32).reshape(6, 1))
    yield np.array_equal(rows.part(4).read(), [4.0])
    yield rows.bindable and not rows.part(4).bindable
    graph = BoundGraph(make_session(ADD, "webgpu", 1), place, {})
    own = place.put(rows.part(4).read())
    (output,) = graph({"x": own})
    yield np.array_equal(output, [8.0])


def main(bundle: Path, style: Path, photo: Path) -> None:
    """Print what is found out."""
    counting = Counting()
    webgpu = Engine(Bundle.load(bundle), Host(provider="webgpu", threads=2), onnxruntime=counting)
    cpu = Engine(webgpu.bundle, Host(provider="cpu", threads=2))
    found = {
        "adapter": str(find_adapter()),
        "largest_buffer": webgpu.largest_buffer,
        "free_memory": webgpu.free_memory(),
        "auto": start_provider("auto"),
        "why_not": why_not("webgpu"),
        "half": _refusal(lambda: probe("webgpu", half=True)),
        "double": _refusal(lambda: make_session(_ADD_DOUBLE, "webgpu", 1)),
        "on_cpu": on_cpu(make_session(ADD, "webgpu", 1)),
        "parts": [*_parts()],
        "numbered": _refusal(lambda: start_provider("webgpu", device=0)),
        "here": _paint(webgpu, style, photo),
        "runs": counting.runs,
        "captured": counting.captured,
        "not_captured": webgpu.not_captured,
        "operators": dict(counting.operators),
        "cpu": _paint(cpu, style, photo),
    }
    (agreement,) = check_agreement(webgpu, ["float32"], (32, 32))
    print(json.dumps(found | {"loss_off": agreement.loss, "gradient_off": agreement.gradient}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
