"""A graph view in, a static SVG out, laid out by Graphviz; or a sentence that says why not.

The picture needs nothing around it: colours are given in the SVG and work on light and dark ground;
a page may override them, each node has its kind and the number of its colour as classes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from xml.etree import ElementTree

from explorer.report.wording import counted, label_of, listed

MOST_NODES = 300
"""A graph of more nodes is not drawn."""

TIMEOUT_SECONDS = 10.0
"""A layout that takes longer is given up."""

PALETTE = ("#4c78a8", "#e58606", "#3d9a5f", "#c0518e", "#8a6fc9", "#b09a00", "#1ba3a3", "#d1495b")
"""Colours of unique pieces, in order; they start again after the last."""

GET_DOT = (
    "Graphviz is not installed (its program dot was not found), so graphs are not drawn; get it "
    "with `apt-get install graphviz`, `dnf install graphviz` or `brew install graphviz`."
)

_LONGEST_LINE = 60
_ELEMENTS = frozenset({"svg", "g", "polygon", "path", "polyline", "ellipse", "text", "title"})
_ATTRIBUTES = frozenset(
    (  # what dot writes, without ids and links
        *("viewBox", "class", "transform", "points", "d", "cx", "cy", "rx", "ry", "x", "y"),
        *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity"),
        *("text-anchor", "font-family", "font-size", "font-style", "font-weight"),
    )
)


@dataclass(frozen=True)
class Picture:
    """What became of a graph.

    Attributes:
        svg: the drawing, or None.
        text: a sentence: what the drawing shows, or why there is none.
    """

    svg: str | None
    text: str


def pieces_picture(view: Mapping[str, Any]) -> Picture:
    """The graph of pieces, repeated layers drawn once.

    Args:
        view: ``graph_view(...)["pieces"]``.
    """
    nodes = view["nodes"]
    direction = "LR" if len(nodes) <= 14 else "TB"
    return _picture(view, direction, _pieces_text(view), list(view["folds"]))


def body_picture(view: Mapping[str, Any], label: str) -> Picture:
    """The nodes of one unique piece.

    Args:
        view: ``graph_view(...)["bodies"][unique_id]``.
        label: its unique id.
    """
    count = sum(node["kind"] == "op" for node in view["nodes"])
    return _picture(
        view,
        "TB",
        f"The {counted(count, 'operation')} of piece {label}, from inputs to output.",
        [],
    )


def _pieces_text(view: Mapping[str, Any]) -> str:
    pieces = [node for node in view["nodes"] if node["kind"] in ("compiled", "splitting")]
    total = sum(len(node["pieces"]) for node in pieces)
    text = f"{counted(total, 'piece')} in execution order"
    if view["folds"]:
        times = listed([f"{each['count']} times" for each in view["folds"]], 4)
        text += f", drawn as {len(pieces)}: what repeats ({times}) is drawn once"
    cut = listed([each["value"] for each in view["cut"]], 6)
    return label_of(text + (f". Read by many, so without an edge: {cut}." if cut else "."))


def _picture(
    view: Mapping[str, Any], direction: str, text: str, folds: Sequence[Mapping[str, int]]
) -> Picture:
    count = len(view["nodes"])
    if count > MOST_NODES:
        return Picture(
            None,
            f"The graph has {count} nodes, more than the {MOST_NODES} that are drawn; "
            f"the tables hold all of it.",
        )
    if count == 0:
        return Picture(None, "The graph is empty.")
    svg, problem = run_dot(dot_source(view, direction, folds))
    if svg is None:
        return Picture(None, problem)
    return Picture(finished(svg, text), text)


# ---------------------------------------------------------------------------------------------- DOT


def dot_source(
    view: Mapping[str, Any], direction: str = "TB", folds: Sequence[Mapping[str, int]] = ()
) -> str:
    """The graph for Graphviz. Ids are made here; a model's text stands in escaped labels only."""
    import graphviz

    number = {node["id"]: f"n{i}" for i, node in enumerate(view["nodes"])}
    dot = graphviz.Digraph(
        graph_attr={
            "rankdir": direction,
            "bgcolor": "transparent",
            "ranksep": "0.35",
            "nodesep": "0.25",
            "margin": "0.05",
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "fontname": "Helvetica",
            "fontsize": "11",
            "height": "0.3",
            "margin": "0.1,0.05",
            "penwidth": "1",
        },
        edge_attr={"fontname": "Helvetica", "fontsize": "9", "arrowsize": "0.6"},
    )
    for node in view["nodes"]:
        if node.get("fold") is None:
            _add_node(dot, number[node["id"]], node)
    for each in folds:
        members = [node for node in view["nodes"] if node.get("fold") == each["id"]]
        cluster = graphviz.Digraph(
            name=f"cluster_{each['id']}",
            graph_attr={
                "label": f"× {each['count']}",
                "style": "rounded,dashed",
                "fontname": "Helvetica",
                "fontsize": "13",
                "class": "fold",
            },
        )
        for node in members:
            _add_node(cluster, number[node["id"]], node)
        dot.subgraph(cluster)
    for edge in view["edges"]:
        _add_edge(dot, number, edge)
    return dot.source


