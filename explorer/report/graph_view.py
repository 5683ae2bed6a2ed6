"""A Compilation in, nodes and edges to draw out, cut and folded so that a layout can cope.

Values that many pieces read (rotary tables, encoder memory), and sizes, would give every layered
layout an edge across the whole picture. They are cut: the piece that makes such a value says so in
its label, and each reader gets a small reference node; a size stands in the labels of the pieces
that read it. Repeated layers are folded: their pieces are drawn once, with the number of
repetitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.artifacts import Piece, PieceKind
from explorer.report.body_view import body_view
from explorer.report.folding import SPLITTING_MARK, fold
from explorer.report.graph_parts import MOST_READERS, Edges, Naming, is_size, short_name
from explorer.report.wording import counted, label_of, listed, shortened
from explorer.stages import effects
from explorer.stages.graphs import example_value, placeholders

if TYPE_CHECKING:
    from explorer.compilation import Compilation

_LONGEST_LINE = 200
"""Characters of a line in a node; a picture shows fewer."""


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
        "name": label_of(compilation.name),
        "pieces": _with_clean_lines(_PiecesGraph(compilation, naming).view()),
        "bodies": {
            unique.unique_id: _with_clean_lines(body_view(unique.representative, naming))
            for unique in compilation.unique_pieces
        },
    }


def _with_clean_lines(view: dict[str, Any]) -> dict[str, Any]:
    for node in view["nodes"]:
        node["lines"] = [label_of(line, _LONGEST_LINE) for line in node["lines"]]
    return view


class _PiecesGraph:
    """Builds the graph of pieces."""

    def __init__(self, compilation: Compilation, naming: Naming) -> None:
        self.compilation = compilation
        self.naming = naming
        self.pieces = compilation.pieces
        self.folds = self._folds()
        self.drawn, self.turn = self._drawn_pieces()
        self.readers = self._readers()
        self.edges = Edges()
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
            names = [short_name(name) for name in piece.splitting_names]
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
