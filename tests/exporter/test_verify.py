"""A bundle that differs from autograd is never written."""

from pathlib import Path

import pytest
import torch

from nstbatch.exporter.export import export_bundle
from nstbatch.exporter.objective import total_variation
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.errors import ExportError


def test_a_wrong_gradient_is_never_written(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The gradient of another objective: every check of the losses passes, the gradient's must not.
    from nstbatch.exporter import objective

    def wrong(image: torch.Tensor) -> torch.Tensor:
        return total_variation(image) + 0.01 * (image - image.detach()).flatten(1).sum(1)

    monkeypatch.setattr(objective, "total_variation", wrong)

    def restore(step: str) -> None:
        if step.startswith("writing"):
            monkeypatch.setattr(objective, "total_variation", total_variation)

    spec = BundleSpec(content_taps=("relu1_1",), style_taps=("relu1_1",))
    with pytest.raises(
        ExportError, match=r"the gradient after .* differs in float64 by \d\.\de[-+]\d+ at .* nothing was written"
    ):
        export_bundle(spec, tmp_path / "bundle", progress=restore)
    assert list(tmp_path.iterdir()) == []
