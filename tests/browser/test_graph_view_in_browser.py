"""What a person sees of the graph and does with it, on a bare page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import explorer
from explorer.report.selection import Links
from explorer.session import session_of
from sample_models import toy_llama
from tests.browser.graph_views import layered_view
from tests.browser.stage import Stage
from widgets.graph_view import GraphView

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

OpenStage = Callable[..., Stage]
HOSTILE = '</style><img src=q onerror="window.pwned=1">\'\n'


@pytest.fixture(scope="module")
def compilation() -> explorer.Compilation:
    target = toy_llama.sample(layers=6, hidden=32)
    return session_of(target, target.compilation_config().replace(backend="eager")).update()


@pytest.fixture
def graph(stage: OpenStage, compilation: explorer.Compilation) -> Graph:
    widget = GraphView()
    widget.show(compilation)
    return Graph(stage(widget))


class Graph:
    """The widget on its page."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.page = stage, stage.page
        self.page.wait_for_function("() => document.getElementById('stage').graphStats.zoom > 0")
        self.canvas = self.page.locator("canvas").first

    @property
    def stats(self) -> dict[str, float]:
        """Of the last paint; the one that is due is waited for."""
        wait = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))"
        self.page.evaluate(wait)
        return self.page.evaluate("() => document.getElementById('stage').graphStats")

    def press(self, *keys: str) -> None:
        self.canvas.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def search(self, text: str) -> None:
        box = self.page.get_by_label("Find nodes")
        box.fill(text)
        box.press("Enter")

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def details(self) -> str:
        return self.page.get_by_role("region").inner_text()

    @property
    def current(self) -> str:
        return self.page.locator(".details h3 .name").inner_text()

    def listed(self) -> list[str]:
        """What a screen reader finds in sight."""
        self.page.wait_for_timeout(400)
        return self.page.locator(".list li").all_inner_texts()

    def click_on(self, text: str) -> None:
        """Clicks the middle of the box whose entry in the list begins so."""
        self.page.wait_for_timeout(400)
        key = self.page.locator(".list li").filter(has_text=re.compile(rf"^{text}")).first
        key = key.get_attribute("data-key")
        x, y = self.page.evaluate(
            """(key) => {
                const { camera, byKey } = document.getElementById('stage').graphPane;
                const box = byKey.get(key);
                return [camera.x + (box.x + box.width / 2) * camera.zoom,
                        camera.y + (box.y + box.height / 2) * camera.zoom];
            }""",
            key,
        )
        self.canvas.click(position={"x": x, "y": y})

    def selected(self) -> tuple[str, Any]:
        """What the last message selects."""
        message = self.stage.sent[-1]
        assert message["intent"] == "select"
        return message["kind"], message["key"]


def test_it_starts_readable_with_repetitions_drawn_once(graph: Graph) -> None:
    stats = graph.stats
    assert stats["zoom"] >= 0.6
    assert stats["boxes"] < 60
    assert stats["drawnNodes"] > 3
    graph.button("Pieces").click()
    entries = graph.listed()
    assert any(each.startswith("× 4 more the same, pieces 4–5 … pieces 10–11") for each in entries)
    assert [each for each in entries if each.startswith("B ")] == [
        next(each for each in entries if each.startswith("B piece 2"))
    ]
    assert graph.stage.errors == []


def test_a_click_selects_a_piece_and_a_second_one_on_its_sign_opens_it(graph: Graph) -> None:
    graph.button("Pieces").click()
    before = graph.stats["boxes"]
    graph.click_on("B piece 2")
    assert graph.selected() == ("piece", 2)
    assert graph.current == "B piece 2"
    graph.page.get_by_role("button", name="Open", exact=True).click()
    assert graph.stats["boxes"] > before
    graph.page.get_by_role("button", name="Close", exact=True).click()
    assert graph.stats["boxes"] == before


def test_groups_open_one_at_a_time_by_click_and_by_enter(graph: Graph) -> None:
    before = graph.stats["boxes"]
    graph.click_on("rotary")
    opened = graph.stats["boxes"]
    assert opened == before + 5, "the five nodes of rotary, in a frame"
    graph.press("Enter")
    assert graph.stats["boxes"] == before


def test_unfold_draws_every_repetition(graph: Graph) -> None:
    graph.button("Pieces").click()
    before = graph.stats["boxes"]
    graph.button("Unfold repeats").click()
    pieces = 13 + 3  # and two inputs, one output
    assert graph.stats["boxes"] == pieces > before
    graph.button("Unfold repeats").click()
    assert graph.stats["boxes"] == before


