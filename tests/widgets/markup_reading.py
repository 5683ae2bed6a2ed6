"""Reads HTML, so that a test can say which elements are there and what they say."""

from __future__ import annotations

from html.parser import HTMLParser

_TEXT = "h3 style strong dl dt dd div ol ul li span code pre details summary p"
_TABLE = "table caption thead tbody tr th td"
_PICTURE = "svg g polygon path polyline ellipse text title"

PASSIVE = frozenset(f"{_TEXT} {_TABLE} {_PICTURE}".split())
"""Elements that neither run nor load anything."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.roles: list[str] = []
        self.pieces: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.roles += [value or "" for name, value in attrs if name == "role"]
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.inside.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.inside:
            self.pieces.append(data)


class Read:
    """What a piece of HTML holds: tags, names of attributes, roles, and its text."""

    def __init__(self, html: str) -> None:
        reader = _Reader()
        reader.feed(html)
        reader.close()
        assert not reader.inside, f"not closed: {reader.inside}"
        self.tags, self.attributes, self.roles = reader.tags, reader.attributes, reader.roles
        self.text = " ".join("".join(reader.pieces).split())

    def assert_passive(self) -> None:
        """Nothing in it runs or loads anything."""
        assert self.tags <= PASSIVE
        assert not any(name.startswith("on") or name in ("src", "href") for name in self.attributes)
