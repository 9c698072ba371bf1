"""Names of providers and precisions."""

from nstbatch.runtime.recipe.provider import AUTO, PRECISIONS, PROVIDER_CHOICES, Precision, Provider


def test_names_are_what_users_write() -> None:
    assert PROVIDER_CHOICES == (AUTO, "cpu", "openvino", "cuda", "tensorrt", "tensorrt-rtx", "webgpu")
    assert Provider("cuda") is Provider.CUDA
    assert f"{Precision.TF32}" == "tf32"
    assert (AUTO, *Precision) == PRECISIONS
