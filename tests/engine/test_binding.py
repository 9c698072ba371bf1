"""Inputs that stay on the device, on the one device that every host has."""

import numpy as np

from device import Deferred, Device
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.binding import BoundGraph, Place
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.sessions import make_session
from nstbatch.runtime.painting.objective import Targets, balance, encode
from nstbatch.runtime.recipe.presets import LossWeights


def test_a_bound_graph_computes_what_the_graph_does(bundle: Bundle) -> None:
    engine = Engine(bundle, Host(provider="cpu", threads=1))
    rng = np.random.default_rng(0)
    photo, style, *images = rng.uniform(0, 255, (5, 1, 3, 40, 36)).astype(np.float32)
    targets = Targets(encode(engine, photo).contents, encode(engine, style).grams)
    content, styles, tv = balance(LossWeights(1, 10, 1), targets)
    fixed = {
        **targets.contents,
        **targets.grams,
        **targets.metrics(),
        "content_weight": np.array(content, np.float32),
        "style_weight": np.array(styles, np.float32),
        "tv_weight": np.array(tv, np.float32),
    }
    bound = BoundGraph(make_session(str(bundle.graph("gradient")), "cpu", 1), Place("cpu"), fixed)
    # Neither what was given nor what was got may be the buffer that the next evaluation writes to.
    given = [image.copy() for image in images]
    results = [bound({"image": image}) for image in given]
    for image, kept, (losses, gradient) in zip(images, given, results, strict=True):
        expected_losses, expected_gradient = engine.run("gradient", {"image": image, **fixed})
        assert (kept == image).all()
        np.testing.assert_array_equal(losses, expected_losses)
        np.testing.assert_array_equal(gradient, expected_gradient)
        # The same of what is there already, to what stays there.
        there, kept = Place("cpu").put(image), Place("cpu").empty(image.shape)
        (losses,) = bound({"image": there}, {"gradient": kept})
        np.testing.assert_array_equal(losses, expected_losses)
        np.testing.assert_array_equal(kept.read(), expected_gradient)


def test_on_a_stream_two_runs_are_on_their_way_and_each_is_waited_for_alone(bundle: Bundle) -> None:
    device = Device()
    images = np.random.default_rng(0).uniform(0, 255, (4, 1, 3, 40, 36)).astype(np.float32)
    session = make_session(str(bundle.graph("encode")), "cpu", 1, dimensions={"N": 1, "H": 40, "W": 36})
    plain = BoundGraph(session, Place("cpu"), {})
    expected = [plain({"image": image}) for image in images]
    stream = device.stream
    first, second = (BoundGraph(Deferred(session, device, name), Place("cpu"), {}, stream=stream) for name in "ab")
    pending = first.launch({"image": images[0]}), second.launch({"image": images[1]})
    assert device.done == []
    found = [pending[0]()]
    assert device.done == ["a"]
    # What the host thinks up meanwhile goes behind the other's run.
    pending = first.launch({"image": images[2]}), pending[1]
    found.append(pending[1]())
    pending = pending[0], second.launch({"image": images[3]})
    assert device.done == ["a", "b"]
    found += [wait() for wait in pending]
    for outputs, right in zip(found, expected, strict=True):
        for value, due in zip(outputs, right, strict=True):
            np.testing.assert_array_equal(value, due)


def test_a_part_of_a_buffer_is_the_same_memory() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    buffer = Place("cpu").put(rows)
    assert buffer.part(2).pointer == buffer.pointer + 2 * 8 * 4
    assert buffer.part(1).reshape((8,)).shape == (8,)
    rows[:] = 0
    np.testing.assert_array_equal(buffer.read().reshape(-1), np.arange(24))
