"""Size 1: torch gives it no symbol, so a general graph is not proved for it.

Capture at 1 and compare.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sympy
import torch
from torch import fx

from explorer import example_inputs
from explorer.artifacts import CapturedGraph, GuardRecord, InputKind, NormalisedGraph
from explorer.artifacts.common import Expression
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.errors import CaptureError, InputError
from explorer.stages.capture import call_at, capture
from explorer.stages.graphs import example_value, placeholders
from explorer.stages.normalise import normalise
from explorer.stages.op_names import canonical_name
from explorer.torch_private import ops


@dataclasses.dataclass(frozen=True, eq=False)
class Settled:
    """What a capture with some sizes at 1 came to.

    Attributes:
        difference: what differs from the general graph, in words; None when it is the same program.
        conditions: what the capture at 1 relies on, over the symbols of the general graph's sizes;
            None when there is none. Where they do not hold, the same program may be wrong:
            ``a + b > 3`` needs no condition where both are at least 2.
    """

    difference: str | None
    conditions: tuple[GuardRecord, ...] | None = None


def settle(
    normalised: NormalisedGraph, config: CompilationConfig, ones: Collection[str]
) -> str | None:
    """Captures at size 1 and compares with the general graph; see ``settle_with_conditions``.

    Returns:
        None when the general graph is the same program there, else what differs, in words.
    """
    return settle_with_conditions(normalised, config, ones).difference


def settle_with_conditions(
    normalised: NormalisedGraph,
    config: CompilationConfig,
    ones: Collection[str],
    *,
    others: Mapping[str, int] | None = None,
) -> Settled:
    """Captures at size 1 and compares with the general graph.

    Args:
        normalised: the general graph; its capture knows what it was asked for.
        config: as the capture reads it.
        ones: names of the sizes that are 1.
        others: values of the other sizes in that capture; those of the example where it is left
            out.
    """
    request = normalised.captured.request
    if request is None:
        return Settled("it was captured by hand, so it cannot be captured again")
    fixed = dict.fromkeys(sorted(ones), 1)
    dims = {
        source: 1
        for size in normalised.captured.sizes
        if size.name in fixed
        for source in size.sources
    }
    counters.add("captured")
    try:
        if others:
            args, kwargs = example_inputs.at(request, others, captured=normalised.captured)
            request = dataclasses.replace(request, args=args, kwargs=kwargs)
        special = capture(request, config, fixed_dims=dims)
    except (CaptureError, InputError) as error:
        return Settled(f"it cannot be captured there: {error}")
    difference = same_at(normalised, normalise(special), fixed, call_at(request, dims))
    return Settled(difference, _over_general_sizes(normalised.captured, special))


def _over_general_sizes(general: CapturedGraph, special: CapturedGraph) -> tuple[GuardRecord, ...]:
    """The conditions of a capture, over the symbols of another one's sizes of the same names."""
    symbol_of = {size.name: size.symbol for size in general.sizes}
    exchanged = {
        symbol: symbol_of[size.name]
        for size in special.sizes
        if size.name in symbol_of
        for symbol in (size.symbol, *size.torch_symbols)
    }
    return tuple(
        dataclasses.replace(guard, expression=guard.expression.xreplace(exchanged))
        for guard in special.guards
        if guard.expression is not None and not guard.is_bound
    )


def same_at(
    general: NormalisedGraph,
    special: NormalisedGraph,
    fixed: Mapping[str, int],
    call: tuple[tuple[Any, ...], Mapping[str, Any]],
) -> str | None:
    """Whether a general graph and one captured at some fixed sizes are the same program there.

    Args:
        general: captured with every size dynamic.
        special: captured with the ``fixed`` sizes as constants.
        fixed: size name -> value.
        call: arguments and keyword arguments of those sizes.

    Returns:
        None when they are the same, else what differs first, in words.
    """
    left, right = _Program(general, fixed), _Program(special, fixed)
    for one, other in zip(left.lines, right.lines, strict=False):
        if one != other:
            return f"{_shown(one)} against {_shown(other)}"
    if len(left.lines) != len(right.lines):
        return f"{len(left.lines)} operations against {len(right.lines)}"
    if left.outputs == right.outputs:
        return None
    return _different_results(general, special, (left, right), call)


def _different_results(
    general: NormalisedGraph,
    special: NormalisedGraph,
    programs: tuple[_Program, _Program],
    call: tuple[tuple[Any, ...], Mapping[str, Any]],
) -> str | None:
    """Compares what a call returns when the graphs return marks; a size is then a number in both.

    A capture at one size leaves numbers out of its graph's outputs, so these alone do not tell.
    """
    results = []
    for graph, program in zip((general, special), programs, strict=True):
        raw = graph.captured.raw
        if raw.has_side_effects():
            return f"outputs {program.outputs}"[:200]
        marks = tuple(_mark_of(value) for value in program.outputs)
        first = () if raw.receiver is None else (raw.receiver,)
        results.append(raw.bind(_returns(marks))(*first, *call[0], **call[1]))
    if _same_result(results[0], results[1]):
        return None
    return f"result {_shown_result(results[0])} against {_shown_result(results[1])}"


def _shown_result(result: Any) -> str:
    """The result on one line, without the content of tensors."""
    values = list(result.values()) if isinstance(result, Mapping) else result
    values = values if isinstance(values, list | tuple) else [values]
    texts = ["a tensor" if isinstance(v, torch.Tensor | _Mark) else repr(v) for v in values]
    return f"({', '.join(texts)})"[:100]


@dataclasses.dataclass(frozen=True)
class _Mark:
    """Stands for one value of a graph."""

    value: Any


def _mark_of(value: Any) -> Any:
    """A number for a size that is a number there, else a mark."""
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else _Mark(value)


def _returns(values: tuple[Any, ...]) -> Callable[..., Any]:
    return lambda *arguments: values


def _same_result(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return one is other
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return list(one) == list(other) and _same_result(tuple(one.values()), tuple(other.values()))
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_same_result(a, b) for a, b in pairs)
    if dataclasses.is_dataclass(one) and not isinstance(one, _Mark):
        names = [field.name for field in dataclasses.fields(one)]
        return all(_same_result(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


def _shown(line: tuple[Any, ...]) -> str:
    return f"{line[0]} {line[1:]}"[:200]


class _Program:
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
        if only_sizes and node.all_input_nodes and example_value(node) is None and not node.users:
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


def _is_only_asserted(node: fx.Node) -> bool:
    """Whether a size is read for nothing but run-time assertions."""
    for user in node.users:
        is_assertion = example_value(user) is None and not user.users
        if not is_assertion and not (_is_size(user) and _is_only_asserted(user)):
            return False
    return True
