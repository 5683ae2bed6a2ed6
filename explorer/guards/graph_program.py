"""A captured graph in, its calls as plain values out, to compare two captures of one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch import fx

from explorer.artifacts import InputKind, NormalisedGraph
from explorer.artifacts.common import Expression
from explorer.stages.graphs import example_value, placeholders
from explorer.stages.op_names import canonical_name
from explorer.torch_private import ops, transforms


class Program:
    """The graph's calls as plain values.

    Sizes are evaluated where they are fixed, conditions on them decided.
    """

    def __init__(self, graph: NormalisedGraph, fixed: Mapping[str, int]) -> None:
        self.values: dict[Expression, Expression] = {}
        for size in graph.captured.sizes:
            for symbol in size.torch_symbols:
                self.values[symbol] = (
                    sympy.Integer(fixed[size.name])
                    if size.name in fixed
                    else sympy.Symbol(size.name, integer=True)
                )
        self.lines: list[tuple[Any, ...]] = []
        self.count = 0
        self.paths = {
            each.name: each.path for each in graph.inputs if each.kind is not InputKind.SIZE
        }
        outputs = self._add_graph(graph.graph, {})
        self.outputs: tuple[Any, ...] = outputs if isinstance(outputs, tuple) else (outputs,)

    def _add_graph(self, graph: fx.Graph, position: dict[fx.Node, Any]) -> Any:
        """Adds a graph's calls; ``position`` says what its placeholders stand for, and grows.

        Returns the output.
        """
        for node in graph.nodes:
            if node.op == "output":
                result = self._plain(node.args[0], position)
                return result
            if node not in position:
                position[node] = self._add(node, position)
        return ()

    def _add(self, node: fx.Node, position: dict[fx.Node, Any]) -> Any:
        size = self._size(node)
        if node.op == "placeholder":
            return size or ("input", self.paths.get(node.name))
        if node.op == "get_attr":
            return ("attribute", _attribute_of(node))
        only_sizes = all(_is_size(each) for each in node.all_input_nodes)
        if size is not None and (only_sizes or self._is_known(example_value(node))):
            return size
        whole = example_value(node)
        if isinstance(whole, torch.Size) and all(map(self._is_known, whole)):
            return ("items", tuple(self._size_text(each) for each in whole))
        if only_sizes and _is_assertion(node):
            return None  # a run-time assertion on sizes: what it demands held at both captures
        if canonical_name(node).startswith("aten::sym_size") and _is_only_asserted(node):
            return None  # an unbacked size that ``torch.cond`` gave its result
        branch = self._branch(node, position)
        if branch is not None:
            return branch
        item = self._item(node, position)
        if item is not None:
            return item
        arguments = (self._plain(node.args, position), self._plain(node.kwargs, position))
        return self._line(canonical_name(node), *arguments)

    def _line(self, *line: Any) -> tuple[str, int]:
        """Adds a call and returns what stands for its result, inside branches and outside."""
        self.lines.append(line)
        self.count += 1
        return ("value", self.count)

    def _item(self, node: fx.Node, position: Mapping[fx.Node, Any]) -> Any:
        """One of the sizes of a shape, or one result of a branch that was taken."""
        if getattr(node.target, "__name__", "") != "getitem" or node.op != "call_function":
            return None
        container, index = node.args
        items = position[container] if isinstance(container, fx.Node) else None
        known = isinstance(items, tuple) and items[:1] == ("items",) and isinstance(index, int)
        return items[1][index] if known else None  # type: ignore[index]

    def _branch(self, node: fx.Node, position: dict[fx.Node, Any]) -> Any:
        """``torch.cond``: the branch that it takes when that is decided, else both as they are."""
        if not ops.is_higher_order(node.target) or getattr(node.target, "__name__", "") != "cond":
            return None
        test, if_true, if_false, operands = node.args
        modules = [
            _attribute_of(e) if isinstance(e, fx.Node) else None for e in (if_true, if_false)
        ]
        if not all(isinstance(each, fx.GraphModule) for each in modules):
            return None
        if not isinstance(operands, tuple | list):
            return None
        given = [self._plain(operand, position) for operand in operands]
        decided = position.get(test) if isinstance(test, fx.Node) else str(test)
        if decided in ("True", "False"):
            return ("items", self._side(modules[0 if decided == "True" else 1], given))
        sides = tuple(self._lines_of_side(each, given) for each in modules)
        return self._line("torch.cond", decided, *sides)

    def _side(self, module: Any, given: list[Any]) -> Any:
        return self._add_graph(
            module.graph, dict(zip(placeholders(module.graph), given, strict=True))
        )

    def _lines_of_side(self, module: Any, given: list[Any]) -> tuple[Any, ...]:
        """The calls of one side by themselves, and what it returns."""
        outside, self.lines = self.lines, []
        try:
            returned = self._side(module, given)
            return (tuple(self.lines), returned)
        finally:
            self.lines = outside

    def _size(self, node: fx.Node) -> Any:
        value = example_value(node)
        if isinstance(value, torch.SymInt | torch.SymBool):
            return self._size_text(value)
        return None

    def _size_text(self, size: Any) -> str:
        return str(size.node.expr.xreplace(self.values) if hasattr(size, "node") else size)

    def _is_known(self, size: Any) -> bool:
        """Whether a size that is read from a tensor is made of the call's sizes alone."""
        if not isinstance(size, torch.SymInt | torch.SymBool):
            return isinstance(size, int)
        return all(symbol in self.values for symbol in size.node.expr.free_symbols)

    def _plain(self, value: Any, position: Mapping[fx.Node, Any]) -> Any:
        if isinstance(value, fx.Node):
            return position[value]
        if isinstance(value, tuple | list):
            return tuple(self._plain(item, position) for item in value)
        if isinstance(value, dict):
            return tuple((key, self._plain(item, position)) for key, item in value.items())
        if isinstance(value, slice):
            parts = (value.start, value.stop, value.step)
            return tuple(self._plain(part, position) for part in parts)
        if isinstance(value, torch.SymInt):
            return str(value.node.expr.xreplace(self.values))
        if isinstance(value, bool | float | str | type(None)):
            return repr(value)
        return str(value)


def _attribute_of(node: fx.Node) -> Any:
    """What a ``get_attr`` node refers to; inside the side of a branch it is its module's."""
    if "attribute" in node.meta:
        return node.meta["attribute"]
    value: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        value = getattr(value, part, None)
    return value


def _is_size(node: fx.Node) -> bool:
    return isinstance(example_value(node), torch.SymInt | torch.SymBool)


def _is_assertion(node: fx.Node) -> bool:
    """Whether a node returns nothing; vmap is entered by such a call, with a size."""
    if not node.all_input_nodes or node.users or transforms.depth_change(node):
        return False
    return example_value(node) is None


def _is_only_asserted(node: fx.Node) -> bool:
    """Whether a size is read for nothing but run-time assertions."""
    for user in node.users:
        is_assertion = example_value(user) is None and not user.users
        if not is_assertion and not (_is_size(user) and _is_only_asserted(user)):
            return False
    return True
