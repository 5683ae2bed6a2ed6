"""A Compilation in, every node of every piece out, in columns: what the live graph draws.

Twenty thousand nodes travel, so each text stands once in a table and the nodes name it by its
number. Nodes are in an order in which every edge goes forward. Values that are read all over the
graph (rotary tables, sizes) are cut here, once: their readers name them and no edge is drawn.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import fx

from explorer.artifacts import InputKind, Piece, PieceKind, SourceLocation
from explorer.report.folding import SPLITTING_MARK
from explorer.report.graph_parts import MOST_READERS, Naming, is_size, short_name, short_op_name
from explorer.report.node_groups import Rows, Span, piece_spans
from explorer.report.selection import line_of
from explorer.report.wording import clean, counted, listed, place_text, shortened
from explorer.stages import effects
from explorer.stages.graphs import example_value, module_paths, placeholders, user_location
from explorer.stages.op_names import canonical_name

if TYPE_CHECKING:
    from explorer.compilation import Compilation

MOST_INPUTS_ON_TOP = 12
"""Of more inputs of the first piece each stands where it is read."""

MOST_OUTPUT_EDGES = 8
"""Of more values that are returned, only those of the last place keep their edges."""

BLOCK = 24
"""Nodes outside every numbered module count as one place for so many neighbours."""

LONGEST_TEXT = 300
"""Characters of any text of a model that travel."""


def node_view(compilation: Compilation) -> dict[str, Any]:
    """All nodes with their edges, and the spans (pieces, modules, repetitions) that hold them.

    Returns:
        ``name``, ``text`` (a sentence), and in columns: ``nodes`` (``name piece kind`` and, as
        numbers of a row in ``tables``, ``op value constants module place weights``), ``tables``
        (column -> rows), ``edges`` (``source target``, and ``written``: which of them are through
        memory that the source wrote), ``cut`` (``source``, ``readers``), ``spans`` (in preorder:
        ``kind start end parent``, and ``key``: index of the piece, number of the module, else -1),
        ``pieces`` (``label colour kind title note``). A node's id is ``piece/name``.
    """
    return _NodeView(compilation).view()


@dataclass
class _Table:
    """Texts (or rows), each once."""

    number: dict[Hashable, int] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)

    def add(self, key: Hashable, row: Any = None) -> int:
        """The number of a row; the key is the row where none is given."""
        found = self.number.get(key)
        if found is None:
            found = self.number[key] = len(self.rows)
            self.rows.append(key if row is None else row)
        return found


_TABLES = ("op", "value", "constants", "module", "place", "weights")


class _NodeView:
    """Builds the view: nodes first, then what was cut, then the spans."""

    def __init__(self, compilation: Compilation) -> None:
        self.compilation = compilation
        self.naming = _QuickNaming(compilation)
        self.pieces = compilation.pieces
        self.columns: dict[str, list[Any]] = {
            name: [] for name in ("name", "piece", "kind", *_TABLES)
        }
        self.tables = {name: _Table() for name in _TABLES}
        self.modules: list[tuple[str, ...]] = []
        self.sources: list[list[int]] = []
        self.written: list[set[int]] = []
        self.maker: dict[str, int] = {}
        self.writer: dict[int, int] = {}
        self.texts: dict[str, str] = {}
        self.guards = self._guards_per_line()

    def view(self) -> dict[str, Any]:
        """The whole view."""
        ranges = self._rows()
        cut = self._cut()
        columns = [self.columns[name] for name in ("kind", "op", "value", "constants")]
        labels = list(zip(*columns, self._weight_values, strict=True))
        spans = piece_spans(self.pieces, ranges, Rows(self.modules, labels, self.sources))
        pairs = [
            (source, target, source in self.written[target])
            for target, sources in enumerate(self.sources)
            for source in sources
            if (source, target) not in cut
        ]
        return {
            "name": clean(self.compilation.name),
            "text": self._sentence(),
            "nodes": self.columns,
            "tables": {name: table.rows for name, table in self.tables.items()},
            "edges": {
                "source": [source for source, _, _ in pairs],
                "target": [target for _, target, _ in pairs],
                "written": [i for i, (_, _, written) in enumerate(pairs) if written],
            },
            "cut": _by_source(cut),
            "spans": self._span_columns(spans),
            "pieces": [self._piece(piece) for piece in self.pieces],
        }

    def _sentence(self) -> str:
        nodes, pieces = len(self.modules), len(self.pieces)
        return f"{counted(nodes, 'node')} in {counted(pieces, 'piece')}"

    def _guards_per_line(self) -> dict[Any, int]:
        counts: dict[Any, int] = {}
        for guard in self.compilation.captured.guards:
            line = line_of(guard.location)
            if line is not None:
                counts[line] = counts.get(line, 0) + 1
        return counts

    # ------------------------------------------------------------------------------------ the nodes

    def _rows(self) -> list[tuple[int, int]]:
        """Adds every node; per piece its first and one after its last."""
        self._weight_values: list[Hashable] = []
        ranges = []
        if self.pieces:
            given = [each for each in placeholders(self.pieces[0].graph) if self._is_input(each)]
            for node in given if len(given) <= MOST_INPUTS_ON_TOP else ():
                self._input(self.pieces[0], node, ())
        for piece in self.pieces:
            start = len(self.modules)
            self._piece_rows(piece)
            ranges.append((start, len(self.modules)))
        self._output()
        return ranges

    def _is_input(self, node: fx.Node) -> bool:
        known = self.naming.inputs.get(node.name)
        if known is None or known.kind is InputKind.SIZE or self.naming.is_weight(node.name):
            return False
        return not is_size(example_value(node))

    def _piece_rows(self, piece: Piece) -> None:
        own: dict[fx.Node, int] = {}
        for node in piece.graph.nodes:
            if node.op == "placeholder":
                if node.name in self.maker:
                    own[node] = self.maker[node.name]
            elif node.op != "output":
                self._operation(piece, node, own)
        made = {node.name: row for node, row in own.items()}
        self.maker |= {name: made[name] for name in piece.outputs if name in made}

    def _operation(self, piece: Piece, node: fx.Node, own: dict[fx.Node, int]) -> None:
        modules = module_paths(node)
        read = node.all_input_nodes
        for each in read:
            if each.op == "placeholder" and each not in own and self._is_input(each):
                own[each] = self._input(piece, each, modules)
        weights = [each for each in read if self.naming.is_weight(each.name)]
        sources, written = self._sources(read, own)
        value = example_value(node)
        kind = "size" if is_size(value) else "attribute" if node.op == "get_attr" else "op"
        row = self._add(piece, node, kind, modules, sources, written)
        name = clean(canonical_name(node))
        self._set("op", name, [self._text(short_op_name(name)), self._text(name)])
        self._set("value", self._text("" if value is None else self.naming.value(value)))
        self._set("constants", self._text(self.naming.constants(node)))
        self._set("weights", self._text(", ".join(self.naming.path(each.name) for each in weights)))
        self._weight_values.append(tuple(self.naming.value(example_value(w)) for w in weights))
        for each in effects.written_nodes(node):
            storage = effects.storage_of(each)
            if storage is not None:
                self.writer[storage] = row
        own[node] = row

    def _sources(
        self, read: Iterable[fx.Node], own: Mapping[fx.Node, int]
    ) -> tuple[list[int], set[int]]:
        """The nodes that values come from: the last that wrote to their memory, else the maker."""
        found: dict[int, bool] = {}
        for each in read:
            made = own.get(each)
            storage = effects.storage_of(each) if self.writer else None
            last = self.writer.get(storage) if storage is not None else None
            if last is not None and (made is None or last > made):
                found[last] = True
            elif made is not None:
                found.setdefault(made, False)
        return list(found), {source for source, is_written in found.items() if is_written}

    def _input(self, piece: Piece, node: fx.Node, modules: tuple[str, ...]) -> int:
        row = self._add(piece, node, "input", modules, [], set())
        self._set("op", "input", ["input", "an input of the model"])
        self._set("value", self._text(self.naming.value(example_value(node))))
        self._set("constants", self._text(self.naming.path(node.name)))
        self._set("weights", "")
        self._weight_values.append(())
        self.maker[node.name] = row
        return row

    def _output(self) -> None:
        """The node that returns; the last piece's own output stands for it."""
        names = [name for name in self.compilation.split.outputs if isinstance(name, str)]
        made = list(dict.fromkeys(self.maker[name] for name in names if name in self.maker))
        if not made:
            return
        piece = self.pieces[-1]
        node = next(iter(reversed(piece.graph.nodes)))
        self._add(piece, node, "output", (), made, set())
        self._set("op", "output", ["output", "what the model returns"])
        self._set("value", counted(len(self.compilation.split.outputs), "value"))
        self._set("constants", "")
        self._set("weights", "")
        self._weight_values.append(())

    def _add(
        self,
        piece: Piece,
        node: fx.Node,
        kind: str,
        modules: tuple[str, ...],
        sources: list[int],
        written: set[int],
    ) -> int:
        place = user_location(node) if kind != "output" else None
        self.columns["name"].append(node.name)
        self.columns["piece"].append(piece.index)
        self.columns["kind"].append(kind)
        self._set("module", self._text(modules[-1] if modules else ""))
        self.columns["place"].append(self._place_number(place))
        self.modules.append(modules)
        self.sources.append(sources)
        self.written.append(written)
        return len(self.modules) - 1

    def _place_number(self, place: SourceLocation | None) -> int:
        """A line's row: file, line, place, code, conditions from it, and that in words."""
        line, table = line_of(place), self.tables["place"]
        if line in table.number:
            return table.number[line]
        if place is None:
            return table.add(None, ["", 0, "", "", 0, ""])
        texts = [self._text(place_text(place)), self._text(place.text)]
        count = self.guards.get(line, 0)
        guards = f"{counted(count, 'condition')} on sizes from this line" if count else ""
        return table.add(line, [place.file, place.line, *texts, count, guards])

    def _set(self, column: str, key: Hashable, row: Any = None) -> None:
        self.columns[column].append(self.tables[column].add(key, row))

    def _text(self, text: str) -> str:
        found = self.texts.get(text)
        if found is None:
            found = self.texts[text] = shortened(clean(text[: 2 * LONGEST_TEXT]), LONGEST_TEXT)
        return found

    # -------------------------------------------------------------------------------------- the cut

    def _cut(self) -> set[tuple[int, int]]:
        """(source, reader) for values that more places read than edges can be drawn for."""
        readers: dict[int, list[int]] = {}
        for target, sources in enumerate(self.sources):
            for source in sources:
                readers.setdefault(source, []).append(target)
        places = [self._place(node) for node in range(len(self.modules))]
        cut: set[tuple[int, int]] = set()
        for source, targets in readers.items():
            if len(targets) > MOST_READERS:
                far = [target for target in targets if places[target] != places[source]]
                if len({places[target] for target in far}) > MOST_READERS:
                    cut |= {(source, target) for target in far}
        returned = self.sources[-1] if self.columns["kind"][-1:] == ["output"] else []
        if len(returned) > MOST_OUTPUT_EDGES:
            last = places[max(returned)]
            far = [source for source in returned if places[source] != last]
            cut |= {(source, len(self.modules) - 1) for source in far}
        return cut

    def _place(self, node: int) -> Hashable:
        """The piece and the layer that a node is in; without a layer its neighbourhood."""
        layer = next((path for path in self.modules[node] if _is_numbered(path)), None)
        return self.columns["piece"][node], node // BLOCK if layer is None else layer

    # ------------------------------------------------------------------------------------ the spans

    def _span_columns(self, spans: list[Span]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            name: [] for name in ("kind", "start", "end", "parent", "key")
        }

        def add(span: Span, parent: int) -> None:
            key = span.key
            if span.kind == "module":
                key = self.tables["module"].add(self._text(str(span.key)))
            values = (span.kind, span.start, span.end, parent, -1 if key == "" else key)
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
            number = len(columns["kind"]) - 1
            for child in span.children:
                add(child, number)

        for span in spans:
            add(span, -1)
        return columns

    def _piece(self, piece: Piece) -> dict[str, Any]:
        uniques = self.compilation.unique_pieces
        number = next((i for i, u in enumerate(uniques) if u.unique_id == piece.unique_id), None)
        modules = dict.fromkeys((piece.modules[0], piece.modules[-1]) if piece.modules else ())
        note = [counted(piece.node_count, "node"), " … ".join(modules)]
        if piece.kind is PieceKind.SPLITTING:
            title = listed([short_name(clean(name)) for name in piece.splitting_names], 2)
        else:
            title = f"piece {piece.index}"
        return {
            "label": piece.unique_id or SPLITTING_MARK,
            "colour": number,
            "kind": piece.kind.value,
            "title": self._text(title),
            "note": self._text(" · ".join(text for text in note if text)),
        }


class _QuickNaming(Naming):
    """The same names; each size expression is put in words once."""

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(compilation)
        self._known: dict[Hashable, str] = {}

    def size(self, value: Any) -> str:
        """A size or an expression over sizes."""
        if type(value) is int:
            return str(value)
        key = getattr(getattr(value, "node", None), "expr", value)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = super().size(value)
        return found


def _is_numbered(path: str) -> bool:
    return path.rpartition(".")[2].isdigit()


def _by_source(cut: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
    readers: dict[int, list[int]] = {}
    for source, target in sorted(cut):
        readers.setdefault(source, []).append(target)
    return [{"source": source, "readers": targets} for source, targets in readers.items()]
