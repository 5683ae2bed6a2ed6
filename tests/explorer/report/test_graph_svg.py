"""Static pictures: what dot is asked, and what becomes of its answer."""

import os
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest

from explorer.report import graph_svg, views

needs_dot = pytest.mark.skipif(
    not any((Path(folder) / "dot").exists() for folder in os.get_exec_path()),
    reason="Graphviz is not installed",
)


def node(name: str, *lines: str, kind: str = "op") -> dict:
    return {"id": name, "kind": kind, "lines": list(lines)}


def view_of(*nodes: dict, edges: tuple[tuple[str, str], ...] = ()) -> dict:
    rows = [{"source": a, "target": b, "kind": "flow", "values": ["v"]} for a, b in edges]
    return {"nodes": list(nodes), "edges": rows, "folds": [], "cut": []}


@pytest.fixture
def fake_dot(monkeypatch, tmp_path):
    """Puts a program of the given text in the place of dot."""

    def put(text: str) -> None:
        program = tmp_path / "dot"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


HOSTILE_LABELS = [
    "<script>alert(1)</script>",
    "<<b>oops>",
    '"]; n0 [URL="javascript:alert(1)"',
    r"back\slash \n \l",
    "a -> b { | }",
    "&amp; & <>",
    "bell\x07 and null\x00",
]


@needs_dot
@pytest.mark.parametrize("label", HOSTILE_LABELS)
def test_a_label_is_drawn_as_written(label: str) -> None:
    picture = graph_svg.body_picture(view_of(node("b0", label)), "A")
    assert picture.svg is not None
    root = ElementTree.fromstring(picture.svg)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == [label.replace("\x07", "").replace("\x00", "")]


@pytest.mark.parametrize("label", HOSTILE_LABELS)
def test_ids_in_the_source_are_made_here(label: str) -> None:
    source = graph_svg.dot_source(view_of(node(label, "x"), node("b", "y"), edges=((label, "b"),)))
    assert "n0 -> n1" in source
    assert "record" not in source


@needs_dot
def test_svg_has_a_view_box_follows_the_page_and_holds_nothing_active(toy) -> None:
    picture = graph_svg.pieces_picture(views.graph_view(toy)["pieces"])
    assert picture.svg is not None
    root = ElementTree.fromstring(picture.svg)
    assert root.get("viewBox")
    assert root.get("width") == "100%"
    assert root.get("role") == "img"
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "g", "polygon", "path", "ellipse", "text", "polyline"}
    attributes = {key for element in root.iter() for key in element.attrib}
    assert not attributes & {"id", "href", "onclick"}


@needs_dot
def test_svg_uses_the_colour_of_the_text_around_it(toy) -> None:
    picture = graph_svg.pieces_picture(views.graph_view(toy)["pieces"])
    assert picture.svg is not None
    assert "currentColor" in picture.svg
    assert '"black"' not in picture.svg


def test_picture_says_what_was_folded_and_cut(toy) -> None:
    picture = graph_svg.pieces_picture(views.graph_view(toy)["pieces"])
    if picture.svg is not None:
        assert picture.text == (
            "25 pieces in execution order, drawn as 5: what repeats (11 times) is drawn once. "
            "Read by many, so without an edge: cosine, sine."
        )


@needs_dot
def test_hostile_module_names_stay_text(hostile) -> None:
    for name, body in views.graph_view(hostile)["bodies"].items():
        picture = graph_svg.body_picture(body, name)
        assert picture.svg is not None
        assert "<img" not in picture.svg
        assert "&lt;img src=q" in picture.svg


def test_without_dot_there_is_a_sentence_that_says_how_to_get_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    picture = graph_svg.body_picture(view_of(node("b0", "x")), "A")
    assert picture.svg is None
    assert "apt-get install graphviz" in picture.text


def test_a_layout_that_takes_too_long_is_given_up(fake_dot) -> None:
    fake_dot("exec sleep 30")
    assert graph_svg.run_dot("digraph {}", timeout=0.2) == (
        None,
        "The layout of the graph took longer than 0.2 s and was given up.",
    )


def test_an_error_of_dot_becomes_a_sentence(fake_dot) -> None:
    fake_dot("echo 'syntax error <b>' >&2; exit 1")
    assert graph_svg.run_dot("digraph {}") == (None, "dot failed: syntax error <b>.")


def test_a_large_graph_is_left_out_in_words() -> None:
    view = view_of(*(node(f"b{i}", "x") for i in range(301)))
    picture = graph_svg.body_picture(view, "A")
    assert picture.svg is None
    assert "301 nodes, more than the 300 that are drawn" in picture.text


def test_an_empty_graph_is_said_to_be_empty() -> None:
    assert graph_svg.body_picture(view_of(), "A").text == "The graph is empty."
