"""The data of ``node_view`` in, the same for a terminal out, with repetitions folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from explorer.report.wording import counted, listed, shortened

WIDTH = 100
"""Columns of a node; its line of code stands behind them."""


def graph_text(view: Mapping[str, Any], *, most_lines: int | None = None) -> str:
    """Pieces in order, their modules and nodes, with what each reads, its shape and its line.

    Args:
        view: of ``node_view``.
        most_lines: of more lines the first are shown, and how many are missing is said.
    """
    lines = [f"{view['name']}: {view['text']}", *_GraphText(view).lines()]
    if most_lines is not None and len(lines) > most_lines:
        left = counted(len(lines) - most_lines, "more line")
        lines = [*lines[:most_lines], f"… and {left}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


class _GraphText:
    """Walks the spans in order."""

    def __init__(self, view: Mapping[str, Any]) -> None:
        self.nodes, self.tables = view["nodes"], view["tables"]
        self.spans, self.pieces = view["spans"], view["pieces"]
        self.children: dict[int, list[int]] = {}
        for number, parent in enumerate(self.spans["parent"]):
            self.children.setdefault(parent, []).append(number)
        self.reads: dict[int, list[int]] = {}
        for source, target in zip(view["edges"]["source"], view["edges"]["target"], strict=True):
            self.reads.setdefault(target, []).append(source)
        for each in view["cut"]:
            for target in each["readers"]:
                self.reads.setdefault(target, []).append(each["source"])

    def lines(self) -> Iterator[str]:
        """All lines but the first."""
        yield from self._inside(-1, 0, len(self.nodes["name"]), 0)

    def _inside(self, span: int, start: int, end: int, depth: int) -> Iterator[str]:
        position = start
        for child in self.children.get(span, []):
            yield from self._nodes(position, self.spans["start"][child], depth)
            yield from self._span(child, depth)
            position = self.spans["end"][child]
        yield from self._nodes(position, end, depth)

    def _span(self, number: int, depth: int) -> Iterator[str]:
        kind, key = self.spans["kind"][number], self.spans["key"][number]
        start, end = self.spans["start"][number], self.spans["end"][number]
        pad = "  " * depth
        if kind == "fold":
            yield from self._fold(number, depth)
            return
        if kind == "piece":
            piece = self.pieces[key]
            title = "" if piece["title"] == f"piece {key}" else f"  {piece['title']}"
            yield f"{pad}piece {key}  {piece['label']}{title}  {piece['note']}"
        else:
            yield f"{pad}{self.tables['module'][key]}"
        yield from self._inside(number, start, end, depth + 1)

    def _fold(self, number: int, depth: int) -> Iterator[str]:
        """The first body, and which ones are the same."""
        bodies, pad = self.children[number], "  " * depth
        yield f"{pad}× {len(bodies)}, shown once:"
        first = bodies[0]
        start, end = self.spans["start"][first], self.spans["end"][first]
        yield from self._inside(first, start, end, depth + 1)
        yield f"{pad}the same in {listed((self._body_name(each) for each in bodies[1:]), 6)}"

    def _body_name(self, number: int) -> str:
        """``pieces 4–5`` or ``layers.1``."""
        inside = self.children.get(number, [])
        kinds = {self.spans["kind"][each] for each in inside}
        keys = [self.spans["key"][each] for each in inside if self.spans["kind"][each] != "fold"]
        if kinds == {"piece"}:
            return f"piece {keys[0]}" if len(keys) == 1 else f"pieces {keys[0]}–{keys[-1]}"
        return str(self.tables["module"][keys[0]]) if keys else "nodes"

    def _nodes(self, start: int, end: int, depth: int) -> Iterator[str]:
        for node in range(start, end):
            yield self._node(node, "  " * depth)

    def _node(self, node: int, pad: str) -> str:
        row = {name: self.tables[name][self.nodes[name][node]] for name in self.tables}
        reads = [self.nodes["name"][source] for source in self.reads.get(node, [])]
        given = [listed(reads, 8) if reads else "", row["weights"], row["constants"]]
        name = shortened(self.nodes["name"][node], 40)
        if self.nodes["kind"][node] == "input":
            text = f"{pad}{name}: {row['value']} = input {row['constants']}"
        else:
            arguments = ", ".join(each for each in given if each)
            typed = f"{name}: {row['value']}" if row["value"] else name
            text = f"{pad}{typed} = {row['op'][0]}({arguments})"
        text = shortened(text, WIDTH)
        place = row["place"][2]
        return f"{text:<{WIDTH}}  {place}" if place else text