def test_one_repetition_unfolds_by_enter(graph: Graph) -> None:
    graph.button("Pieces").click()
    graph.click_on("× 4 more")
    assert graph.stats["boxes"] == 16


def test_search_counts_goes_and_opens_what_hides_a_hit(graph: Graph) -> None:
    graph.button("Pieces").click()
    graph.search("sigmoid_of_nothing")
    assert graph.page.locator(".found").inner_text() == "no hits"
    graph.search("layers.3.mlp.down")
    assert graph.page.locator(".found").inner_text() == "1 of 1 hit"
    assert "layers.3.mlp.down.weight" in graph.details
    current = graph.current
    assert any(each.startswith("linear") and current in each for each in graph.listed())
    graph.search("cosine")
    first = graph.current
    graph.page.get_by_label("Find nodes").press("Enter")
    second = graph.current
    assert first != second
    graph.page.get_by_label("Find nodes").press("Shift+Enter")
    assert graph.current == first


def test_arrows_follow_edges_and_enter_selects(graph: Graph) -> None:
    graph.button("All nodes").click()
    graph.search("silu")
    assert graph.current == "silu"
    graph.press("ArrowUp")
    assert graph.current == "gate"
    graph.press("ArrowDown", "ArrowDown")
    assert graph.current == "mul_13"
    sent = len(graph.stage.sent)
    graph.press("Enter")
    assert len(graph.stage.sent) == sent + 1
    assert graph.selected() == ("node", "2/mul_13")
    graph.press("Escape")
    assert graph.selected() == ("none", None)
    assert "Click a node" in graph.details


def test_keys_zoom_and_move_where_nothing_is_current(graph: Graph) -> None:
    start = dict(graph.stats)
    graph.press("+")
    assert graph.stats["zoom"] == pytest.approx(start["zoom"] * 1.25)
    graph.press("-", "-")
    assert graph.stats["zoom"] < start["zoom"]
    y = graph.stats["y"]
    graph.press("ArrowDown")
    assert graph.stats["y"] < y
    graph.press("0")
    assert graph.stats["zoom"] == pytest.approx(start["zoom"])
    assert graph.stats["y"] == pytest.approx(start["y"])


def test_details_walk_the_graph(graph: Graph) -> None:
    graph.search("rsqrt_1")
    details = graph.details
    for word in ("torch.rsqrt", "f32 n × 1", "layers.0.mlp_norm", "toy_llama.py:", "B · piece 2"):
        assert word in details
    graph.page.get_by_role("button", name="add_4", exact=True).click()
    assert graph.current == "add_4"
    graph.page.get_by_role("button", name="B · piece 2").click()
    assert graph.selected() == ("piece", 2)
    graph.page.get_by_role("button", name=re.compile(r"^toy_llama\.py:\d+$")).click()
    kind, (file, line) = graph.selected()
    assert kind == "line" and file.endswith("toy_llama.py") and line > 0


def test_a_selection_from_elsewhere_comes_into_sight(
    graph: Graph, compilation: explorer.Compilation
) -> None:
    graph.button("Pieces").click()
    node = next(
        f"{piece.index}/{each.name}"
        for piece in compilation.pieces
        for each in piece.graph.nodes
        if piece.index == 8 and each.name.startswith("silu")
    )
    selection = Links(compilation).select("node", node).view()
    graph.stage.set("selection", selection)
    assert graph.current == node.partition("/")[2]
    graph.stage.set("selection", Links(compilation).select("piece", 12).view())
    assert graph.current.startswith("C")
    assert graph.stats["goes"] == 2
    graph.stage.set("selection", {})
    assert "Click a node" in graph.details


def test_its_own_click_does_not_move_the_picture(
    graph: Graph, compilation: explorer.Compilation
) -> None:
    graph.button("Pieces").click()
    graph.click_on("C piece 12")
    before = dict(graph.stats)
    kind, key = graph.selected()
    graph.stage.set("selection", Links(compilation).select(kind, key).view())
    after = graph.stats
    assert (after["x"], after["y"], after["goes"]) == (before["x"], before["y"], before["goes"])


