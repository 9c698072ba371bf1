"""What is computed around the gradient, before it is a graph."""

import onnx
import torch

from nstbatch.exporter.step import conclude, descend, example_state, step_parts, step_specs
from nstbatch.runtime.bundle.step import READ, SUMS, WRITTEN, Report, control_size


def test_every_graph_declares_what_its_function_takes_and_gives() -> None:
    assert [graph.name for graph in step_specs()] == ["descend", "conclude"]
    for graph in step_specs():
        assert len(graph.example) == len(graph.dynamic) == len(graph.inputs)
        for value, (name, shape) in zip(graph.function(*graph.example), graph.outputs.items(), strict=True):
            assert value.dtype == torch.float32, name
            assert value.dim() == len(shape), name


def test_an_example_is_of_the_agreed_layout() -> None:
    state = example_state(torch.zeros(2, 3, 5, 4), history=3)
    count = 2 * 3 + len(WRITTEN)
    assert state["rows"].shape == (2, count, 3, 5, 4)
    assert state["control"].shape == (2, control_size(count))


def test_a_direction_of_nothing_is_a_step_of_nothing() -> None:
    state = example_state(torch.rand(2, 3, 5, 4), history=1)
    state["control"][:, : state["rows"].shape[1]] = 0
    image, x, _, step = descend(state["rows"], state["control"], state["bounds"])
    assert (image == x).all()
    assert (step == 0).all()


def test_what_is_held_at_a_bound_stays_and_the_others_come_to_it_exactly() -> None:
    x = torch.full((1, 3, 2, 2), 0.7)
    x[0, 0], x[0, 1] = 0.0, 255.0
    state = example_state(x, history=1)
    state["rows"][:, 1] = torch.where(x == 0.7, 1.0, 0.0)
    factors = torch.zeros(state["rows"].shape[1])
    factors[1] = 1e3
    state["control"][:, : len(factors)], state["control"][:, len(factors)] = factors, 1
    image, _, gradient, step = descend(state["rows"], state["control"], state["bounds"])
    assert (image[0, :2] == x[0, :2]).all()
    assert (image[0, 2] == 0).all()
    losses, outwards = torch.ones(1, 4), torch.ones_like(image)
    written, numbers = conclude(losses, outwards, image, x, gradient, step, **state)
    report = Report.of(numbers.numpy()[0], len(factors))
    projected = written[0, int(state["control"][0, len(factors) + 1 + len(READ) + WRITTEN.index("gradient")])]
    assert (projected[0] == 0).all(), "-gradient leads out of the lower bound"
    assert (projected[1] == 1).all(), "and from the upper bound inwards"
    assert report.magnitude == outwards.numel()
    assert (report.losses == 1).all()
    assert numbers.shape[1] == SUMS + report.products.size + 4


def test_products_are_of_each_row_with_what_is_written() -> None:
    state = {name: value.double() for name, value in example_state(torch.rand(2, 3, 5, 4) * 200, history=2).items()}
    before = descend(state["rows"], state["control"], state["bounds"])
    gradient = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    written, numbers = conclude(torch.zeros(2, 1).double(), gradient, *before, **state)
    for i in range(2):
        rows = written[i].flatten(1)
        report = Report.of(numbers[i].float().numpy(), len(rows))
        places = state["control"][i, len(rows) + 1 + len(READ) :].long()
        torch.testing.assert_close(torch.from_numpy(report.products), rows @ rows[places].T, rtol=1e-4, atol=1e-2)
        image, x, _, step = (each[i].flatten() for each in before)
        torch.testing.assert_close(rows[places[WRITTEN.index("x")]], image)
        torch.testing.assert_close(rows[places[WRITTEN.index("s")]], image - x)
        torch.testing.assert_close(rows[places[WRITTEN.index("step")]], step)
        torch.testing.assert_close(rows[places[WRITTEN.index("raw")]], gradient[i].flatten())


def test_what_is_written_goes_to_an_index_a_line_at_a_time() -> None:
    # CUDA's provider has one thread copy what lies at an index, so that a whole image takes milliseconds.
    graph = step_parts().after.graph
    (scatter,) = [node for node in graph.node if node.op_type == "ScatterND"]
    assert scatter.input[0] == "rows", "in no other shape, so that it is written in place"
    inferred = onnx.shape_inference.infer_shapes(step_parts().after, data_prop=True).graph.value_info
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in inferred}
    assert shapes[scatter.input[1]][-1] == 4, "image, row, color and line"
