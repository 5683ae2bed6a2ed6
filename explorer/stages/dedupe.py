"""Step 4: a SplitGraph in, UniquePieces out.

Two compiled pieces are the same when their canonical records are equal. A record holds all that
compiled code depends on and no names: call targets, constants, dtypes, shapes, strides, devices,
which inputs share memory, sizes by their relations within the piece, and those conditions on sizes
that the compile step replays. Why two pieces are not the same is said by ``stages.explain``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import Any

import sympy
import torch
from torch import fx

from explorer.artifacts import (
    CapturedGraph,
    Piece,
    PieceKind,
    SourceLocation,
    SplitGraph,
    UniquePiece,
    UniquePieces,
)
from explorer.artifacts.common import Expression
from explorer.guards.valid import checked_guards
from explorer.stages import effects
from explorer.stages.graphs import example_value, user_location
from explorer.stages.op_names import function_name
from explorer.torch_private import opaque, ops

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_BY_TEXT = (torch.dtype, torch.device, torch.memory_format, torch.layout)


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """The canonical record of one piece.

    Attributes:
        nodes: one nested tuple per node: ``("input", value, memory)``, ``("output", values)``,
            ``("call", target, args, kwargs, value)``, ``("attribute", value)`` or
            ``("subgraph", nodes)``.
        facts: what is known of the sizes: per size whether it picks the range and its bounds, then
            the conditions on them.
        locations: the user's line of each node.
        size_names: ``c0``, as sizes are called in the record -> the user's name.
        fact_texts: each fact in words.
        fingerprint: sha256 of nodes and facts, 64 hex digits.
    """

    nodes: tuple[tuple[Any, ...], ...]
    facts: tuple[tuple[Any, ...], ...]
    locations: tuple[SourceLocation | None, ...]
    size_names: Mapping[str, str]
    fact_texts: tuple[str, ...]
    fingerprint: str


class SizeFacts(Enum):
    """What the compile step may know of sizes, and so what makes pieces differ."""

    RELIED_ON = "relied on"
    """The bounds and conditions of the capture."""
    LEFT_OUT = "left out"
    """Nothing but the range: pieces of captures with other conditions can be the same."""


def dedupe(
    split: SplitGraph,
    *,
    enabled: bool = True,
    dispatch: str | None = None,
    facts: SizeFacts = SizeFacts.RELIED_ON,
) -> UniquePieces:
    """Groups equal compiled pieces.

    Args:
        split: the pieces.
        enabled: False keeps every compiled piece by itself.
        dispatch: name of the size that picks the range; a piece that depends on another size is
            not the same.
        facts: whether what is known of sizes makes a difference.
    """
    groups: dict[str, list[Piece]] = {}
    for piece in split.pieces:
        if piece.kind is PieceKind.COMPILED:
            record = record_of(piece, split.normalised.captured, dispatch, facts)
            fingerprint = record.fingerprint
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


# --------------------------------------------------------------------------------------- the record


def record_of(
    piece: Piece,
    captured: CapturedGraph,
    dispatch: str | None,
    size_facts: SizeFacts = SizeFacts.RELIED_ON,
) -> Record:
    """The canonical record of a piece."""
    writer = _RecordWriter(captured, dispatch)
    nodes = writer.graph_record(piece.graph)
    facts = writer.facts() if size_facts is SizeFacts.RELIED_ON else writer.roles()
    return Record(
        nodes=nodes,
        facts=tuple(facts),
        locations=tuple(user_location(node) for node in piece.graph.nodes),
        size_names=writer.size_names(),
        fact_texts=tuple(facts.values()),
        fingerprint=hashlib.sha256(repr((nodes, tuple(facts))).encode()).hexdigest(),
    )


class _RecordWriter:
    """Numbers sizes and shared memory by first appearance while it writes one record."""

    def __init__(self, captured: CapturedGraph, dispatch: str | None) -> None:
        self.captured = captured
        self.dispatch = dispatch
        self.alias = {
            symbol: size.symbol for size in captured.sizes for symbol in size.torch_symbols
        }
        self.number_of: dict[Expression, int] = {}
        self.storage_number: dict[int, int] = {}
        self.text_of: dict[Expression, str] = {}

    def graph_record(self, graph: fx.Graph) -> tuple[tuple[Any, ...], ...]:
        index_of: dict[fx.Node, int] = {}
        records = []
        for index, node in enumerate(graph.nodes):
            index_of[node] = index
            records.append(self._node(node, index_of))
        return tuple(records)

    def _node(self, node: fx.Node, index_of: Mapping[fx.Node, int]) -> tuple[Any, ...]:
        if node.op == "placeholder":
            value = example_value(node)
            return ("input", self.value(value), self._memory(node), _lazy_bits(value))
        if node.op == "output":
            return ("output", self.argument(node.args[0], index_of))
        if node.op == "get_attr":
            attribute = node.meta["attribute"]
            if isinstance(attribute, fx.GraphModule):
                return ("subgraph", self._subgraph(attribute))
            return ("attribute", self.argument(attribute, index_of))
        target = f"Tensor.{node.target}" if node.op == "call_method" else target_text(node.target)
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
            plain = type(value) in (int, str, bool, type(None))
            return value if plain else (type(value).__name__, repr(value))
        if isinstance(value, torch.SymInt):
            return ("size", self.size(value))
        if isinstance(value, tuple | list):
            kind = "list" if isinstance(value, list) else type(value).__name__
            return (kind, *(self.argument(item, index_of) for item in value))
        if isinstance(value, dict):
            pairs = [part for pair in value.items() for part in pair]
            return ("dict", *(self.argument(part, index_of) for part in pairs))
        if isinstance(value, slice):
            parts = (value.start, value.stop, value.step)
            return ("slice", *(self.argument(part, index_of) for part in parts))
        if isinstance(value, _BY_TEXT):
            return ("value", type(value).__name__, str(value))
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if callable(value):
            return ("function", target_text(value))
        if type(value).__repr__ is object.__repr__ or hasattr(value, "__array__"):
            # No text that says all: such a piece equals only itself, while the object lives.
            return ("object", type(value).__qualname__, id(value))
        return ("value", type(value).__qualname__, repr(value))

    def size(self, value: Any) -> int | str:
        """A size: numbers as they are, expressions with sizes numbered by first appearance."""
        if isinstance(value, int):
            return value
        expression = value.node.expr if hasattr(value, "node") else value
        known = self.text_of.get(expression)
        if known is None:
            known = self.text_of[expression] = self._expression_text(expression)
        return known

    def _expression_text(self, expression: Expression) -> str:
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

    def _order(self, symbol: Expression) -> tuple[int, int, str]:
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
        return opaque.type_name(value)  # of a layer's name only that it is one

    def size_names(self) -> dict[str, str]:
        """``c0`` -> the user's name of the size."""
        name_of = {size.symbol: size.name for size in self.captured.sizes}
        return {
            f"c{number}": name_of.get(symbol, str(symbol))
            for symbol, number in self.number_of.items()
        }

    def facts(self) -> dict[tuple[Any, ...], str]:
        """What the compile step may rely on about the piece's own sizes.

        Each comes with the same in words.
        """
        found: dict[tuple[Any, ...], str] = {}
        size_of = {size.symbol: size for size in self.captured.sizes}
        for symbol, number in self.number_of.items():
            size = size_of.get(symbol)
            if size is None:
                found[f"c{number}", "made in the graph"] = f"{symbol} is made in the graph"
                continue
            bounds = f"{size.low} to {'any size' if size.high is None else size.high}"
            is_dispatch = size.name == self.dispatch
            role, word = ("dispatch", "picks") if is_dispatch else ("free", "does not pick")
            text = f"{size.name} {word} the size range, {bounds}"
            found[f"c{number}", role, size.low, size.high] = text
        own = set(self.number_of)
        guards = {  # those that the compile step replays, so also what the graph asserts itself
            ("guard", self._expression_text(guard.expression)): guard.text
            for guard in checked_guards(self.captured)
            if guard.expression is not None
            and not guard.is_bound
            and guard.expression.free_symbols <= own
        }
        return found | dict(sorted(guards.items()))

    def roles(self) -> dict[tuple[Any, ...], str]:
        """Which of the piece's own sizes picks the range, and nothing else of them."""
        return {(*fact[:2],): text for fact, text in self.facts().items() if fact[0] != "guard"}


def _lazy_bits(value: Any) -> tuple[bool, bool] | None:
    """Whether a tensor still has to be conjugated or negated when it is read.

    Strides do not show it.
    """
    return (value.is_conj(), value.is_neg()) if isinstance(value, torch.Tensor) else None


def target_text(target: Any) -> str:
    """A function's name where that says which one it is; with its identity where it does not.

    A function that is no part of torch can be another one under the same name: made in a closure,
    or defined again in a notebook. A piece that calls it equals only pieces that call this object.
    """
    name = function_name(target)
    if ops.is_torch_function(target):
        return name
    return f"{name} {getattr(target, '__qualname__', '')} {id(target)}"
