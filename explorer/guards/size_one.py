"""Size 1: torch gives it no symbol, so a general graph is not proved for it. Capture at 1 and compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch import fx

from explorer.artifacts import InputKind, NormalisedGraph
from explorer.stages.graphs import example_value
from explorer.stages.op_names import canonical_name


def same_at(
    general: NormalisedGraph, special: NormalisedGraph, fixed: Mapping[str, int]
) -> str | None:
    """Whether a general graph and one captured at some fixed sizes are the same program there.

    Args:
        general: captured with every size dynamic.
        special: captured with the ``fixed`` sizes as constants.
        fixed: size name -> value.

    Returns:
        None when they are the same, else what differs first, in words.
    """
    left, right = _Program(general, fixed), _Program(special, fixed)
    for one, other in zip(left.lines, right.lines, strict=False):
        if one != other:
            return f"{_shown(one)} against {_shown(other)}"
    if len(left.lines) != len(right.lines):
        return f"{len(left.lines)} operations against {len(right.lines)}"
    return None


def _shown(line: tuple[Any, ...]) -> str:
    return f"{line[0]} {line[1:]}"[:200]


class _Program:
    """The graph's calls as plain values, sizes evaluated where they are fixed."""

    def __init__(self, graph: NormalisedGraph, fixed: Mapping[str, int]) -> None:
        self.values: dict[sympy.Basic, sympy.Basic] = {}
        for size in graph.captured.sizes:
            for symbol in size.torch_symbols:
                self.values[symbol] = (
                    sympy.Integer(fixed[size.name])
                    if size.name in fixed
                    else sympy.Symbol(size.name, integer=True)
                )
        self.position: dict[fx.Node, Any] = {}
        self.lines: list[tuple[Any, ...]] = []
        paths = {each.name: each.path for each in graph.inputs if each.kind is not InputKind.SIZE}
        for node in graph.graph.nodes:
            self._add(node, paths)

    def _add(self, node: fx.Node, paths: Mapping[str, str]) -> None:
        if node.op == "placeholder":
            self.position[node] = self._size(node) or ("input", paths.get(node.name))
            return
        number = self._size(node)
        if number is not None and all(
            isinstance(example_value(each), torch.SymInt) for each in node.all_input_nodes
        ):
            self.position[node] = number
            return
        self.position[node] = ("value", len(self.lines))
        arguments = (self._plain(node.args), self._plain(node.kwargs))
        self.lines.append((canonical_name(node), *arguments))

    def _size(self, node: fx.Node) -> Any:
        value = example_value(node)
        if isinstance(value, torch.SymInt):
            return str(value.node.expr.xreplace(self.values))
        return None

    def _plain(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return self.position[value]
        if isinstance(value, tuple | list):
            return tuple(self._plain(item) for item in value)
        if isinstance(value, dict):
            return tuple((key, self._plain(item)) for key, item in value.items())
        if isinstance(value, slice):
            return tuple(self._plain(part) for part in (value.start, value.stop, value.step))
        if isinstance(value, bool | float | str | type(None)):
            return repr(value)
        if isinstance(value, torch.SymInt):
            return str(value.node.expr.xreplace(self.values))
        return str(value)
