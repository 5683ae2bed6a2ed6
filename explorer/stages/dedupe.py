"""Step 4: a SplitGraph in, UniquePieces out.

Two compiled pieces are the same when their canonical records are equal. A record holds all that compiled code depends
on and no names: call targets, constants, dtypes, shapes, strides, devices, which inputs share memory, sizes by their
relations within the piece, and those conditions on sizes that the compile step replays.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch import fx

from explorer.artifacts import (
    CapturedGraph,
    Difference,
    GuardOrigin,
    Piece,
    PieceKind,
    SourceLocation,
    SplitGraph,
    UniquePiece,
    UniquePieces,
)
from explorer.stages import effects
from explorer.stages.graphs import example_value, user_location
from explorer.stages.op_names import function_name

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_BY_TEXT = (torch.dtype, torch.device, torch.memory_format, torch.layout)


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """The canonical record of one piece.

    Attributes:
        nodes: one nested tuple per node.
        facts: what is known of the sizes: per size whether the dispatch size bounds it, its bounds, and guards.
        locations: the user's line of each node.
        fingerprint: sha256 of nodes and facts, 64 hex digits.
    """

    nodes: tuple[tuple[Any, ...], ...]
    facts: tuple[tuple[Any, ...], ...]
    locations: tuple[SourceLocation | None, ...]
    fingerprint: str


def dedupe(split: SplitGraph, *, enabled: bool = True, dispatch: str | None = None) -> UniquePieces:
    """Groups equal compiled pieces.

    Args:
        split: the pieces.
        enabled: False keeps every compiled piece by itself.
        dispatch: name of the size that picks the range; a piece that depends on another size is not the same.
    """
    groups: dict[str, list[Piece]] = {}
    for piece in split.pieces:
        if piece.kind is PieceKind.COMPILED:
            fingerprint = record_of(piece, split.normalised.captured, dispatch).fingerprint
            key = fingerprint if enabled else f"{fingerprint}/{piece.index}"
            groups.setdefault(key, []).append(piece)
    unique_pieces = []
    label_of: dict[int, str] = {}
    for number, (key, members) in enumerate(groups.items()):
        label = unique_label(number)
        label_of |= {piece.index: label for piece in members}
        representative = dataclasses.replace(members[0], unique_id=label)
        indices = tuple(piece.index for piece in members)
        unique_pieces.append(UniquePiece(label, key.partition("/")[0], indices, representative))
    pieces = tuple(
        dataclasses.replace(piece, unique_id=label_of.get(piece.index)) for piece in split.pieces
    )
    return UniquePieces(split, pieces, tuple(unique_pieces))


def unique_label(number: int) -> str:
    """0 is ``A``, 25 is ``Z``, 26 is ``AA``."""
    label = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        label = chr(ord("A") + rest) + label
    return label


# --------------------------------------------------------------------------------------------------- the record


def record_of(piece: Piece, captured: CapturedGraph, dispatch: str | None) -> Record:
    """The canonical record of a piece."""
    writer = _RecordWriter(captured, dispatch)
    nodes = writer.graph_record(piece.graph)
    facts = writer.facts()
    locations = tuple(user_location(node) for node in piece.graph.nodes)
    fingerprint = hashlib.sha256(repr((nodes, facts)).encode()).hexdigest()
    return Record(nodes, facts, locations, fingerprint)


class _RecordWriter:
    """Numbers sizes and shared memory by first appearance while it writes one record."""

    def __init__(self, captured: CapturedGraph, dispatch: str | None) -> None:
        self.captured = captured
        self.dispatch = dispatch
        self.alias = {
            symbol: size.symbol for size in captured.sizes for symbol in size.torch_symbols
        }
        self.number_of: dict[sympy.Basic, int] = {}
        self.storage_number: dict[int, int] = {}
        self.text_of: dict[sympy.Basic, str] = {}

    def graph_record(self, graph: fx.Graph) -> tuple[tuple[Any, ...], ...]:
        index_of: dict[fx.Node, int] = {}
        records = []
        for index, node in enumerate(graph.nodes):
            index_of[node] = index
            records.append(self._node(node, index_of))
        return tuple(records)

    def _node(self, node: fx.Node, index_of: Mapping[fx.Node, int]) -> tuple[Any, ...]:
        if node.op == "placeholder":
            return ("input", self.value(example_value(node)), self._memory(node))
        if node.op == "output":
            return ("output", self.argument(node.args[0], index_of))
        if node.op == "get_attr":
            attribute = node.meta["attribute"]
            if isinstance(attribute, fx.GraphModule):
                return ("subgraph", self._subgraph(attribute))
            return ("attribute", self.argument(attribute, index_of))
        target = f"Tensor.{node.target}" if node.op == "call_method" else function_name(node.target)
        return (
            "call",
            target,
            tuple(self.argument(value, index_of) for value in node.args),
            tuple((key, self.argument(value, index_of)) for key, value in node.kwargs.items()),
            self.value(example_value(node)),
        )

    def _subgraph(self, module: fx.GraphModule) -> tuple[Any, ...]:
        for node in module.graph.nodes:
            if node.op == "get_attr" and "attribute" not in node.meta:
                node.meta["attribute"] = getattr(module, str(node.target))
        return self.graph_record(module.graph)

    def _memory(self, node: fx.Node) -> int | None:
        """Inputs with one number share memory."""
        storage = effects.storage_of(node)
        if storage is None:
            return None
        return self.storage_number.setdefault(storage, len(self.storage_number))

    def argument(self, value: Any, index_of: Mapping[fx.Node, int]) -> Any:
        """An argument of a call, as plain values; nodes by their position."""
        if isinstance(value, fx.Node):
            return ("node", index_of[value])
        if isinstance(value, _PLAIN):
            return value if type(value) in (int, str, bool, type(None)) else repr(value)
        if isinstance(value, torch.SymInt):
            return ("size", self.size(value))
        if isinstance(value, tuple | list):
            return (type(value).__name__, *(self.argument(item, index_of) for item in value))
        if isinstance(value, dict):
            return ("dict", *((key, self.argument(item, index_of)) for key, item in value.items()))
        if isinstance(value, slice):
            parts = (value.start, value.stop, value.step)
            return ("slice", *(self.argument(part, index_of) for part in parts))
        if isinstance(value, _BY_TEXT):
            return str(value)
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if type(value).__repr__ is object.__repr__:
            # No stable text: such a piece equals only itself, while the object lives.
            return ("object", type(value).__qualname__, id(value))
        return (type(value).__qualname__, repr(value))

    def size(self, value: Any) -> int | str:
        """A size: numbers as they are, expressions with sizes numbered by first appearance."""
        if isinstance(value, int):
            return value
        expression = value.node.expr if hasattr(value, "node") else value
        known = self.text_of.get(expression)
        if known is None:
            known = self.text_of[expression] = self._expression_text(expression)
        return known

    def _expression_text(self, expression: sympy.Basic) -> str:
        if expression.is_number:
            return str(expression)
        primary = expression.xreplace(self.alias)
        for symbol in sorted(primary.free_symbols, key=self._order):
            self.number_of.setdefault(symbol, len(self.number_of))
        if isinstance(primary, sympy.Symbol):
            return f"c{self.number_of[primary]}"
        renamed = {
            symbol: sympy.Symbol(f"c{self.number_of[symbol]}", integer=True)
            for symbol in primary.free_symbols
        }
        return str(primary.xreplace(renamed))

    def _order(self, symbol: sympy.Basic) -> tuple[int, int, str]:
        position = next(
            (i for i, size in enumerate(self.captured.sizes) if size.symbol == symbol), 10**6
        )
        return (self.number_of.get(symbol, 10**6), position, str(symbol))

    def value(self, value: Any) -> Any:
        """What a node computes: dtype, device, shape, strides."""
        if isinstance(value, torch.Tensor):
            return (
                str(value.dtype),
                str(value.device),
                tuple(self.size(size) for size in value.shape),
                tuple(self.size(stride) for stride in value.stride()),
                self.size(value.storage_offset()),
            )
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            return (type(value).__name__, self.size(value))
        if isinstance(value, tuple | list):
            return tuple(self.value(item) for item in value)
        if isinstance(value, _PLAIN):
            return repr(value)
        return type(value).__qualname__

    def facts(self) -> tuple[tuple[Any, ...], ...]:
        """What the compile step may rely on about the piece's own sizes."""
        found: list[tuple[Any, ...]] = []
        for symbol, number in self.number_of.items():
            size = next((each for each in self.captured.sizes if each.symbol == symbol), None)
            if size is None:
                found.append((f"c{number}", "made in the graph"))
            else:
                role = "dispatch" if size.name == self.dispatch else "free"
                found.append((f"c{number}", role, size.low, size.high))
        own = set(self.number_of)
        for guard in self.captured.guards:
            if guard.origin is not GuardOrigin.RANGE and guard.expression.free_symbols <= own:
                found.append(("guard", self._expression_text(guard.expression)))
        return tuple(found)


