"""The widget of the graph: what it sends to the page, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

import explorer
from explorer.report.node_view import node_view
from explorer.report.selection import Links
from explorer.session import session_of
from sample_models import toy_llama
from widgets.graph_view import GraphView


@pytest.fixture(scope="module")
def compilation() -> explorer.Compilation:
    target = toy_llama.sample(layers=3, hidden=32)
    return session_of(target, target.compilation_config().replace(backend="eager")).update()


def test_it_shows_a_compilation(compilation: explorer.Compilation) -> None:
    widget = GraphView()
    assert repr(widget) == "GraphView(no graph yet)"
    widget.overlay = {"title": "µs", "values": {"0": [1.0, "1.0 µs"]}}
    widget.show(compilation)
    assert widget.view == node_view(compilation)
    assert widget.text.startswith(f"toy_llama: {widget.view['text']}")
    assert widget.overlay == {}, "numbers of another compilation"
    assert repr(widget) == f"GraphView({widget.view['text']})"


def test_a_selection_and_an_overlay_do_not_send_the_graph_again(
    compilation: explorer.Compilation, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = GraphView()
    widget.show(compilation)
    sent: list[str] = []
    monkeypatch.setattr(widget, "send_state", lambda key=None: sent.append(str(key)))
    widget.selection = Links(compilation).select("piece", 2).view()
    widget.overlay = {"title": "µs", "values": {"2": [3.0, "3.0 µs"]}}
    assert sent and not any("view" in key for key in sent)


def test_a_click_is_an_intent_that_links_can_take(compilation: explorer.Compilation) -> None:
    widget = GraphView()
    widget.show(compilation)
    heard: list[Any] = []
    widget.on_intent(lambda _, intent: heard.append(intent))
    widget.act("select", kind="node", key="2/linear_1")
    selected = Links(compilation).select(heard[0]["kind"], heard[0]["key"])
    assert selected.pieces == (2,)


def test_its_script_is_one_module_without_imports() -> None:
    source = str(GraphView._esm)
    assert source.count("export default") == 1
    for line in source.splitlines():
        assert not line.startswith("import ")
    for word in ("innerHTML", "fetch(", "eval(", "XMLHttpRequest", "WebSocket"):
        assert word not in source


def test_the_style_names_only_its_own_class() -> None:
    for rule in str(GraphView._css).split("}"):
        selector = rule.rpartition("{")[0].rpartition("*/")[2].strip().removeprefix("@container")
        for part in selector.rpartition("{")[2].split(","):
            assert not part.strip() or part.strip().startswith(".pwx"), part