def test_a_cut_value_lights_its_references(graph: Graph) -> None:
    graph.button("Pieces").click()
    assert any("reads cosine, sine" in each for each in graph.listed())
    accent = accent_pixels(graph)
    lit = {
        "kind": "node",
        "key": "0/cosine",
        "nodes": ["0/cosine"],
        "pieces": [0],
        "text": "cosine",
    }
    graph.stage.set("selection", lit)
    graph.button("Start").click()
    assert accent_pixels(graph) > accent
    assert "mul_3" in graph.details, "the details name the readers without an edge"


def accent_pixels(graph: Graph) -> int:
    """Pixels of the canvas that are near the accent of the light theme, #1976d2."""
    assert graph.stats["paintMs"] >= 0
    return graph.page.evaluate(
        """() => {
            const canvas = document.querySelector('canvas');
            const context = canvas.getContext('2d');
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4) {
                const [r, g, b] = data.slice(at, at + 3);
                if (Math.abs(r - 25) + Math.abs(g - 118) + Math.abs(b - 210) < 60) count++;
            }
            return count;
        }"""
    )


def test_the_list_works_by_keyboard(graph: Graph) -> None:
    graph.listed()
    graph.page.locator(".list li[tabindex='0']").focus()
    graph.page.keyboard.press("ArrowDown")
    focused = graph.page.evaluate("() => document.activeElement.textContent")
    name = graph.current
    assert name.split(" ")[0] in focused
    assert graph.page.locator(".list").bounding_box()["width"] > 100, "whoever is in it sees it"
    option = graph.page.locator(".list li", has_text="rotary").first
    option.focus()
    before = graph.stats["boxes"]
    graph.page.keyboard.press("Enter")
    assert graph.stats["boxes"] > before


def test_the_wheel_belongs_to_the_page_until_somebody_works_here(graph: Graph) -> None:
    graph.page.evaluate("() => { document.body.style.height = '4000px'; }")
    zoom = graph.stats["zoom"]
    graph.page.mouse.move(200, 300)
    graph.page.mouse.wheel(0, 200)
    graph.page.wait_for_function("() => scrollY > 0")
    assert graph.stats["zoom"] == zoom
    graph.page.evaluate("() => scrollTo(0, 0)")
    graph.page.keyboard.down("Control")
    graph.page.mouse.wheel(0, 200)
    graph.page.keyboard.up("Control")
    assert graph.stats["zoom"] < zoom
    zoom = graph.stats["zoom"]
    graph.canvas.focus()
    graph.page.mouse.wheel(0, -200)
    assert graph.stats["zoom"] > zoom


def test_a_drag_moves_and_selects_nothing(graph: Graph) -> None:
    before = dict(graph.stats)
    box = graph.canvas.bounding_box()
    x, y = box["x"] + 300, box["y"] + 300
    graph.page.mouse.move(x, y)
    graph.page.mouse.down()
    graph.page.mouse.move(x + 40, y - 90, steps=4)
    graph.page.mouse.up()
    after = graph.stats
    assert after["x"] == pytest.approx(before["x"] + 40, abs=12)
    assert after["y"] == pytest.approx(before["y"] - 90, abs=25)
    assert graph.stage.sent == []


def test_a_resize_keeps_zoom_and_middle(graph: Graph) -> None:
    graph.press("+", "ArrowDown")
    before = dict(graph.stats)
    graph.page.evaluate("() => { document.getElementById('stage').style.width = '1200px'; }")
    after = graph.stats
    assert after["zoom"] == before["zoom"]
    assert after["x"] - before["x"] == pytest.approx(100, abs=1)
    assert after["y"] == before["y"]


@pytest.mark.parametrize("dark", [False, True])
def test_the_canvas_follows_the_theme(
    stage: OpenStage, compilation: explorer.Compilation, dark: bool
) -> None:
    widget = GraphView()
    widget.show(compilation)
    graph = Graph(stage(widget, dark=dark, width=700))
    assert corner(graph) == ([17, 17, 17] if dark else [255, 255, 255])
    graph.page.evaluate(
        """() => {
            document.body.style.setProperty('--jp-layout-color1', '#203040');
            document.body.dataset.jpThemeName = 'another';
        }"""
    )
    assert graph.stats["drawnNodes"] > 0
    assert corner(graph) == [32, 48, 64]


def corner(graph: Graph) -> list[int]:
    assert graph.stats["paintMs"] >= 0
    return graph.page.evaluate(
        """() => {
            const context = document.querySelector('canvas').getContext('2d');
            return [...context.getImageData(2, 2, 1, 1).data].slice(0, 3);
        }"""
    )