def _label(lines: Sequence[str]) -> str:
    """Lines of a label: each is drawn as written, whatever it holds."""
    import graphviz

    texts = [label_of(line, _LONGEST_LINE).replace("&", "&amp;") for line in lines]
    # dot reads entities, backslashes and <...>; a joined string is a plain one: mark it at last.
    return graphviz.nohtml("\\n".join(map(graphviz.escape, texts)))


def _add_node(dot: Any, name: str, node: Mapping[str, Any]) -> None:
    kind, colour = node["kind"], node.get("colour")
    attributes = {"fillcolor": "#80808018", "class": kind}
    if kind == "compiled" and colour is not None:
        place = colour % len(PALETTE)
        attributes |= {"fillcolor": f"{PALETTE[place]}40", "class": f"compiled colour{place}"}
        attributes |= {"color": PALETTE[place], "penwidth": "1.5"}
    elif kind == "splitting":
        attributes |= {"style": "dashed,filled", "fillcolor": "#80808030"}
    elif kind == "reference":
        attributes |= {"shape": "plaintext", "style": "", "fontsize": "9", "height": "0.15"}
    elif kind in ("input", "output"):
        attributes |= {"shape": "ellipse", "style": "filled"}
    dot.node(name, label=_label(node["lines"]), **attributes)


def _add_edge(dot: Any, number: Mapping[str, str], edge: Mapping[str, Any]) -> None:
    values = [value for value in edge["values"] if value]
    kind = edge["kind"]
    attributes = {"class": kind}
    if kind == "carried":
        attributes |= {"style": "dashed", "constraint": "false"}
    elif edge["source"].startswith("r"):
        attributes |= {"style": "dotted", "arrowhead": "none"}
    pieces_only = edge["source"].startswith("p") and edge["target"].startswith(("p", "output"))
    if pieces_only:
        words = {"write": ", written", "carried": ", to the next"}
        attributes["label"] = _label([listed(values, 2) + words.get(kind, "")])
    dot.edge(number[edge["source"]], number[edge["target"]], **attributes)


def run_dot(source: str, timeout: float = TIMEOUT_SECONDS) -> tuple[str | None, str]:
    """What ``dot`` makes of a source, or None and a sentence."""
    program = shutil.which("dot")
    if program is None:
        return None, GET_DOT
    try:
        done = subprocess.run(  # an argument list and no shell; the source goes through stdin
            [program, "-Tsvg"],
            input=source,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return None, f"The layout of the graph took longer than {timeout:g} s and was given up."
    except (subprocess.CalledProcessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return None, f"dot failed: {label_of(said[0] if said else error, 200)}."
    return done.stdout, ""


# ---------------------------------------------------------------------------------------------- SVG


def finished(svg: str, text: str) -> str:
    """The drawing cleaned for a page: known elements and attributes, a size that follows the page.

    Args:
        svg: output of ``dot``.
        text: what it shows, for those who cannot see it.
    """
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE.*?>", "", svg, flags=re.DOTALL))
    width = _pixels(root.get("width", "0"))
    style = (
        f"width:100%;max-width:{width}px;min-width:{min(width, round(0.55 * width))}px;height:auto"
    )
    inside = "".join(_element(child) for child in root)
    box = escape(root.get("viewBox", ""))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="100%" style="{style}" '
        f'role="img" aria-label="{escape(text)}">{inside}</svg>'
    )


def _pixels(points: str) -> int:
    number = re.match(r"[\d.]+", points)
    return round(float(number[0]) * 4 / 3) if number else 0


def _element(element: ElementTree.Element) -> str:
    name = element.tag.rpartition("}")[2]
    if name not in _ELEMENTS or name == "title":  # titles are the ids made above
        return "".join(_element(child) for child in element)
    attributes = {
        key: value for key, value in element.attrib.items() if key in _ATTRIBUTES
    } | _themed(name, element)
    text = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    inside = escape(element.text or "") if name == "text" else ""
    inside += "".join(_element(child) for child in element)
    return f"<{name}{text}>{inside}</{name}>" if inside else f"<{name}{text}/>"


def _themed(name: str, element: ElementTree.Element) -> dict[str, str]:
    """Black becomes the colour of the text around, which can be read on dark ground too."""
    found = {}
    for key in ("fill", "stroke"):
        if element.get(key) == "black":
            found[key] = "currentColor"
    if name == "text" and "fill" not in element.attrib:
        found["fill"] = "currentColor"
    return found
