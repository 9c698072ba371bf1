"""The optimizer's arithmetic as functions, before they are graphs."""

import torch

from nstbatch.exporter.vectors import vector_graphs


def test_every_graph_declares_what_its_function_takes_and_gives() -> None:
    names = [graph.name for graph in vector_graphs()]
    assert names == [f"lbfgs_{name}" for name in ("begin", "accept", "measure", "products", "descend", "move")]
    for graph in vector_graphs():
        assert len(graph.example) == len(graph.dynamic) == len(graph.inputs)
        found = graph.function(*graph.example)
        found = found if isinstance(found, tuple) else (found,)
        for value, (name, shape) in zip(found, graph.outputs.items(), strict=True):
            assert value.dtype == torch.float32, name
            assert value.dim() == len(shape), name


def test_a_direction_of_nothing_is_a_step_of_nothing() -> None:
    (descend,) = (graph.function for graph in vector_graphs() if graph.name == "lbfgs_descend")
    zeros, x = torch.zeros(5), torch.full((5,), 100.0)
    given = (torch.zeros(2, 5), torch.zeros(2), zeros, torch.tensor(1.0), torch.tensor(0.0), x, zeros)
    step, trial, slope = descend(*given, torch.tensor([0.0, 255.0]))
    assert (step == 0).all()
    assert (trial == x).all()
    assert slope == 0