def test_numbers_lie_over_pieces(graph: Graph) -> None:
    graph.button("Pieces").click()
    values = {"0": [10.0, "10.0 µs"], "2": [40.0, "40.0 µs"]}
    graph.stage.set("overlay", {"title": "microseconds per piece", "values": values})
    assert "shown: microseconds per piece" in graph.page.locator(".status").inner_text()
    svg = saved_svg(graph)
    assert "10.0 µs" in svg and "40.0 µs" in svg


def test_svg_has_what_is_on_screen(graph: Graph) -> None:
    graph.button("Pieces").click()
    svg = saved_svg(graph)
    assert svg.startswith("<svg") and "demo::attention" in svg
    assert "× 4 more" in svg
    graph.search("embedding")
    assert "<script" not in svg


def saved_svg(graph: Graph) -> str:
    assert graph.stats["paintMs"] >= 0
    with graph.page.expect_download() as download:
        graph.button("SVG").click()
    assert download.value.suggested_filename == "graph.svg"
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_the_text_form_takes_the_place_of_the_picture(graph: Graph) -> None:
    graph.button("Text").click()
    text = graph.page.locator(".text-form").inner_text()
    assert "linear(flatten, layers.0.attention.output.weight)" in text
    assert not graph.canvas.is_visible()
    assert not graph.button("SVG").is_visible()
    graph.button("Text").click()
    assert graph.canvas.is_visible()


def test_nothing_overlaps_or_is_cut_off(
    stage: OpenStage, compilation: explorer.Compilation
) -> None:
    for width in (700, 1000, 1400):
        widget = GraphView()
        widget.show(compilation)
        graph = Graph(stage(widget, width=width))
        problems = graph.page.evaluate(
            """() => {
                const buttons = [...document.querySelectorAll('.bar button, .bar input')];
                const boxes = buttons.map((each) => each.getBoundingClientRect());
                const edge = document.getElementById('stage').getBoundingClientRect().right;
                const wide = buttons.filter((each) => each.scrollWidth > each.clientWidth + 1);
                const out = boxes.filter((box) => box.right > edge + 1);
                const over = boxes.filter((a, i) => boxes.some((b, j) => j > i &&
                    a.right > b.left + 2 && b.right > a.left + 2 &&
                    a.bottom > b.top + 1 && b.bottom > a.top + 1));
                return [wide.length, out.length, over.length];
            }"""
        )
        assert problems == [0, 0, 0], width


def test_twenty_thousand_nodes_draw_only_what_is_in_sight(stage: OpenStage) -> None:
    widget = GraphView()
    widget.show_view(layered_view(2_500))
    graph = Graph(stage(widget))
    graph.button("All nodes").click()
    stats = graph.stats
    assert stats["boxes"] > 25_000
    assert 0 < stats["drawnNodes"] < 60
    assert 0 < stats["drawnEdges"] < 120
    graph.press("PageDown", "PageDown", "-", "-")
    assert 0 < graph.stats["drawnNodes"] < 120
    graph.search("mean_2345")
    assert graph.current == "mean_2345"
    assert graph.stats["drawnNodes"] < 60
    graph.button("Fit").click()
    assert graph.stats["drawnNodes"] <= 1_500
    assert graph.stage.errors == []


def test_hostile_names_are_text(stage: OpenStage) -> None:
    widget = GraphView()
    widget.show_view(layered_view(3, hostile=HOSTILE))
    graph = Graph(stage(widget))
    graph.button("All nodes").click()
    graph.search("mean_1")
    assert "<img src=q" in graph.details
    assert any("<img" in each for each in graph.listed())
    graph.button("Text").click()
    assert graph.page.evaluate("() => window.pwned") is None
    assert graph.page.locator("img").count() == 0
    assert graph.stage.errors == []


def test_without_a_graph_it_says_so(stage: OpenStage) -> None:
    opened = stage(GraphView())
    assert opened.page.get_by_text("No graph is shown yet").is_visible()
    assert not opened.page.locator("canvas").first.is_visible()
    assert opened.errors == []


def test_its_end_leaves_nothing_running(graph: Graph) -> None:
    graph.page.evaluate("() => window.cleanUp()")
    graph.stage.set("view", {})
    graph.page.evaluate("() => { document.getElementById('stage').style.width = '800px'; }")
    graph.page.wait_for_timeout(300)
    assert graph.page.locator("canvas").first.is_visible(), "nobody heard of the change"
    assert graph.stage.errors == []
