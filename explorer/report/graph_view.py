"""A Compilation in, nodes and edges to draw out, cut and folded so that a layout can cope.

Values that many pieces read (rotary tables, encoder memory), and sizes, would give every layered
layout an edge across the whole picture. They are cut: the piece that makes such a value says so in
its label, and each reader gets a small reference node; a size stands in the labels of the pieces
that read it. Repeated layers are folded: their pieces are drawn once, with the number of
repetitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import fx

from explorer.artifacts import InputKind, Piece, PieceKind
from explorer.guards.expression import expression_text
from explorer.report.folding import SPLITTING_MARK, fold
from explorer.report.wording import counted, listed, place_text, shortened
from explorer.stages import effects
from explorer.stages.graphs import (
    example_value,
    expression_of,
    is_tuple_getitem,
    placeholders,
    user_location,
)
from explorer.stages.op_names import canonical_name

if TYPE_CHECKING:
    from explorer.compilation import Compilation

MOST_READERS = 2
"""A value that more pieces (or, inside a piece, more nodes) read is cut."""

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER)
_SHORT_DTYPES = {
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint8": "u8",
    "bool": "bool",
    "complex64": "c64",
    "complex128": "c128",
}


def graph_view(compilation: Compilation) -> dict[str, Any]:
    """The collapsed graph of pieces, and the body of each unique piece.

    Returns:
        ``pieces``: ``nodes edges folds cut``. ``bodies``: unique id -> ``nodes edges``. A node has
            ``id kind lines``; kinds are ``compiled splitting input output reference op``. An edge
            has ``source target values kind``, whose kind is ``flow``, ``write`` (the value was
            written in place) or ``carried`` (to the next repetition).
    """
    naming = Naming(compilation)
    return {
        "name": compilation.name,
        "pieces": _PiecesGraph(compilation, naming).view(),
        "bodies": {
            unique.unique_id: body_view(unique.representative, naming)
            for unique in compilation.unique_pieces
        },
    }


class Naming:
    """The names of a compilation's values, weights and sizes, in the user's words."""

    def __init__(self, compilation: Compilation) -> None:
        captured = compilation.captured
        self.sizes: dict[sympy.Symbol, str] = {
            symbol: size.name
            for size in captured.sizes
            for symbol in size.torch_symbols
            if isinstance(symbol, sympy.Symbol)
        }
        self.inputs = {each.name: each for each in compilation.normalised.inputs}

    def is_weight(self, name: str) -> bool:
        """Whether a value is a parameter or buffer."""
        return name in self.inputs and self.inputs[name].kind in _WEIGHTS

    def path(self, name: str) -> str:
        """The user's words for an input, the node's name for anything else."""
        return self.inputs[name].path if name in self.inputs else name

    def size(self, value: Any) -> str:
        """A size or an expression over sizes: ``n``, ``4*n``, ``128``."""
        expression = value if isinstance(value, sympy.Basic) else expression_of(value)
        return str(value) if expression is None else expression_text(expression, self.sizes)

    def dims(self, shape: Iterable[Any]) -> str:
        """``n × 128``; a tensor without dims is ``scalar``."""
        return " × ".join(self.size(dim) for dim in shape) or "scalar"

    def value(self, value: Any) -> str:
        """What a node computes: ``f32 n × 128``, ``n`` for a size, ``2 of f32 n`` for a tuple."""
        if isinstance(value, torch.Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            return f"{_SHORT_DTYPES.get(dtype, dtype)} {self.dims(value.shape)}"
        if isinstance(value, tuple | list):
            kinds = list(dict.fromkeys(self.value(item) for item in value))
            return (
                f"{len(value)} of {kinds[0]}" if len(kinds) == 1 else counted(len(value), "value")
            )
        return self.size(value) if is_size(value) else type(value).__name__


def is_size(value: Any) -> bool:
    """Whether a value is a number computed from sizes."""
    return isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool) or (
        isinstance(value, int) and not isinstance(value, bool)
    )


# ------------------------------------------------------------------------------------------- pieces


@dataclass
class _Edges:
    """Edges between drawn nodes; those between the same two, of one kind, are one."""

    found: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def add(self, source: str, target: str, kind: str, value: str) -> None:
        values = self.found.setdefault((source, target, kind), [])
        if value not in values:
            values.append(value)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"source": source, "target": target, "kind": kind, "values": values}
            for (source, target, kind), values in self.found.items()
        ]


class _PiecesGraph:
    """Builds the graph of pieces."""

    def __init__(self, compilation: Compilation, naming: Naming) -> None:
        self.compilation = compilation
        self.naming = naming
        self.pieces = compilation.pieces
        self.folds = self._folds()
        self.drawn, self.turn = self._drawn_pieces()
        self.readers = self._readers()
        self.edges = _Edges()
        self.maker: dict[str, int] = {}
        self.last_write: dict[int, int] = {}
        self.inputs: dict[str, str] = {}
        self.references: dict[int, list[str]] = {}
        self.size_names: dict[int, list[str]] = {}
        self.cut: dict[str, list[str]] = {}

    def _folds(self) -> list[dict[str, int]]:
        labels = [
            piece.unique_id or f"{SPLITTING_MARK}{piece.splitting_names}" for piece in self.pieces
        ]
        runs = [run for run in fold(labels) if run.count > 1]
        return [
            {"id": i, "first": run.start, "length": len(run.body), "count": run.count}
            for i, run in enumerate(runs)
        ]

    def _drawn_pieces(self) -> tuple[dict[int, int], dict[int, int]]:
        """Piece -> the piece that is drawn for it, and the number of its repetition."""
        drawn = {piece.index: piece.index for piece in self.pieces}
        turn = dict.fromkeys(drawn, 0)
        for each in self.folds:
            for offset in range(each["length"] * each["count"]):
                repetition, place = divmod(offset, each["length"])
                drawn[each["first"] + offset] = each["first"] + place
                turn[each["first"] + offset] = repetition
        return drawn, turn

    def _readers(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for piece in self.pieces:
            for name in piece.inputs:
                counts[name] = counts.get(name, 0) + 1
        return counts

    def view(self) -> dict[str, Any]:
        """The nodes, the edges, what was folded and what was cut."""
        for piece in self.pieces:
            self._read(piece)
            self.maker |= dict.fromkeys(piece.outputs, piece.index)
        outputs = self._outputs()
        nodes = [*self._input_nodes(), *self._reference_nodes()]
        nodes += [self._piece_node(piece) for piece in self.pieces if self._is_drawn(piece)]
        return {
            "nodes": [*nodes, *outputs],
            "edges": self.edges.rows(),
            "folds": self.folds,
            "cut": [
                {"value": self.naming.path(name), "readers": self.readers[name]}
                for name in self._cut_names()
            ],
        }

    def _is_drawn(self, piece: Piece) -> bool:
        return self.drawn[piece.index] == piece.index

    def _cut_names(self) -> list[str]:
        return list(dict.fromkeys(name for names in self.cut.values() for name in names))

    def _read(self, piece: Piece) -> None:
        target = f"p{self.drawn[piece.index]}"
        written = {node.name for node in effects.written_inputs(piece.graph)}
        for node in placeholders(piece.graph):
            name, value = node.name, example_value(node)
            if self.naming.is_weight(name):
                continue
            storage = effects.storage_of(node)
            writer = self.last_write.get(storage) if storage is not None else None
            if writer is not None:
                self._connect(writer, piece.index, "write", name)
            elif is_size(value):
                self._size(piece, name)
            elif self.readers[name] > MOST_READERS:
                self._refer(piece, name)
            elif name in self.maker:
                self._connect(self.maker[name], piece.index, "flow", name)
            elif name in self.naming.inputs:
                self.inputs[name] = self.naming.value(value)
                self.edges.add(f"i_{name}", target, "flow", name)
            if name in written and storage is not None:
                self.last_write[storage] = piece.index

    def _connect(self, source: int, target: int, kind: str, name: str) -> None:
        """Adds an edge; of a repeated body only what the first repetition shows."""
        first, second = f"p{self.drawn[source]}", f"p{self.drawn[target]}"
        if self._one_fold(source, target):
            if self.turn[source]:
                return
            if self.turn[target]:
                kind = "carried"
        elif self.turn[target]:
            return
        self.edges.add(first, second, kind, name)

    def _one_fold(self, a: int, b: int) -> bool:
        return any(
            each["first"] <= min(a, b)
            and max(a, b) < each["first"] + each["length"] * each["count"]
            for each in self.folds
        )

    def _size(self, piece: Piece, name: str) -> None:
        """A size that a piece reads stands in its label: an edge from it would go everywhere."""
        names = self.size_names.setdefault(self.drawn[piece.index], [])
        if name not in names:
            names.append(name)

    def _refer(self, piece: Piece, name: str) -> None:
        names = self.references.setdefault(self.drawn[piece.index], [])
        shown = self.naming.path(name)
        if shown not in names:
            names.append(shown)
        source = self.maker.get(name)
        made = self.cut.setdefault("inputs" if source is None else f"p{self.drawn[source]}", [])
        if name not in made:
            made.append(name)

    def _input_nodes(self) -> list[dict[str, Any]]:
        return [
            {"id": f"i_{name}", "kind": "input", "lines": [self.naming.path(name), text]}
            for name, text in self.inputs.items()
        ]

    def _reference_nodes(self) -> list[dict[str, Any]]:
        nodes = []
        for index, names in self.references.items():
            nodes.append(
                {"id": f"r{index}", "kind": "reference", "lines": [f"reads {listed(names, 4)}"]}
            )
            self.edges.add(f"r{index}", f"p{index}", "flow", "")
        return nodes

    def _piece_node(self, piece: Piece) -> dict[str, Any]:
        weights = sum(self.naming.is_weight(name) for name in piece.inputs)
        made = [name for name in self.cut.get(f"p{piece.index}", []) if name in piece.outputs]
        if piece.kind is PieceKind.SPLITTING:
            names = [_short_name(name) for name in piece.splitting_names]
            lines = [SPLITTING_MARK, shortened(listed(names, 2), 44)]
        else:
            parts = [counted(piece.node_count, "node")]
            parts += [counted(weights, "weight")] if weights else []
            sizes = self.size_names.get(piece.index, [])
            parts += [f"size{'' if len(sizes) == 1 else 's'} {', '.join(sizes)}"] if sizes else []
            lines = [str(piece.unique_id), ", ".join(parts)]
        if made:
            lines.append(f"makes {listed(made, 4)} for many")
        same = [each.index for each in self.pieces if self.drawn[each.index] == piece.index]
        number = next(
            (
                i
                for i, unique in enumerate(self.compilation.unique_pieces)
                if unique.unique_id == piece.unique_id
            ),
            None,
        )
        return {
            "id": f"p{piece.index}",
            "kind": piece.kind.value,
            "lines": lines,
            "colour": number,
            "pieces": same,
            "fold": next(
                (each["id"] for each in self.folds if self._inside(piece.index, each)), None
            ),
        }

    def _inside(self, index: int, each: Mapping[str, int]) -> bool:
        return each["first"] <= index < each["first"] + each["length"]

    def _outputs(self) -> list[dict[str, Any]]:
        names = [name for name in self.compilation.split.outputs if isinstance(name, str)]
        made = [name for name in dict.fromkeys(names) if name in self.maker]
        for name in made:
            self.edges.add(f"p{self.drawn[self.maker[name]]}", "output", "flow", name)
        text = counted(len(self.compilation.split.outputs), "value")
        return [{"id": "output", "kind": "output", "lines": ["output", text]}] if made else []


def _short_name(name: str) -> str:
    """``torch.nn.functional.silu`` is ``silu``; ``demo::attention``, ``module:layers.*`` stay."""
    return name if ":" in name else name.rpartition(".")[2]


# ------------------------------------------------------------------------------ the body of a piece


def body_view(piece: Piece, naming: Naming) -> dict[str, Any]:
    """The nodes of one piece; weights stand in their readers, items of tuples in their makers."""
    return _BodyGraph(piece, naming).view()


class _BodyGraph:
    """Builds the graph of one piece's nodes."""

    def __init__(self, piece: Piece, naming: Naming) -> None:
        self.graph = piece.graph
        self.naming = naming
        self.number = {node: i for i, node in enumerate(piece.graph.nodes)}
        self.edges = _Edges()
        self.nodes: list[dict[str, Any]] = []
        self.cut = [
            node.name
            for node in placeholders(piece.graph)
            if not naming.is_weight(node.name)
            and not is_size(example_value(node))
            and len(node.users) > MOST_READERS
        ]

    def view(self) -> dict[str, Any]:
        """The nodes and edges, and the inputs that were cut."""
        for node in self.graph.nodes:
            if node.op == "placeholder":
                self._input(node)
            elif node.op == "output":
                self._output(node)
            elif self._is_drawn(node):
                self._operation(node)
        return {"nodes": self.nodes, "edges": self.edges.rows(), "cut": self.cut}

    def _is_drawn(self, node: fx.Node) -> bool:
        return not (is_tuple_getitem(node) or is_size(example_value(node)) or node.op == "get_attr")

    def _id(self, node: fx.Node) -> str:
        while is_tuple_getitem(node):
            container = node.args[0]
            assert isinstance(container, fx.Node)
            node = container
        return f"b{self.number[node]}"

    def _input(self, node: fx.Node) -> None:
        value = example_value(node)
        if self.naming.is_weight(node.name) or is_size(value) or node.name in self.cut:
            return
        text = self.naming.value(value)
        self._add(node, "input", [self.naming.path(node.name), text])

    def _output(self, node: fx.Node) -> None:
        made = [each for each in node.all_input_nodes if not is_size(example_value(each))]
        if made:
            self._add(node, "output", ["output", counted(len(made), "value")])
            self._connect(node, made)

    def _operation(self, node: fx.Node) -> None:
        name = canonical_name(node)
        short = name.rpartition("::")[2] if "::" in name else _short_name(name)
        constants = ", ".join(self._constants(node))
        lines = [f"{short} {shortened(constants, 36)}".rstrip()]
        value = example_value(node)
        if value is not None:
            lines.append(f"{shortened(node.name, 28)}: {self.naming.value(value)}")
        weights = [each for each in node.all_input_nodes if self.naming.is_weight(each.name)]
        lines += [shortened(self.naming.path(each.name), 44) for each in weights]
        self._add(node, "op", lines)
        self.nodes[-1] |= {"op": name, "source": place_text(user_location(node))}
        self._connect(node, node.all_input_nodes)

    def _constants(self, node: fx.Node) -> list[str]:
        if canonical_name(node) == "operator.getitem":
            index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
            return [f"[{', '.join(self._constant(item) or 'None' for item in index)}]"]
        found = [text for value in node.args if (text := self._constant(value))]
        for key, value in node.kwargs.items():
            if text := self._constant(value):
                found.append(f"{key}={text}")
        return found

    def _constant(self, value: Any) -> str:
        """An argument that is no tensor, as text; empty for one that is, and for None."""
        if isinstance(value, fx.Node):
            known = example_value(value)
            return self.naming.size(known) if is_size(known) else ""
        if value is None:
            return ""
        if isinstance(value, tuple | list):
            parts = [self._constant(item) for item in value]
            return f"({', '.join(parts)})" if all(parts) and parts else ""
        if isinstance(value, slice):
            ends = (value.start, value.stop)
            return ":".join("" if end is None else self._constant(end) for end in ends)
        return str(value).removeprefix("torch.")

    def _add(self, node: fx.Node, kind: str, lines: list[str]) -> None:
        self.nodes.append({"id": self._id(node), "kind": kind, "lines": lines})

    def _connect(self, node: fx.Node, sources: Iterable[fx.Node]) -> None:
        target = self._id(node)
        cut = []
        for source in sources:
            value = example_value(source)
            if self.naming.is_weight(source.name) or is_size(value) or source.op == "get_attr":
                continue
            if source.name in self.cut:
                cut.append(self.naming.path(source.name))
            else:
                self.edges.add(self._id(source), target, "flow", source.name)
        if cut:
            reference = f"r{self.number[node]}"
            text = f"reads {listed(cut, 4)}"
            self.nodes.append({"id": reference, "kind": "reference", "lines": [text]})
            self.edges.add(reference, target, "flow", "")


__all__ = ["MOST_READERS", "Naming", "body_view", "graph_view"]
