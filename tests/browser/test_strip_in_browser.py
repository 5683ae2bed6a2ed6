"""What a person sees and does with the strip, and how high all controls are together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from explorer import Compilation, Session
from sample_models import toy_llama
from tests.browser.looking import LOOKS, assert_nothing_sticks_out, running_job, tabs, trait
from tests.browser.stage import Stage
from widgets.dims_editor import DimsEditor
from widgets.ops_editor import OpsEditor
from widgets.ranges_editor import RangesEditor
from widgets.strip_view import StripView

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Show = Callable[..., Stage]


@pytest.fixture(scope="module")
def session() -> Session:
    target = toy_llama.sample(layers=12, hidden=32)
    config = target.compilation_config().replace(
        backend="eager", compile_ranges_endpoints=(8, 64), compile_sizes=(16,)
    )
    session = Session(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        config=config,
    )
    session.update()
    return session


@pytest.fixture
def toy(session: Session) -> Compilation:
    return session.compilation


def strip_of(compilation: Compilation) -> StripView:
    strip = StripView()
    strip.show(compilation)
    return strip


def long_strip(count: int = 401) -> StripView:
    """As many pieces as a model of 200 layers has."""
    strip = StripView()
    cells = [
        {
            "index": index,
            "label": "▨" if index % 2 else "ABC"[index // 2 % 3],
            "unique_id": None if index % 2 else "ABC"[index // 2 % 3],
            "colour": None if index % 2 else index // 2 % 3,
            "nodes": 1 if index % 2 else 14,
            "title": f"piece {index}: something",
        }
        for index in range(count)
    ]
    strip.view = {"cells": cells, "legend": [], "more": "", "words": "", "text": f"{count} pieces"}
    return strip


def boxes_of(stage: Stage) -> list[dict[str, float]]:
    """Where each cell is, in one question to the page."""
    return stage.page.locator(".cell").evaluate_all(
        "(all) => all.map((each) => each.getBoundingClientRect().toJSON())"
    )


def select_piece(stage: Stage, index: int) -> None:
    selection = {"kind": "piece", "key": index, "pieces": [index], "uniques": ["B"]}
    stage.set("selection", selection)


@LOOKS
def test_every_piece_is_in_one_row_and_a_click_selects(
    stage: Show, toy: Compilation, dark: bool, width: int
) -> None:
    shown = stage(strip_of(toy), dark=dark, width=width)
    page = shown.page
    cells = page.get_by_role("option")
    assert cells.count() == 25
    boxes = boxes_of(shown)
    assert len({box["y"] for box in boxes}) == 1
    assert boxes[2]["width"] > 2 * boxes[1]["width"]
    assert abs(boxes[-1]["x"] + boxes[-1]["width"] - 8 - width) < 4  # the row is filled
    cells.nth(4).click()
    page.get_by_role("button", name="unique piece B: occurs 11×").click()
    assert shown.sent == [
        {"intent": "select", "kind": "piece", "key": 4},
        {"intent": "select", "kind": "unique", "key": "B"},
    ]
    assert_nothing_sticks_out(shown)


@pytest.mark.parametrize("width", [1000, 700])
def test_401_pieces_can_all_be_hit(stage: Show, width: int) -> None:
    shown = stage(long_strip(), width=width)
    cells = shown.page.get_by_role("option")
    assert cells.count() == 401
    boxes = boxes_of(shown)
    assert min(box["width"] for box in boxes) >= 9
    ends: dict[float, float] = {}  # of each row
    for box in boxes:
        ends[box["top"]] = box["right"]
    *full, last = ends.values()
    assert len(full) >= 4
    assert all(abs(end - 8 - width) < 2 for end in full)
    assert last <= 8 + width + 1
    assert shown.page.locator("#stage").bounding_box()["height"] < 200
    cells.nth(400).click()
    assert shown.sent[-1]["key"] == 400
    narrow = shown.page.locator(".cell.narrow span").first
    assert not narrow.is_visible()
    narrow.locator("..").hover()
    assert narrow.is_visible()
    assert_nothing_sticks_out(shown)


def test_keys_walk_rows_select_and_unselect(stage: Show) -> None:
    shown = stage(long_strip(), width=1000)
    page = shown.page
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    first = page.evaluate("() => document.activeElement.getBoundingClientRect().toJSON()")
    page.keyboard.press("ArrowDown")
    below = page.evaluate("() => document.activeElement.getBoundingClientRect().toJSON()")
    assert below["top"] > first["top"]
    assert abs(below["left"] - first["left"]) < 20
    page.keyboard.press("ArrowUp")
    assert page.evaluate("() => document.activeElement.dataset.index") == "2"
    assert page.locator(".detail").inner_text() == "piece 2: something"
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert shown.sent == [
        {"intent": "select", "kind": "piece", "key": 2},
        {"intent": "select", "kind": "none", "key": None},
    ]
    page.keyboard.press("End")
    assert page.evaluate("() => document.activeElement.dataset.index") == "400"


def test_a_selection_from_outside_is_shown_and_is_the_tab_stop(
    stage: Show, toy: Compilation
) -> None:
    shown = stage(strip_of(toy))
    page = shown.page
    select_piece(shown, 6)
    chosen = page.get_by_role("option", selected=True)
    assert [each.get_attribute("data-index") for each in chosen.all()] == ["6"]
    assert page.get_by_role("button", pressed=True, name="unique piece B").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.dataset.index") == "6"
    shown.set("selection", {})
    assert chosen.count() == 0


def test_a_selection_far_below_is_scrolled_to_but_not_after_a_click(stage: Show) -> None:
    shown = stage(long_strip(3001), width=700)
    page = shown.page
    scrolled = "() => document.querySelector('.cells').scrollTop"
    page.get_by_role("option").nth(5).click()
    page.evaluate("() => { document.querySelector('.cells').scrollTop = 200; }")
    select_piece(shown, 5)  # what the click brought back
    assert page.evaluate(scrolled) == 200
    select_piece(shown, 2900)
    assert page.evaluate(scrolled) > 300
    select_piece(shown, 0)
    assert page.evaluate(scrolled) < 100


@pytest.mark.parametrize("dark", [False, True])
def test_a_mark_is_a_sign_and_a_text(stage: Show, toy: Compilation, dark: bool) -> None:
    strip = strip_of(toy)
    strip.marks = {4: "<b>n != 4</b> was dropped"}
    strip.warning = "guards: 1 line, 1 of 8192 sizes wrong"
    shown = stage(strip, dark=dark)
    page = shown.page
    marked = page.locator(".cell.bad")
    assert marked.count() == 1
    assert "▲ <b>n != 4</b> was dropped" in marked.get_attribute("aria-label")
    sign = marked.evaluate("(each) => getComputedStyle(each, '::after').content")
    assert sign == '"▲"'
    page.get_by_role("button", name="guards: 1 line, 1 of 8192 sizes wrong").click()
    assert shown.sent == [{"intent": "open", "tab": "Guards"}]
    shown.set("marks", {})
    assert marked.count() == 0


def test_widths_show_time_once_something_was_measured(stage: Show, toy: Compilation) -> None:
    strip = strip_of(toy)
    shown = stage(strip)
    page = shown.page
    by_time = page.get_by_role("button", name="time", exact=True)
    assert by_time.is_disabled()
    assert by_time.get_attribute("title").startswith("Nothing was measured yet")
    strip.microseconds = [100.0, 900.0, *[10.0] * 22, None]
    shown.set("microseconds", strip.microseconds)
    shown.set("times", strip.times)
    by_time.click()
    assert trait(shown, "width_by") == "time"
    widths = [box["width"] for box in boxes_of(shown)]
    assert widths[1] > 4 * widths[0] > 4 * widths[2]
    assert page.get_by_role("option").nth(1).get_attribute("aria-label").endswith("; 900 µs")
    assert (
        page.get_by_role("button", name="time", exact=True).get_attribute("aria-pressed") == "true"
    )


def test_a_plan_is_dashed_and_selects_nothing(stage: Show, session: Session) -> None:
    strip = StripView()
    strip.show_plan(session.plan(splitting_ops=("module:layers.*.mlp",)))
    shown = stage(strip)
    page = shown.page
    assert page.get_by_text("planned, not compiled yet", exact=True).is_visible()
    cell = page.get_by_role("option").first
    assert cell.evaluate("(each) => getComputedStyle(each).borderTopStyle") == "dashed"
    cell.click()
    cell.press("Enter")
    cell.press("Escape")
    assert shown.sent == []
    select_piece(shown, 2)
    assert page.get_by_role("option", selected=True).count() == 0


def test_before_the_first_compile_there_is_a_sentence(stage: Show) -> None:
    assert stage(StripView()).page.get_by_text("Nothing was compiled yet").is_visible()


def test_the_strip_follows_its_width_and_ends_cleanly(stage: Show, toy: Compilation) -> None:
    shown = stage(strip_of(toy), width=1000)
    page = shown.page
    page.evaluate("() => { document.getElementById('stage').style.width = '600px'; }")
    # Cells that still have the widths for 1000 px wrap, which puts the last one left of 612 px too.
    page.wait_for_function(
        """() => {
            const cells = [...document.querySelectorAll('.cell')];
            const boxes = cells.map((cell) => cell.getBoundingClientRect());
            return boxes.at(-1).right < 612 && boxes.every((box) => box.top === boxes[0].top);
        }"""
    )
    page.evaluate("() => window.cleanUp()")
    assert page.evaluate("() => document.getElementById('stage').children.length") == 0
    shown.set("view", {})
    assert shown.errors == []


def test_the_controls_together_leave_the_screen_to_the_views(
    stage: Show, session: Session, toy: Compilation
) -> None:
    """Two inputs at 1000 px: dims beside ops, then ranges, the job, the strip, the tabs."""
    dims, ops = DimsEditor(), OpsEditor()
    dims.show(session.request)
    ops.show(toy)
    ops.value = ["demo::attention", "module:layers.*.mlp"]
    strip = strip_of(toy)
    strip.marks, strip.warning = {4: "dropped"}, "guards: 1 line, 1 of 8192 sizes wrong"
    ranges, job = RangesEditor(toy.config), running_job()

    def height(widget: Any, width: int = 1000) -> float:
        shown = stage(widget, width=width)
        return shown.page.locator("#stage").bounding_box()["height"]

    rows = [max(height(dims, 490), height(ops, 490)), *map(height, (ranges, job, strip, tabs()))]
    assert sum(rows) < 260
