"""Files of torch.save, read without torch: as torch reads them, and nothing of them is run."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from nstbatch.runtime.assembly.torch_file import read_tensors

TENSORS = {
    "kernel": torch.arange(24.0).reshape(2, 3, 4).transpose(0, 2),
    "half": torch.linspace(-1, 1, 5).half(),
    "codes": torch.tensor([[1, 255]], dtype=torch.uint8),
    "long": torch.tensor([-(2**40), 3]),
    "none": torch.zeros(0, 3),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
}
TENSORS["part"] = TENSORS["kernel"][1:, ::2]


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
@pytest.mark.parametrize("nested", [True, False])
def test_both_forms_are_read_as_torch_reads_them(archive: bool, nested: bool, tmp_path: Path) -> None:
    state = dict(TENSORS, epoch=3)
    torch.save({"state_dict": state} if nested else state, tmp_path / "w.pth", _use_new_zipfile_serialization=archive)
    found = read_tensors(tmp_path / "w.pth")
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found[name], tensor.numpy())


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_parameters_and_ordered_dictionaries(archive: bool, tmp_path: Path) -> None:
    layer = torch.nn.Conv2d(2, 3, 3)
    torch.save(layer.state_dict(), tmp_path / "state.pth", _use_new_zipfile_serialization=archive)
    torch.save(dict(layer.named_parameters()), tmp_path / "own.pth", _use_new_zipfile_serialization=archive)
    for name in ("state.pth", "own.pth"):
        found = read_tensors(tmp_path / name)
        np.testing.assert_array_equal(found["weight"], layer.weight.detach().numpy())
        np.testing.assert_array_equal(found["bias"], layer.bias.detach().numpy())


class Evil:
    """Touches a file when it is unpickled as pickle does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_a_pickle_that_runs_code_is_refused(archive: bool, tmp_path: Path) -> None:
    torch.save({"w": Evil(tmp_path / "owned")}, tmp_path / "evil.pth", _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError, match="which is no tensor; nothing of it was run"):
        read_tensors(tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(tmp_path / "owned")))
    with pytest.raises(ValueError, match=r"not a file of torch\.save"):
        read_tensors(tmp_path / "plain.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_a_torn_file_is_refused_wherever_it_ends(archive: bool, tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "whole.pth", _use_new_zipfile_serialization=archive)
    whole = (tmp_path / "whole.pth").read_bytes()
    for size in range(0, len(whole) - 1, 29):
        (tmp_path / "torn.pth").write_bytes(whole[:size])
        with pytest.raises((ValueError, EOFError, OSError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile)):
            read_tensors(tmp_path / "torn.pth")


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((9,), (1,), 0), ((2, 2), (4, 1), 3), ((2,), (1,), -1), ((2,), (-1,), 3), ((2, 2), (1,), 0)],
)
def test_a_tensor_larger_than_its_storage_is_refused(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, tmp_path: Path
) -> None:
    # As a hostile file would have it: torch itself writes none.
    class Claim:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            storage = torch.zeros(8).untyped_storage()
            typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
            return (torch._utils._rebuild_tensor_v2, (typed, offset, shape, strides, False, None))

    torch.save({"w": Claim()}, tmp_path / "claim.pth")
    with pytest.raises(ValueError, match=r"larger than its storage|impossible shape"):
        read_tensors(tmp_path / "claim.pth")


def test_no_tensors_at_all(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no state_dict"):
        read_tensors(tmp_path / "list.pth")
