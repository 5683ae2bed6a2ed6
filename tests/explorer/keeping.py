"""A backend whose artifacts are the graphs themselves, so that anything can be kept and loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from explorer.torch_private import graph_codec


class GraphKeeping:
    """Runs the graph of a piece, kept as what ``graph_codec`` writes.

    Attributes:
        loads: how many artifacts were loaded.
    """

    name = "graph keeping"

    def __init__(self) -> None:
        self.loads = 0

    def identity(self) -> str:
        return self.name

    def compile(
        self, graph: fx.GraphModule, example_inputs: Any, *, size_range: Any, options: Any
    ) -> Callable[..., Any]:
        return graph.forward

    def serialize(self, function: Any) -> bytes:
        return graph_codec.dump(function.__self__)

    def deserialize(self, content: bytes) -> Callable[..., Any]:
        self.loads += 1
        return graph_codec.load(content).forward
