"""A deep model: 161 pieces stay readable."""

import json

import pytest

from explorer.report import graph_svg, html, node_text, node_view, text, views
from sample_models import toy_llama


@pytest.fixture(scope="module")
def deep(compile_target):
    target = toy_llama.sample(layers=80, hidden=16, heads=2)
    return compile_target(
        target, compile_ranges_endpoints=(8, 32), compile_sizes=(16, 64, 128), max_size=8192
    )


def test_summary_fits_a_screen(deep) -> None:
    lines = deep.summary().splitlines()
    assert len(lines) <= text.HEIGHT
    assert max(map(len, lines)) <= text.WIDTH
    assert "161 pieces, 81 compiled (3 unique), 80 splitting" in lines[0]
    assert "A ▨ (B ▨)×79 C" in deep.summary()


def test_graph_is_drawn_with_few_nodes(deep) -> None:
    view = views.graph_view(deep)["pieces"]
    assert len(view["nodes"]) < 12
    assert view["folds"][0]["count"] == 79
    picture = graph_svg.pieces_picture(view)
    assert picture.svg is None or "× 79" in picture.svg


def test_page_has_every_piece_and_each_code_once(deep) -> None:
    page = html.page(deep)
    assert page.count('<tr id="piece-') == 161
    assert page.count("def forward(") == 3
    assert len(page) < 1_000_000


def test_all_nodes_travel_in_little_room(deep) -> None:
    view = node_view.node_view(deep)
    assert len(view["nodes"]["name"]) > 4_000
    assert len(json.dumps(view)) < 500_000
    assert view["spans"]["kind"].count("body") == 79
    assert len(node_text.graph_text(view).splitlines()) < 200
