"""Step 2: a CapturedGraph in, a NormalisedGraph out.

Three rewrites make a graph that can be cut anywhere:

* a whole ``torch.Size`` becomes a tuple of its dims wherever it stands, so that none can cross a
  cut;
* every value that equals a base size is that size's own placeholder;
* a tensor attribute becomes an input, so that pieces which differ only in its content stay equal.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

import sympy
import torch
from torch import fx

from explorer.artifacts import CapturedGraph, GraphInput, InputKind, NormalisedGraph, Rewrite
from explorer.artifacts.common import Expression
from explorer.stages.graphs import copy_graph, example_value, expression_of, placeholders

_OPERATOR_OF = {
    "Add": operator.add,
    "Mul": operator.mul,
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "PowByNatural": operator.pow,
    "Max": torch.sym_max,
    "Min": torch.sym_min,
}


def normalise(captured: CapturedGraph) -> NormalisedGraph:
    """Rewrites a copy of the graph; the captured one stays as it is."""
    graph, _ = copy_graph(captured.graph)
    rewriter = _Rewriter(graph, captured)
    rewriter.fold_sizes()
    rewriter.merge_symbols()
    rewriter.drop_unread()
    lifted_inputs, lifted_values = rewriter.lift_constants()
    graph.lint()
    return NormalisedGraph(
        captured=captured,
        graph=graph,
        inputs=captured.inputs + lifted_inputs,
        example_values=captured.example_values + lifted_values,
        rewrites=tuple(rewriter.rewrites),
    )


class _Rewriter:
    """One pass over one graph copy; gone when ``normalise`` returns."""

    def __init__(self, graph: fx.Graph, captured: CapturedGraph) -> None:
        self.graph = graph
        self.rewrites: list[Rewrite] = []
        self.erased: set[fx.Node] = set()
        self.alias: dict[Expression, Expression] = {
            symbol: size.symbol for size in captured.sizes for symbol in size.torch_symbols
        }
        self.node_of: dict[Expression, fx.Node] = {}

    def expression(self, value: Any) -> Expression | int | None:
        """A size expression over the primary symbols."""
        expression = expression_of(value) if isinstance(value, torch.SymInt | int) else None
        if isinstance(expression, sympy.Basic) and self.alias:
            return expression.xreplace(self.alias)
        return expression

    def _note_base_size(self, node: fx.Node) -> None:
        """Remembers the first node that has a base size.

        Nodes are noted in order, so what is noted is there already.
        """
        expression = self.expression(example_value(node))
        if isinstance(expression, sympy.Symbol):
            self.node_of.setdefault(expression, node)

    def fold_sizes(self) -> None:
        """Replaces every ``torch.Size`` by a tuple of numbers and size nodes."""
        self.node_of = {}
        for node in list(self.graph.nodes):
            size = example_value(node)
            if node in self.erased:
                continue
            if node.op in ("call_method", "call_function") and isinstance(size, torch.Size):
                self._fold_size(node, size)
            else:
                self._note_base_size(node)

    def _fold_size(self, node: fx.Node, size: torch.Size) -> None:
        readers = tuple(user.name for user in node.users)
        given = _items_given(node)
        for user in list(node.users):
            with self.graph.inserting_before(user):
                values = tuple(
                    self._value_of(dim, node, index) if given is None else given[index]
                    for index, dim in enumerate(size)
                )
            if _is_getitem_of(user, node):
                self._replace_by_item(user, values)
            else:
                _replace_argument(user, node, values)
        self._erase(node)
        text = f"{node.name} was a whole size; its readers take {len(size)} separate dims"
        self.rewrites.append(Rewrite("size", node.name, readers, text))

    def _replace_by_item(self, user: fx.Node, values: tuple[Any, ...]) -> None:
        index = user.args[1]
        item = values[index]  # type: ignore[index]
        for reader in list(user.users):
            _replace_argument(reader, user, item)
        self._erase(user)

    def _erase(self, node: fx.Node) -> None:
        self.graph.erase_node(node)
        self.erased.add(node)

    def _value_of(self, size: Any, size_node: fx.Node, index: int) -> Any:
        """One dim of a tensor.

        It is a number, nodes that compute it from base sizes, or a question to the tensor.
        """
        dim = self.expression(size)
        if dim is None or isinstance(dim, int):
            return dim
        built = self._build(dim)
        if built is not None:
            return built
        node = self.graph.call_function(torch.ops.aten.sym_size.int, (size_node.args[0], index))
        node.meta["example_value"] = size
        return node

    def _build(self, expression: Expression) -> Any:
        """Nodes that compute an expression from base sizes.

        The result is None when some part has no operator.
        """
        if isinstance(expression, sympy.Symbol):
            return self.node_of.get(expression)
        if expression.is_Integer:
            return int(expression)
        function = _OPERATOR_OF.get(type(expression).__name__)
        if type(expression).__name__ == "Pow" and expression.args[1].is_nonnegative:
            function = operator.pow
        if function is None:
            return None
        values = [self._build(argument) for argument in expression.args]
        if any(value is None for value in values):
            return None
        return self._fold(function, values)

    def _fold(self, function: Callable[..., Any], values: list[Any]) -> Any:
        result = values[0]
        for value in values[1:]:
            number = function(_hint(result), _hint(value))
            if isinstance(result, int) and isinstance(value, int):
                result = number
                continue
            node = self.graph.call_function(function, (result, value))
            node.meta["example_value"] = number
            result = node
        return result

    def merge_symbols(self) -> None:
        """Replaces what equals a base size by that size's first node.

        What a tensor tells is replaced by what computes it.
        """
        self.node_of = {}
        for node in list(self.graph.nodes):
            if not isinstance(example_value(node), torch.SymInt) or not node.users:
                self._note_base_size(node)
                continue
            replacement = self._replacement(node)
            if replacement is None:
                self._note_base_size(node)
                continue
            readers = tuple(user.name for user in node.users)
            for user in list(node.users):
                _replace_argument(user, node, replacement)
            text = f"{node.name} equals {replacement}, which its readers take instead"
            self.rewrites.append(Rewrite("symbol", node.name, readers, text))

    def _replacement(self, node: fx.Node) -> Any:
        """What readers of a size can take instead; None when there is nothing better."""
        expression = self.expression(example_value(node))
        if expression is None or isinstance(expression, int):
            return expression
        if isinstance(expression, sympy.Symbol):
            return self.node_of.get(expression)
        if all(isinstance(example_value(each), torch.SymInt) for each in node.all_input_nodes):
            return None
        with self.graph.inserting_before(node):
            return self._build(expression)

    def drop_unread(self) -> None:
        """Erases size computations that nothing reads any more."""
        for node in reversed(list(self.graph.nodes)):
            computed = node.op in ("call_function", "call_method") and node.target != "item"
            if computed and not node.users and isinstance(example_value(node), torch.SymInt):
                self.graph.erase_node(node)

    def lift_constants(self) -> tuple[tuple[GraphInput, ...], tuple[Any, ...]]:
        """Turns tensor attributes into placeholders after the last one."""
        lifted: dict[str, fx.Node] = {}
        values: list[Any] = []
        inputs: list[GraphInput] = []
        last = (placeholders(self.graph) or [None])[-1]
        for node in list(self.graph.nodes):
            if node.op != "get_attr" or not isinstance(node.meta["attribute"], torch.Tensor):
                continue
            target = str(node.target)
            if target not in lifted:
                point = (
                    self.graph.inserting_after(last)
                    if last is not None
                    else self.graph.inserting_before(next(iter(self.graph.nodes)))
                )
                with point:
                    last = self.graph.placeholder(f"constant_{len(lifted)}")
                last.meta = {key: item for key, item in node.meta.items() if key != "attribute"}
                last.meta.setdefault("example_value", node.meta["attribute"])
                lifted[target] = last
                values.append(node.meta["attribute"])
                inputs.append(GraphInput(last.name, InputKind.CONSTANT, target, target))
            readers = tuple(user.name for user in node.users)
            node.replace_all_uses_with(lifted[target])
            self.graph.erase_node(node)
            text = f"{node.name} is a constant tensor; it is an input now"
            self.rewrites.append(Rewrite("constant", node.name, readers, text))
        return tuple(inputs), tuple(values)


def _hint(value: Any) -> Any:
    return example_value(value) if isinstance(value, fx.Node) else value


def _items_given(node: fx.Node) -> tuple[Any, ...] | None:
    """The dims that a slice, a sum or a copy of earlier sizes spells out already.

    The result is None when it asks a tensor.
    """
    try:
        if node.op == "call_function" and node.target in (operator.getitem, operator.add):
            given: Any = cast(Any, node.target)(*node.args)
        elif node.op == "call_function" and node.target in (torch.Size, tuple, list):
            (given,) = node.args
        else:
            return None
    except (TypeError, IndexError, ValueError):  # of a node, not of the tuple that it stood for
        return None
    whole = isinstance(given, tuple | list) and len(given) == len(example_value(node))
    return tuple(given) if whole else None


def _is_getitem_of(user: fx.Node, node: fx.Node) -> bool:
    return (
        user.op == "call_function"
        and user.target is operator.getitem
        and user.args[0] is node
        and isinstance(user.args[1], int)
    )


def _replace_argument(user: fx.Node, old: fx.Node, new: Any) -> None:
    """Puts a value in the place of a node, also inside containers and slices.

    A tuple stays one argument.
    """
    swap: Mapping[fx.Node, Any] = {old: new}
    user.args = fx.map_arg(user.args, lambda node: swap.get(node, node))
    user.kwargs = fx.map_arg(user.kwargs, lambda node: swap.get(node, node))
