"""Backends whose results can be kept, and sessions on one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from explorer import CompilationConfig, Session
from explorer.torch_private import graph_codec
from tests.explorer.comparing import filled


class Keeping:
    """A backend that runs the graph, and keeps it as the name of what it does."""

    name = "keeping"

    def __init__(self, identity: str = "1") -> None:
        self.text = identity
        self.loads = 0

    def identity(self) -> str:
        return self.text

    def compile(
        self, graph: fx.GraphModule, example_inputs: Any, *, size_range: Any, options: Any
    ) -> Callable[..., Any]:
        return graph.forward

    def serialize(self, function: Any) -> bytes:
        return json.dumps([str(node.target) for node in function.__self__.graph.nodes]).encode()

    def deserialize(self, content: bytes) -> Callable[..., Any]:
        self.loads += 1
        factor = 3 if "mul" in content.decode() else 0
        return lambda x, *sizes: (x * factor,)


def tripled(x: torch.Tensor) -> torch.Tensor:
    return x * 3


def session(backend: Any = None, function: Any = tripled, **changes: Any) -> Session:
    config = CompilationConfig(backend=backend or Keeping(), max_size=64)
    return Session(function, (filled(6, 3),), config=config.replace(**changes))


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