# ----------------------------------------------------------------------------------------------- why they differ


def explain_difference(
    a: Piece, b: Piece, captured: CapturedGraph, dispatch: str | None = None
) -> tuple[Difference, ...]:
    """In words, what makes two pieces differ; empty when they are the same.

    The first difference comes first; later ones that follow from it are left out.
    """
    if a.kind is not b.kind:
        return (Difference("kind", a.kind.value, b.kind.value),)
    first, second = record_of(a, captured, dispatch), record_of(b, captured, dispatch)
    if first.fingerprint == second.fingerprint:
        return ()
    found: list[Difference] = []
    if len(first.nodes) != len(second.nodes):
        found.append(
            Difference("length", f"{a.node_count} nodes in {a.name}", f"{b.node_count} in {b.name}")
        )
    for index, (left, right) in enumerate(zip(first.nodes, second.nodes, strict=False)):
        if left != right:
            places = (first.locations[index], second.locations[index])
            known = tuple(place for place in places if place is not None)
            found.append(_node_difference(left, right, known))
            break
    if first.facts != second.facts:
        found.append(_fact_difference(first.facts, second.facts))
    return tuple(found)


def _node_difference(
    left: tuple[Any, ...], right: tuple[Any, ...], places: tuple[SourceLocation, ...]
) -> Difference:
    if left[0] != right[0] or left[0] in ("output", "subgraph", "attribute"):
        return Difference("node", _shown(left), _shown(right), places)
    if left[0] == "call" and left[1] != right[1]:
        return Difference("node", str(left[1]), str(right[1]), places)
    if left[0] == "call" and left[2:4] != right[2:4]:
        return _argument_difference(left, right, places)
    value_a, value_b = (left[1], right[1]) if left[0] == "input" else (left[4], right[4])
    if value_a != value_b:
        return _value_difference(value_a, value_b, left, places)
    return Difference("alias", f"memory group {left[2]}", f"memory group {right[2]}", places)


