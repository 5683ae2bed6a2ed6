"""Readers that take nothing on trust: what is in HTML, SVG, DOT and terminal text, or a failure."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "img", "br"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav"),
    *("section", "details", "summary", "h1", "h2", "h3", "p", "dl", "dt", "dd", "div", "ol", "ul"),
    *("li", "a", "span", "strong", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"),
    *("svg", "g", "polygon", "path", "ellipse", "text", "polyline", "figure", "figcaption", "img"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "id", "class", "style", "scope", "src"),
    *("title", "aria-label", "href", "open", "tabindex", "role", "xmlns", "viewbox", "width"),
    *("transform", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "points"),
    *("d", "cx", "cy", "rx", "ry", "x", "y", "text-anchor", "font-family", "font-size", "alt"),
    *("font-style", "font-weight", "stroke-opacity"),
}
_PLAIN_STYLE = re.compile(r"[-a-z0-9#%.:;,() \w]*")


class Page(HTMLParser):
    """Reads HTML, and fails at whatever could run, load or lead somewhere, or does not close.

    Attributes:
        text: of the elements that show some, without style sheets.
        hints: values of ``title`` and ``aria-label``.
        styles: the style sheets.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self._pieces: list[str] = []
        self.hints: list[str] = []
        self.styles: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"
        self.text = "".join(self._pieces)
        assert_clean(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice: {names}"
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.styles.append(data)
        else:
            self._pieces.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data[:60]!r}")

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html", decl

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data[:60]!r}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data[:60]!r}")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        assert name in ATTRIBUTES, name
        assert_clean(value)
        if name == "href":
            assert re.fullmatch(r"#[\w-]+", value), value
        if name == "src":
            assert tag == "img" and re.fullmatch(r"data:image/png;base64,[\w+/=]+", value)
        if name == "style":
            assert _PLAIN_STYLE.fullmatch(value) and "url" not in value, value
        if name == "http-equiv":
            assert value == "Content-Security-Policy", value
        if name in ("title", "aria-label"):
            self.hints.append(value)


def assert_clean(text: str, keep: str = "\n\t") -> None:
    """No control character, direction mark, invisible or illegal character is in a text."""
    bad = re.search(
        "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufdd0"
        "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]",
        text,
    )
    assert bad is None, f"{bad[0]!a} in {text[max(bad.start() - 40, 0) : bad.end() + 20]!a}"
    assert not (set("\n\t") - set(keep)) & set(text)


def read_svg(svg: str) -> str:
    """The text of a drawing that is well-formed XML of harmless elements and attributes."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        assert name in {"svg", "g", "polygon", "path", "polyline", "ellipse", "text"}, name
        for key, value in element.attrib.items():
            assert key.lower() in ATTRIBUTES - {"href", "src"}, key
            assert "url" not in value or key == "aria-label", value
    return " ".join(root.itertext())


def read_dot(source: str) -> list[str]:
    """The labels of the nodes and edges that Graphviz finds, in order.

    Nothing but our own ids names a node, and nothing links anywhere.
    """
    assert "label=<" not in _dot(source, "canon"), "read as HTML"
    graph = json.loads(_dot(source, "dot_json"), strict=False)
    found = []
    for each in [*graph.get("objects", []), *graph.get("edges", [])]:
        assert re.fullmatch(r"n\d+|cluster_\d+", each.get("name", "n0")), each["name"]
        assert not {"URL", "href", "tooltip", "target", "image", "shapefile"} & set(each)
        found.append(each.get("label", ""))
    return found


def _dot(source: str, form: str) -> str:
    done = subprocess.run(
        ["dot", f"-T{form}"], input=source, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout
