"""One piece in, the graph of its nodes out, to draw: as plain data.

Weights stand in the nodes that read them, items of a tuple in the node that makes it, and an input
that many nodes read becomes a small reference beside each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import fx

from explorer.artifacts import Piece
from explorer.report.graph_parts import MOST_READERS, Edges, Naming, is_size, short_op_name
from explorer.report.wording import counted, listed, place_text, shortened
from explorer.stages.graphs import example_value, is_tuple_getitem, placeholders, user_location
from explorer.stages.op_names import canonical_name


def body_view(piece: Piece, naming: Naming) -> dict[str, Any]:
    """The nodes of one piece; weights stand in their readers, items of tuples in their makers."""
    return _BodyGraph(piece, naming).view()


class _BodyGraph:
    """Builds the graph of one piece's nodes."""

    def __init__(self, piece: Piece, naming: Naming) -> None:
        self.graph = piece.graph
        self.naming = naming
        self.number = {node: i for i, node in enumerate(piece.graph.nodes)}
        self.edges = Edges()
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
        constants = self.naming.constants(node)
        lines = [f"{short_op_name(name)} {shortened(constants, 36)}".rstrip()]
        value = example_value(node)
        if value is not None:
            lines.append(f"{shortened(node.name, 28)}: {self.naming.value(value)}")
        weights = [each for each in node.all_input_nodes if self.naming.is_weight(each.name)]
        lines += [shortened(self.naming.path(each.name), 44) for each in weights]
        self._add(node, "op", lines)
        self.nodes[-1] |= {"op": name, "source": place_text(user_location(node))}
        self._connect(node, node.all_input_nodes)

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
