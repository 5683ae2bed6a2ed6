"""A graph as bytes and back: what later steps read of it is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import fx

from explorer import CompilationConfig
from explorer.stages import effects
from explorer.stages.capture import CaptureRequest, capture
from explorer.torch_private import graph_codec


def graph_of(model: Any) -> fx.Graph:
    request = CaptureRequest(model, (torch.ones(6, 4),), {})
    return capture(request, CompilationConfig()).graph


def shared(graph: fx.Graph) -> list[tuple[str, str]]:
    """Pairs of nodes that share memory."""
    known = [(node.name, effects.storage_of(node)) for node in graph.nodes]
    return [(a, b) for a, x in known for b, y in known if a < b and x is not None and x == y]


def test_memory_that_is_shared_stays_shared() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        view = x.view(-1)[1:]
        view.add_(1)
        return view * 2 + x.sum()

    graph = graph_of(model)
    read = graph_codec.load(graph_codec.dump(graph))
    assert shared(read) == shared(graph) != []
    written = [sorted(n.name for n in effects.written_inputs(g)) for g in (graph, read)]
    assert written[0] == written[1] == ["x"]
    again = graph_codec.load(graph_codec.dump(read))
    assert shared(again) == shared(graph)


def test_values_and_places_are_the_same() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.t()[1:], x.t()], dim=0) * x.shape[0]

    graph = graph_of(model)
    read = graph_codec.load(graph_codec.dump(graph))
    for node, other in zip(graph.nodes, read.nodes, strict=True):
        assert (node.op, node.name, str(node.target)) == (other.op, other.name, str(other.target))
        assert node.meta.get("stack_trace") == other.meta.get("stack_trace")
        value, again = node.meta.get("example_value"), other.meta.get("example_value")
        assert str(value) == str(again)
        if isinstance(value, torch.Tensor):
            assert isinstance(again, torch.Tensor)
            assert str(value.stride()) == str(again.stride())
            assert str(value.storage_offset()) == str(again.storage_offset())


def test_what_has_no_bytes_is_refused() -> None:
    with pytest.raises(graph_codec.NotWritableError):
        graph_codec.dump({"a": lambda: None})
