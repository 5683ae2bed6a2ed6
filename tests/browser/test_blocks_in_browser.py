"""Blocks on a page: they sort, select, send, scroll together, and stay fluid and inert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from explorer.report.blocks import (
    Action,
    Block,
    Cell,
    Choice,
    Choices,
    Code,
    Column,
    Facts,
    Heading,
    Notice,
    Row,
    Sentence,
    Sentences,
    Table,
)
from explorer.report.drawn_blocks import (
    AlignedStrips,
    Bar,
    Bars,
    Lines,
    Point,
    Series,
    StripCell,
)
from explorer.report.side_by_side import side_by_side
from tests.browser.stage import Stage
from widgets.block_view import BlockView

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

OpenStage = Callable[..., Stage]

HOSTILE = "x\"><img src=q onerror='window.hit=1'></script><script>window.hit=1</script>\u202eabc"


def open_blocks(stage: OpenStage, blocks: Sequence[Block], **options: Any) -> Stage:
    widget = BlockView("A view")
    widget.show(blocks)
    return stage(widget, **options)


def selection(kind: str, key: Any, **held: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        name: [] for name in ("pieces", "uniques", "nodes", "lines", "guards", "sites", "artifacts")
    }
    return {"kind": kind, "key": key, "text": "", **empty, **held}


def piece_table(count: int = 5) -> Table:
    """Rows that select pieces; a cell of each selects a group; nodes in no order."""
    columns = (Column("#", "number"), Column("piece", "letter"), Column("nodes", "number"))
    columns = (*columns, Column("time", "bar"), Column("spans", "code"), Column("note"))
    rows = tuple(
        Row(
            (
                Cell(str(index), index),
                Cell("AB"[index % 2], colour=index % 2, target=("unique", "AB"[index % 2])),
                Cell(str((index * 11) % count), (index * 11) % count),
                Cell(f"{index}.0 ms", float(index)) if index else Cell("not known"),
                Cell(f"layers.{index}.attention.output"),
                Cell("same", detail="as before", mark="same") if index == 2 else Cell("other"),
            ),
            ("piece", index),
        )
        for index in range(count)
    )
    return Table("Pieces", columns, rows)


def column(opened: Stage, number: int) -> list[str]:
    cells = opened.page.locator(f"tbody tr > td:nth-child({number + 1})")
    return [" ".join(text.split()) for text in cells.all_inner_texts()]


def all_blocks(text: str = "words") -> tuple[Block, ...]:
    points = (Point(1, 50.0, 40.0, 66.0, f"n = 1: {text}"), Point(64, 90.0, 90.0, 99.0, "n = 64"))
    more = (Point(1, 20.0, 20.0, 20.0, "n = 1: 20"), Point(64, 70.0, 60.0, 80.0, "n = 64: 70"))
    left = "\n".join(f"value_{n} = call_{n}(value, {n})" for n in range(60))
    right = left.replace("call_30(", "other(").replace("value_45 = call_45(value, 45)\n", "")
    strip = tuple(
        (StripCell("A", 0, text), StripCell("A", 0, text))
        if n % 3
        else (None, StripCell("▨", None, text))
        for n in range(40)
    )
    return (
        Heading(text),
        Sentence(text),
        Sentences((text, text)),
        Facts((("folder", text), ("holds", "3 entries"))),
        *(Notice(kind, text) for kind in ("info", "good", "warning", "error")),
        piece_table(),
        Table("Nothing", (Column("a"),), (), f"Nothing is here: {text}."),
        Choices((Choice("pick_a", "first", ((3, text), (4, "four")), 3),)),
        Action("measure", "Measure", field="sizes", value="1 8"),
        Action("ask", "Ask", False, "It is switched off."),
        Bars(
            "Seconds", (Bar("capture", 2.0, "2 s", 0), Bar("piece", 1.0, "1 s", None, ("piece", 1)))
        ),
        Lines("Latency", "size n", "µs", (Series("eager", points), Series("ranges", more))),
        AlignedStrips(("#0", "#1"), strip),
        Code("- gone\n+ new\n  same", "What changed", folded=True, is_diff=True),
        side_by_side((text, "right"), left, right),
    )


# ------------------------------------------------------------------------------------------- tables


def test_a_head_sorts_up_then_down_then_not_at_all(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(12),))
    head = opened.page.get_by_role("button", name="nodes")
    as_it_came = column(opened, 2)
    head.click()
    assert column(opened, 2) == sorted(as_it_came, key=int)  # as numbers: 2 before 10
    assert opened.page.locator("th[aria-sort=ascending]").inner_text().startswith("nodes")
    head.click()
    assert column(opened, 2) == sorted(as_it_came, key=int, reverse=True)
    head.click()
    assert column(opened, 2) == as_it_came
    assert opened.page.locator("th[aria-sort]").count() == 0


def test_cells_without_a_value_come_last_in_both_directions(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(),))
    head = opened.page.get_by_role("button", name="time")
    head.click()
    assert column(opened, 3) == ["1.0 ms", "2.0 ms", "3.0 ms", "4.0 ms", "not known"]
    head.click()
    assert column(opened, 3) == ["4.0 ms", "3.0 ms", "2.0 ms", "1.0 ms", "not known"]


def test_the_order_stays_when_the_data_is_replaced(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(),))
    opened.page.get_by_role("button", name="time").click()
    opened.set("view", {"blocks": [piece_table(7).view()]})
    assert column(opened, 3)[:2] == ["1.0 ms", "2.0 ms"]
    assert opened.page.evaluate("document.activeElement.textContent").startswith("time")


def test_a_row_and_a_cell_select_what_they_are(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(),))
    opened.page.locator("tbody tr").nth(3).locator("td").last.click()
    opened.page.locator("tbody tr").nth(3).get_by_role("button").click()
    assert opened.sent == [
        {"intent": "select", "kind": "piece", "key": 3},
        {"intent": "select", "kind": "unique", "key": "B"},
    ]


def test_a_selection_marks_what_belongs_to_it(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(),))
    opened.set("selection", selection("unique", "A", uniques=["A"], pieces=[0, 2, 4]))
    rows = opened.page.locator("tbody tr")
    chosen = [rows.nth(n).get_attribute("aria-selected") for n in range(5)]
    assert chosen == ["true", "false", "true", "false", "true"]
    letters = opened.page.locator("button.pwx-cell.pwx-selected")
    assert letters.all_inner_texts() == ["A", "A", "A"]
    assert opened.page.locator("tr.pwx-selected").count() == 0  # a piece is held, not chosen
    opened.set("selection", {})
    assert opened.page.locator(".pwx-held, .pwx-selected").count() == 0


def test_a_selection_from_elsewhere_is_scrolled_to_and_an_own_one_is_not(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(161),))
    scroll = opened.page.locator(".pwx-scroll")
    opened.set("selection", selection("piece", 150, pieces=[150]))
    top = scroll.evaluate("each => each.scrollTop")
    assert top > 1000
    opened.page.locator("tbody tr").nth(150).click()
    scroll.evaluate("each => { each.scrollTop = 0 }")
    opened.set("selection", selection("piece", 150, pieces=[150]))
    assert scroll.evaluate("each => each.scrollTop") == 0


def test_a_long_table_scrolls_under_its_head_and_stays_fluid(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(161),))
    scroll = opened.page.locator(".pwx-scroll")
    assert scroll.evaluate("each => each.clientHeight") < 450
    assert scroll.evaluate("each => each.scrollHeight") > 3000
    scroll.evaluate("each => { each.scrollTop = 2000 }")
    head, box = opened.page.locator("th").first.bounding_box(), scroll.bounding_box()
    assert head is not None
    assert box is not None
    assert abs(head["y"] - box["y"]) < 3
    for _ in range(30):  # nothing is drawn again for a selection, and rows keep their places
        opened.set("selection", selection("piece", 100, pieces=[100]))
    opened.page.get_by_role("button", name="nodes").click()
    assert column(opened, 2) == [str(n) for n in range(161)]
    assert opened.page.locator("tbody tr").count() == 161


def test_rows_are_one_tab_stop_that_arrows_move(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(),))
    page = opened.page
    page.get_by_role("button", name="note").focus()
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowDown", "Enter", "ArrowRight", " ", "Home", "End", "ArrowLeft"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    assert [(each["kind"], each["key"]) for each in opened.sent] == [
        ("piece", 2),
        ("unique", "A"),
        ("piece", 4),
    ]
    assert page.locator("tbody [tabindex='0']").count() == 1


def test_escape_selects_nothing(stage: OpenStage) -> None:
    opened = open_blocks(stage, (piece_table(),))
    opened.page.locator("tbody tr").nth(1).focus()
    opened.page.keyboard.press("Escape")
    assert opened.sent == []  # nothing was selected: the key is the page's
    opened.set("selection", selection("piece", 1, pieces=[1]))
    opened.page.keyboard.press("Escape")
    assert opened.sent == [{"intent": "select", "kind": "none", "key": None}]


# ---------------------------------------------------------------------------------- asking for more


def test_choosing_two_pieces_sends_their_indices_and_keeps_the_focus(stage: OpenStage) -> None:
    options = tuple((n, f"piece {n}: B") for n in range(161))
    pick = Choices(
        (Choice("compare_first", "first", options, 0), Choice("second", "second", options, 1))
    )
    opened = open_blocks(stage, (pick,))
    opened.page.get_by_label("first").select_option(label="piece 120: B")
    opened.page.get_by_label("second").select_option(label="piece 7: B")
    assert opened.sent == [
        {"intent": "compare_first", "value": 120},
        {"intent": "second", "value": 7},
    ]
    opened.page.get_by_label("second").focus()
    opened.set("view", {"blocks": [Heading("new").view(), pick.view()]})
    focus = "document.activeElement.dataset.focus"
    assert opened.page.evaluate(focus) == "choice/second"


def test_a_button_sends_the_text_of_its_field(stage: OpenStage) -> None:
    blocks = (
        Action("measure", "Measure", field="sizes", value="1 8"),
        Action("ask", "Ask", False, "The store is switched off."),
        Action("go", "Go"),
    )
    opened = open_blocks(stage, blocks)
    field = opened.page.get_by_label("sizes")
    field.fill("4 64")
    field.press("Enter")
    assert opened.page.get_by_role("button", name="Ask").is_disabled()
    assert opened.page.get_by_text("The store is switched off.").is_visible()
    opened.page.get_by_role("button", name="Go").click()
    assert opened.sent == [
        {"intent": "measure", "value": "4 64"},
        {"intent": "go", "value": None},
    ]
    opened.set("view", {"blocks": [blocks[0].view()]})
    assert field.input_value() == "4 64"  # what somebody typed outlives an answer


# ----------------------------------------------------------------------------------------- pictures


def test_points_of_a_plot_say_themselves_to_the_keyboard_and_the_pointer(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks())
    page = opened.page
    points = page.locator("[data-point]")
    assert points.count() == 4
    assert points.first.get_attribute("aria-label") == "eager: n = 1: words"
    status = page.locator(".pwx-point-text")
    points.first.focus()
    page.keyboard.press("ArrowRight")
    assert status.inner_text() == "eager: n = 64"
    points.nth(3).hover()
    assert status.inner_text() == "ranges: n = 64: 70"
    assert page.locator(".pwx-legend li").all_inner_texts() == ["eager", "ranges"]
    dashes = [
        each.get_attribute("stroke-dasharray") for each in page.locator(".pwx-plot .pwx-line").all()
    ]
    assert len(set(dashes)) == 2


def test_points_lie_where_their_numbers_say(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks())
    boxes = [each.bounding_box() for each in opened.page.locator("[data-point] .pwx-hit").all()]
    (eager, eager_64, ranges, ranges_64) = boxes
    assert eager["x"] == ranges["x"] < eager_64["x"] == ranges_64["x"]
    assert eager_64["y"] < ranges_64["y"] < eager["y"] < ranges["y"]  # 90, 70, 50, 20


def test_a_plot_follows_the_width(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks(), width=1000)
    drawing = opened.page.locator(".pwx-plot svg")
    before = drawing.evaluate("each => each.clientWidth")
    opened.page.evaluate("document.getElementById('stage').style.width = '700px'")
    opened.page.wait_for_function(
        "before => document.querySelector('.pwx-plot svg').clientWidth < before", arg=before
    )
    assert opened.errors == []


def test_a_bar_selects_and_shows_a_selection(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks())
    opened.page.locator(".pwx-bars button").click()
    assert opened.sent == [{"intent": "select", "kind": "piece", "key": 1}]
    opened.set("selection", selection("piece", 1, pieces=[1]))
    assert opened.page.locator(".pwx-bars button").get_attribute("aria-pressed") == "true"


def test_two_sources_mark_what_differs_and_scroll_together(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks())
    page = opened.page
    panes = page.locator(".pwx-source")
    assert panes.nth(0).locator("mark").all_inner_texts() == ["call_30"]
    assert panes.nth(1).locator("mark").all_inner_texts() == ["other"]
    assert panes.nth(0).locator(".pwx-line-left").count() == 1
    assert panes.nth(1).locator(".pwx-none").count() == 1
    assert "differs:" in panes.nth(0).locator(".pwx-line-changed").inner_text()
    panes.nth(0).evaluate("each => { each.scrollTop = 300 }")
    page.wait_for_function("() => document.querySelectorAll('.pwx-source')[1].scrollTop === 300")
    panes.nth(1).evaluate("each => { each.scrollTop = 100 }")
    page.wait_for_function("() => document.querySelectorAll('.pwx-source')[0].scrollTop === 100")
    heights = [each.evaluate("each => each.scrollHeight") for each in panes.all()]
    assert heights[0] == heights[1]  # line stays beside line


def test_next_difference_goes_from_one_to_the_next(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks())
    button = opened.page.get_by_role("button", name="Next difference")
    button.click()
    assert opened.page.get_by_text("difference 1 of 2").is_visible()
    first = opened.page.locator(".pwx-source").first.evaluate("each => each.scrollTop")
    button.click()
    assert opened.page.get_by_text("difference 2 of 2").is_visible()
    assert opened.page.locator(".pwx-source").first.evaluate("each => each.scrollTop") > first


# -------------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [700, 1000, 1400])
def test_nothing_reaches_over_the_edge(stage: OpenStage, dark: bool, width: int) -> None:
    opened = open_blocks(stage, all_blocks("some words of a sentence " * 5), dark=dark, width=width)
    opened.page.set_viewport_size({"width": width + 16, "height": 900})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width + 16
    over = opened.page.evaluate(
        """() => {
            const right = document.getElementById('stage').getBoundingClientRect().right + 0.5;
            const scrolled = '.pwx-scroll *, .pwx-source *, pre *, .pwx-spoken';
            return [...document.querySelectorAll('#stage *')]
                .filter((each) => !each.matches(scrolled))
                .filter((each) => each.getBoundingClientRect().right > right)
                .map((each) => each.className);
        }"""
    )
    assert over == []
    assert opened.errors == []


def test_colours_follow_the_theme(stage: OpenStage) -> None:
    ink = "getComputedStyle(document.querySelector('td')).color"
    paper = "getComputedStyle(document.querySelector('.pwx')).backgroundColor"
    light = open_blocks(stage, (piece_table(),))
    dark = open_blocks(stage, (piece_table(),), dark=True)
    assert dark.page.evaluate(paper) == "rgb(17, 17, 17)"
    assert dark.page.evaluate(ink) == "rgb(255, 255, 255)"
    assert light.page.evaluate(paper) == "rgb(255, 255, 255)"
    assert light.page.evaluate(ink) != dark.page.evaluate(ink)


def test_hostile_text_is_inert(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks(HOSTILE))
    page = opened.page
    assert page.evaluate("window.hit") is None
    assert page.locator("#stage img, #stage script").count() == 0
    assert "\u202e" not in page.locator("#stage").inner_text()
    assert opened.errors == []


def test_the_clean_up_leaves_nothing_behind(stage: OpenStage) -> None:
    opened = open_blocks(stage, all_blocks())
    opened.page.evaluate("window.kept = document.querySelector('#stage').firstChild")
    before = opened.page.evaluate("window.kept.outerHTML")
    opened.page.evaluate("window.cleanUp()")
    assert opened.page.locator("#stage > *").count() == 0
    opened.set("view", {"blocks": [piece_table().view()]})
    opened.set("selection", selection("piece", 1, pieces=[1]))
    assert opened.page.evaluate("window.kept.outerHTML") == before  # nobody draws into it
    assert opened.page.locator("#stage > *").count() == 0
    assert opened.errors == []
