"""The source view on a bare page: panes in step, gutter, tooltip, search, keyboard, themes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import explorer
from explorer.compilation import Compilation
from explorer.report.selection import Links
from explorer.session import session_of
from sample_models import branching, toy_llama
from tests.browser.stage import Stage
from widgets.source_view import SourceView

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

OpenStage = Callable[..., Stage]
SOURCE, FX, GENERATED = (f".pwx-pane-{name}" for name in ("source", "fx", "generated"))


@pytest.fixture(scope="module")
def toy() -> Compilation:
    target = toy_llama.sample(layers=4, hidden=32)
    config = target.compilation_config().replace(backend="eager", compile_sizes=())
    return session_of(target, config).update()


@pytest.fixture(scope="module")
def nested() -> Compilation:
    target = branching.sample("nested")
    return session_of(target, target.compilation_config().replace(backend="eager")).update()


def filled(compilation: Compilation, *, piece: int = 0, artifact: int = 0) -> SourceView:
    """A view with all three panes open and full."""
    view = SourceView(compilation)
    view.panes = ["source", "fx", "generated"]
    view.fill("fx", piece)
    view.fill("generated", artifact)
    return view


def texts(stage: Stage, selector: str) -> list[str]:
    return [each.strip() for each in stage.page.locator(selector).all_inner_texts()]


def line(stage: Stage, pane: str, text: str) -> Any:
    return stage.page.locator(f"{pane} .pwx-row", has_text=text).first


def select(stage: Stage, compilation: Compilation, kind: str, key: Any) -> None:
    stage.set("selection", Links(compilation).select(kind, key).view())


def place_of(compilation: Compilation, text: str) -> list[Any]:
    places = [place for piece in compilation.pieces for place in piece.source_lines]
    place = next(place for place in places if text in place.text)
    return [place.file, place.line]


# --------------------------------------------------------------------------------- what is to see


def test_lines_have_letters_numbers_and_marks(stage: OpenStage, nested: Compilation) -> None:
    shown = stage(SourceView(nested))
    test = line(shown, SOURCE, "if n > self.threshold:")
    assert test.locator(".pwx-mark").inner_text() == "?!"
    assert line(shown, SOURCE, "return projected * 3").locator(".pwx-mark").inner_text() == "×"
    assert line(shown, SOURCE, "self.project(x)").locator(".pwx-chip").inner_text() == "A"
    label = test.get_attribute("aria-label")
    assert label.startswith("line 54: if n > self.threshold: Test `n > self.threshold` was False")
    assert shown.errors == []


def test_a_splitting_line_is_hatched(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(SourceView(toy))
    row = line(shown, SOURCE, "torch.ops.demo.attention(")
    assert "pwx-split" in row.get_attribute("class")
    chip = row.locator(".pwx-hatched")
    assert chip.inner_text() == "×4"
    assert "gradient" in chip.evaluate("each => getComputedStyle(each).backgroundImage")


def test_text_on_the_page_is_the_text_of_the_file(stage: OpenStage, toy: Compilation) -> None:
    view = SourceView(toy)
    shown = stage(view)
    rows = [row["text"] for row in view.view["rows"] if row["kind"] == "line"]
    found = shown.page.locator(f"{SOURCE} .pwx-row[data-at] > .pwx-text").evaluate_all(
        "rows => rows.map((row) => row.textContent)"
    )
    assert found == rows


def test_panes_open_and_close_and_ask_for_what_they_need(
    stage: OpenStage, toy: Compilation
) -> None:
    view = SourceView(toy)
    view.panes = ["source"]
    shown = stage(view)
    assert shown.sent == []
    shown.page.get_by_role("button", name="Generated code").click()
    assert shown.sent == [{"intent": "open", "pane": "generated", "index": 0}]
    assert shown.page.evaluate("() => model.get('panes')") == ["source", "generated"]
    assert shown.page.locator(FX).is_hidden()
    assert shown.page.locator(GENERATED).is_visible()
    shown.page.get_by_role("button", name="Model source").click()
    shown.page.get_by_role("button", name="Generated code").click()
    assert shown.page.evaluate("() => model.get('panes')") == ["generated"], "one stays open"
    assert shown.errors == []


def test_a_pane_that_waits_says_so(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(SourceView(toy))
    assert texts(shown, f"{FX} .pwx-sentence") == ["Reading …"]
    shown.set("fx", {"piece": 0, "title": "", "rows": [], "problem": "There is none."})
    assert texts(shown, f"{FX} .pwx-sentence") == ["There is none."]


def test_nothing_compiled_yet_is_a_sentence(stage: OpenStage) -> None:
    view = SourceView()
    view.panes = ["source", "generated"]
    shown = stage(view)
    assert texts(shown, ".pwx-pane:not([hidden]) .pwx-sentence") == [
        "Nothing was compiled yet: the model's source is shown as soon as it was captured.",
        "No artifact was compiled yet: there is no generated code.",
    ]
    assert shown.errors == []


# ------------------------------------------------------------------------------------------- sync


def test_a_click_on_a_line_selects_it(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy, piece=2))
    line(shown, SOURCE, "return self.down(F.silu(gate) * up)").click()
    place = place_of(toy, "return self.down(F.silu(gate) * up)")
    assert shown.sent == [{"intent": "select", "kind": "line", "key": place}]
    assert texts(shown, f"{FX} .pwx-related .pwx-text")[0].startswith("# File: ")
    assert len(texts(shown, f"{FX} .pwx-related")) == 4


def test_a_line_that_is_linked_to_nothing_selects_nothing(
    stage: OpenStage, toy: Compilation
) -> None:
    shown = stage(filled(toy))
    line(shown, SOURCE, "class RMSNorm(nn.Module):").click()
    assert shown.sent == []


def test_a_click_on_an_fx_line_selects_its_node(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy, piece=2))
    row = line(shown, FX, "torch.nn.functional.silu(")
    row.click()
    (sent,) = shown.sent
    assert (sent["kind"], sent["key"].partition("/")[0]) == ("node", "2")
    select(shown, toy, "node", sent["key"])
    assert texts(shown, f"{SOURCE} .pwx-chosen .pwx-text") == [
        "return self.down(F.silu(gate) * up)"
    ]
    assert row.get_attribute("aria-selected") == "true"


def test_a_selection_from_outside_is_shown_and_scrolled_to_in_all_panes(
    stage: OpenStage, toy: Compilation
) -> None:
    b = next(i for i, each in enumerate(toy.artifacts) if each.unique_id == "B")
    shown = stage(filled(toy, piece=2, artifact=b))
    select(shown, toy, "line", place_of(toy, "return self.down(F.silu(gate) * up)"))
    for pane, text in ((SOURCE, "F.silu("), (FX, "nal.silu("), (GENERATED, "nal.silu(")):
        chosen = shown.page.locator(f"{pane} .pwx-chosen", has_text=text)
        assert chosen.count() == 1
        assert is_in_sight(chosen)
    assert shown.sent == []


def is_in_sight(row: Any) -> bool:
    return row.evaluate(
        """row => {
            const own = row.getBoundingClientRect();
            const body = row.closest(".pwx-code").getBoundingClientRect();
            return own.top >= body.top - 1 && own.bottom <= body.bottom + 1;
        }"""
    )


def test_its_own_click_does_not_scroll_its_own_pane(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy, piece=2))
    line(shown, SOURCE, "angles = positions").click()
    body = shown.page.locator(f"{SOURCE} .pwx-code")
    body.evaluate("each => { each.scrollTop = each.scrollHeight }")
    before = body.evaluate("each => each.scrollTop")
    select(shown, toy, "line", place_of(toy, "angles = positions"))
    assert body.evaluate("each => each.scrollTop") == before
    select(shown, toy, "line", place_of(toy, "return angles.cos(), angles.sin()"))
    assert body.evaluate("each => each.scrollTop") != before


def test_the_other_panes_follow_the_selected_piece(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy))
    c = next(i for i, each in enumerate(toy.artifacts) if each.unique_id == "C")
    select(shown, toy, "piece", 8)
    assert shown.sent == [
        {"intent": "open", "pane": "fx", "index": 8},
        {"intent": "open", "pane": "generated", "index": c},
    ]
    select(shown, toy, "unique", "C")
    assert len(shown.sent) == 2, "what is shown already is among them"
    select(shown, toy, "artifact", 0)
    assert shown.sent[2:] == [
        {"intent": "open", "pane": "fx", "index": 0},
        {"intent": "open", "pane": "generated", "index": 0},
    ]
    assert shown.page.get_by_role("combobox", name="Piece").input_value() == "0"


def test_choosing_a_piece_opens_and_selects_it(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy))
    shown.page.get_by_role("combobox", name="Piece").select_option("4")
    assert shown.sent == [
        {"intent": "open", "pane": "fx", "index": 4},
        {"intent": "select", "kind": "piece", "key": 4},
    ]


def test_choosing_a_range_opens_and_selects_the_artifact(
    stage: OpenStage, toy: Compilation
) -> None:
    view = filled(toy)
    shown = stage(view)
    chosen = view.view["artifacts"][1]
    shown.page.get_by_role("combobox", name="Artifact").select_option(chosen["label"])
    assert shown.sent == [
        {"intent": "open", "pane": "generated", "index": chosen["index"]},
        {"intent": "select", "kind": "artifact", "key": chosen["index"]},
    ]


def test_pointing_at_a_line_lights_up_what_it_became(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy, piece=0))
    line(shown, SOURCE, "return angles.cos(), angles.sin()").hover()
    assert len(texts(shown, f"{FX} .pwx-related")) == 3
    assert len(texts(shown, f"{GENERATED} .pwx-related")) == 2
    shown.page.mouse.move(5, 5)
    assert texts(shown, ".pwx-related") == []


def test_another_compilation_takes_the_place_of_the_first(
    stage: OpenStage, toy: Compilation, nested: Compilation
) -> None:
    shown = stage(filled(toy, piece=2))
    shown.set("fx", {})
    shown.set("generated", {})
    shown.set("view", SourceView(nested).view)
    assert line(shown, SOURCE, "if n > self.threshold:").count() == 1
    assert line(shown, SOURCE, "class RMSNorm").count() == 0
    assert shown.sent == [
        {"intent": "open", "pane": "fx", "index": 0},
        {"intent": "open", "pane": "generated", "index": 0},
    ]


# ---------------------------------------------------------------------------------------- tooltip


def test_a_tooltip_says_what_is_known_of_a_line(stage: OpenStage, nested: Compilation) -> None:
    shown = stage(SourceView(nested))
    tip = shown.page.get_by_role("tooltip")
    assert tip.is_hidden()
    line(shown, SOURCE, "if n > self.threshold:").hover()
    tip.wait_for()
    said = tip.inner_text()
    assert "Test `n > self.threshold` was False at the capture" in said
    assert "Condition n <= 512, made by a test in the model" in said
    shown.page.mouse.move(5, 5)
    assert tip.is_hidden()


@pytest.mark.parametrize("width", [700, 1000, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_sticks_out(stage: OpenStage, nested: Compilation, width: int, dark: bool) -> None:
    shown = stage(filled(nested), dark=dark, width=width)
    line(shown, SOURCE, "return projected * 11").hover()
    shown.page.get_by_role("tooltip").wait_for()
    wide = shown.page.evaluate(
        """() => {
            const right = document.getElementById("stage").getBoundingClientRect().right;
            const outside = (each) => each.getBoundingClientRect().right > right + 1;
            const all = document.querySelectorAll(".pwx-pane, .pwx-head > *, .pwx-bar *, .pwx-tip");
            return [...all].filter(outside).map((each) => each.className || each.tagName);
        }"""
    )
    assert wide == []


def test_a_dark_page_has_light_text(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy), dark=True)
    colour = """each => {
        const text = getComputedStyle(each).color; // rgb(255, 255, 255) or color(srgb 1 1 1)
        return text.match(/[\\d.]+/g).slice(0, 3).map((part) => part * (text[0] === "c" ? 255 : 1));
    }"""
    for selector in (f"{SOURCE} .pwx-keyword", f"{SOURCE} .pwx-string", f"{FX} .pwx-text"):
        parts = shown.page.locator(selector).first.evaluate(colour)
        assert max(parts) > 150


# --------------------------------------------------------------------------------------- keyboard


def test_the_keyboard_walks_linked_lines_and_selects(stage: OpenStage, nested: Compilation) -> None:
    shown = stage(SourceView(nested))
    page = shown.page
    page.get_by_label("Find in Model source").focus()
    page.keyboard.press("Tab")
    body = page.get_by_role("listbox", name="Lines of Model source")
    assert body.evaluate("each => each === document.activeElement")
    active = f"{SOURCE} .pwx-active .pwx-text"
    assert texts(shown, active) == ["projected = self.project(x)"]
    page.keyboard.press("ArrowDown")
    assert texts(shown, active) == ["if n > self.threshold:"]
    assert "Condition n <= 512" in page.get_by_role("tooltip").inner_text()
    described = body.get_attribute("aria-activedescendant")
    assert page.locator(f"#{described}").inner_text().endswith("if n > self.threshold:")
    page.keyboard.press("Enter")
    assert shown.sent[-1] == {
        "intent": "select", "kind": "line", "key": place_of_number(nested, 54)
    }  # fmt: skip
    page.keyboard.press("End")
    page.keyboard.press("Escape")
    assert shown.sent[-1] == {"intent": "select", "kind": "none", "key": None}


def place_of_number(compilation: Compilation, number: int) -> list[Any]:
    return [compilation.pieces[0].source_lines[0].file, number]


def test_a_search_counts_marks_and_walks(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(SourceView(toy))
    search = shown.page.get_by_label("Find in Model source")
    search.fill("FORWARD(")
    count = shown.page.locator(f"{SOURCE} .pwx-count")
    count.filter(has_text="1 of 6").wait_for()
    assert "".join(texts(shown, f"{SOURCE} mark")) == 6 * "forward("
    search.press("Enter")
    assert count.inner_text() == "2 of 6"
    search.press("Shift+Enter")
    search.press("Shift+Enter")
    assert count.inner_text() == "6 of 6"
    assert is_in_sight(shown.page.locator(f"{SOURCE} .pwx-hit"))
    search.fill("nowhere")
    search.press("Enter")
    count.filter(has_text="not found").wait_for()
    search.press("Escape")
    assert texts(shown, f"{SOURCE} mark") == []


# --------------------------------------------------------------------------- long and hostile text


def test_of_a_long_text_only_what_is_in_sight_is_in_the_page(
    stage: OpenStage, toy: Compilation
) -> None:
    view = filled(toy)
    rows = [{"kind": "line", "number": n, "text": f"line {n}"} for n in range(1, 10_001)]
    rows[9_000] |= {
        "select": ["node", "0/cosine"],
        "nodes": ["0/cosine"],
        "lines": [],
        "about": ["It."],
    }
    view.fx = {"piece": 0, "title": "long", "rows": rows, "problem": ""}
    shown = stage(view)
    count = f"{FX} .pwx-row"
    assert 20 < shown.page.locator(count).count() < 100
    select(shown, toy, "node", "0/cosine")
    chosen = shown.page.locator(f"{FX} .pwx-chosen")
    assert chosen.locator(".pwx-text").inner_text() == "line 9001"
    assert is_in_sight(chosen)
    shown.page.get_by_label("Find in FX of a piece").fill("line 4321")
    shown.page.locator(f"{FX} .pwx-hit").wait_for()
    assert is_in_sight(shown.page.locator(f"{FX} .pwx-hit"))
    assert shown.page.locator(count).count() < 100
    shown.page.locator(f"{FX} .pwx-code").focus()
    shown.page.keyboard.press("Home")
    assert is_in_sight(shown.page.locator(f"{FX} .pwx-active"))


class Chain(nn.Module):
    """Calls its children one after the other, whatever they are called."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():  # <img src=q onerror="window.hurt = 1">
            x = child(x).relu()
        return x


def test_hostile_text_is_text(stage: OpenStage) -> None:
    model = Chain()
    model.add_module('x"><img src=q onerror=alert(1)>', nn.Linear(4, 4))
    config = explorer.CompilationConfig(backend="eager", max_size=64)
    arguments: dict[str, Any] = {"dynamic_arg_dims": {"x": {0: "n"}}, "config": config}
    with torch.no_grad():
        compilation = explorer.Session(model, (torch.ones(8, 4),), **arguments).update()
    shown = stage(filled(compilation))
    assert line(shown, SOURCE, '# <img src=q onerror="window.hurt = 1">').count() == 1
    line(shown, FX, "onerror").hover()
    assert shown.page.locator("#stage img").count() == 0
    assert shown.page.evaluate("() => window.hurt") is None
    assert shown.errors == []


def test_clean_up_leaves_nothing_behind(stage: OpenStage, toy: Compilation) -> None:
    shown = stage(filled(toy))
    shown.page.evaluate("() => window.cleanUp()")
    assert shown.page.evaluate("() => document.getElementById('stage').childElementCount") == 0
    select(shown, toy, "piece", 8)
    assert shown.sent == []
    assert shown.errors == []
