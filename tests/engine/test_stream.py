"""A stream of CUDA's, of a GPU that is made up."""

import gc
from collections.abc import Callable

import numpy as np
import pytest

from device import Device
from nstbatch.runtime.engine.stream import Stream


def test_what_is_put_into_it_is_done_in_order_and_when_it_is_waited_for() -> None:
    device = Device()
    stream = device.stream
    there, back = stream.pinned((2, 3)), stream.pinned((6,))
    there[:] = np.arange(6).reshape(2, 3)
    back[:] = 0
    stream.copy(back.ctypes.data, there.ctypes.data, 6)
    first = stream.mark()
    stream.copy(there.ctypes.data, back[1:].ctypes.data, 1)
    second = stream.mark()
    assert not back.any(), "not yet"
    first()
    np.testing.assert_array_equal(back, np.arange(6))
    assert len(device.waiting) == 1, "what came later is not waited for"
    second()
    assert there[0, 0] == 1


def test_pinned_memory_is_given_back() -> None:
    device = Device()
    array = device.stream.pinned((4,))
    address = array.ctypes.data
    assert device.freed == []
    del array
    gc.collect()
    assert device.freed == [address]


def test_none_where_cuda_gives_none() -> None:
    assert Stream.new(0, Device().load) is not None
    assert Stream.new(1, Device().load) is None, "there is one GPU"
    assert Stream.new(0, Device("cudaStreamCreate").load) is None


@pytest.mark.parametrize(
    ("broken", "ask"),
    [
        ("cudaHostAlloc", lambda stream: stream.pinned((1,))),
        ("cudaMemcpyAsync", lambda stream: stream.copy(0, 0, 1)),
        ("cudaEventRecord", lambda stream: stream.mark()),
        ("cudaEventSynchronize", lambda stream: stream.mark()()),
    ],
)
def test_what_cuda_refuses_is_an_error(broken: str, ask: Callable[[Stream], object]) -> None:
    stream = Device(broken).stream
    with pytest.raises(RuntimeError, match="CUDA failure 700"):
        ask(stream)