def _argument_difference(
    left: tuple[Any, ...], right: tuple[Any, ...], places: tuple[SourceLocation, ...]
) -> Difference:
    pairs = list(zip(_flat(left[2:4]), _flat(right[2:4]), strict=False))
    for one, other in pairs:
        if one != other:
            hint = ""
            if isinstance(one, str) and isinstance(other, str):
                hint = "A text argument is part of the graph, so each one makes a graph of its own."
            return Difference(
                "constant", f"{one!r} in {left[1]}", f"{other!r} in {right[1]}", places, hint
            )
    return Difference("node", _shown(left), _shown(right), places)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return [item for part in value for item in _flat(part)]
    return [value]


def _value_difference(
    value_a: Any, value_b: Any, record: tuple[Any, ...], places: tuple[SourceLocation, ...]
) -> Difference:
    where = "an input" if record[0] == "input" else str(record[1])
    kinds = ("dtype", "device", "shape", "stride", "storage offset")
    if isinstance(value_a, tuple) and isinstance(value_b, tuple) and len(value_a) == len(value_b) == 5:
        for kind, one, other in zip(kinds, value_a, value_b, strict=True):
            if one != other:
                return Difference(kind, f"{one} in {where}", f"{other} in {where}", places)
    return Difference("value", f"{value_a} in {where}", f"{value_b} in {where}", places)


def _fact_difference(left: tuple[Any, ...], right: tuple[Any, ...]) -> Difference:
    only_a = [fact for fact in left if fact not in right]
    only_b = [fact for fact in right if fact not in left]
    guards = any(fact[0] == "guard" for fact in [*only_a, *only_b])
    kind = "guard" if guards else "symbol"
    return Difference(kind, _facts_text(only_a), _facts_text(only_b))


def _facts_text(facts: list[tuple[Any, ...]]) -> str:
    return "; ".join(" ".join(str(part) for part in fact) for fact in facts) or "nothing"


def _shown(record: tuple[Any, ...]) -> str:
    return str(record[1]) if record[0] == "call" else str(record[0])
