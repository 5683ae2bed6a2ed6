"""What a person does with the editors, the tabs and the job line, without a kernel behind them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from explorer import CompilationConfig
from explorer.stages.capture import CaptureRequest
from tests.browser.lab import OpenPage
from tests.browser.looking import LOOKS, assert_nothing_sticks_out, running_job, tabs, trait
from tests.browser.stage import Stage
from widgets.dims_editor import DimsEditor
from widgets.ops_editor import OpsEditor
from widgets.ranges_editor import RangesEditor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Show = Callable[..., Stage]
HOSTILE = '<img src=x onerror="document.title=1">\u202e'


class Add(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


def dims_editor(**settings: Any) -> DimsEditor:
    editor = DimsEditor()
    editor.show(CaptureRequest(Add(), (torch.ones(4, 3), torch.ones(4, 3)), {}, **settings))
    return editor


def many_dims() -> DimsEditor:
    def model(batch: Any) -> Any:
        return sum(each.sum() for each in batch.values())

    batch = {f"field_{number}": torch.ones(4, 3) for number in range(39)} | {HOSTILE: torch.ones(4)}
    editor = DimsEditor()
    editor.show(CaptureRequest(model, (batch,), {}, {"batch['field_7']": {0: "n"}}))
    return editor


def focused(stage: Stage) -> str:
    return stage.page.evaluate("() => document.activeElement.textContent")


# --------------------------------------------------------------------------------------------- dims


@LOOKS
def test_a_dim_is_made_static_and_another_gets_a_name(stage: Show, dark: bool, width: int) -> None:
    shown = stage(
        dims_editor(dynamic_arg_dims={"x": {0: "n"}, "y": {0: "n"}}), dark=dark, width=width
    )
    page = shown.page
    assert page.get_by_text("= ×2").count() == 2
    page.get_by_label("Mode of x[1], size 3 in the example").select_option("unbacked")
    name = page.get_by_label("Name of the size of x[1], size 3 in the example")
    name.fill("width")
    name.press("Enter")
    page.get_by_label("Mode of y[0], size 4 in the example").select_option("static")
    assert trait(shown, "draft") == {
        "x": {"0": {"mode": "dynamic", "name": "n"}, "1": {"mode": "unbacked", "name": "width"}}
    }
    assert page.get_by_text("= ×2").count() == 0
    assert_nothing_sticks_out(shown)


def test_dims_that_are_inferred_are_shown_and_become_given_by_an_edit(stage: Show) -> None:
    shown = stage(dims_editor())
    page = shown.page
    assert page.get_by_text("inferred from the signature:").is_visible()
    assert page.get_by_label("Mode of x[0], size 4 in the example").input_value() == "dynamic"
    page.get_by_label("Mode of x[0], size 4 in the example").select_option("static")
    assert trait(shown, "draft") == {"y": {"0": {"mode": "dynamic", "name": ""}}}
    assert not page.get_by_text("inferred from the signature:").is_visible()
    page.get_by_role("button", name="infer").click()
    assert trait(shown, "draft") is None
    assert page.get_by_label("Mode of x[0], size 4 in the example").input_value() == "dynamic"


def test_a_message_is_an_alert_and_its_box_is_marked(stage: Show) -> None:
    editor = dims_editor()
    editor.draft = {"x": {"0": {"mode": "dynamic", "name": "2x"}}}
    shown = stage(editor)
    page = shown.page
    assert page.get_by_role("alert").inner_text().startswith("⚠ x[0] is called '2x'")
    name = page.get_by_label("Name of the size of x[0], size 4 in the example")
    assert name.get_attribute("aria-invalid") == "true"
    assert name.input_value() == "2x"
    shown.set("message", "")
    shown.set("faulty", [])
    assert not page.get_by_role("alert").is_visible()
    assert name.get_attribute("aria-invalid") is None


def test_a_name_that_is_being_typed_stays_when_something_else_changes(stage: Show) -> None:
    shown = stage(dims_editor(dynamic_arg_dims={"x": {0: "n"}}))
    name = shown.page.get_by_label("Name of the size of x[0], size 4 in the example")
    name.fill("batch_si")
    shown.set("summary", "something else")
    assert name.input_value() == "batch_si"
    name.press_sequentially("ze")
    name.press("Tab")
    assert trait(shown, "draft") == {"x": {"0": {"mode": "dynamic", "name": "batch_size"}}}


def test_a_call_with_many_tensors_is_folded_and_searched(stage: Show) -> None:
    shown = stage(many_dims())
    page = shown.page
    rows = page.get_by_role("row")
    assert rows.count() == 1
    page.get_by_role("button", name="show 39 static ones").click()
    assert rows.count() == 40
    assert page.evaluate("() => document.title") == ""
    assert "\u202e" not in page.inner_text("#stage")
    page.get_by_label("Find a tensor").fill("onerror")
    assert rows.count() == 1
    page.get_by_label(r"Mode of batch").select_option("dynamic")
    assert f"batch[{HOSTILE!r}]" in trait(shown, "draft")
    page.get_by_label("Find a tensor").fill("nothing of the kind")
    assert page.get_by_text("No tensor is called so.").is_visible()
    assert page.locator("#stage").bounding_box()["height"] < 230
    assert shown.errors == []


def test_a_disabled_editor_takes_no_edit(stage: Show) -> None:
    shown = stage(dims_editor())
    shown.set("disabled", True)
    assert shown.page.get_by_label("Mode of x[0], size 4 in the example").is_disabled()
    shown.set("disabled", False)
    assert shown.page.get_by_label("Mode of x[0], size 4 in the example").is_enabled()


def test_without_a_call_there_is_a_sentence(stage: Show) -> None:
    assert stage(DimsEditor()).page.get_by_text("no call is known yet").is_visible()


# ---------------------------------------------------------------------------------------------- ops

CHOICES = [
    {"name": name, "label": name, "kind": "op", "count": count, "text": f"op, {count} calls"}
    for name, count in [
        ("demo::attention", 12),
        ("module:layers.*.attention", 12),
        ("torch.nn.functional.silu", 3),
        (f"module:{HOSTILE}", 1),
    ]
]


def ops_editor(*names: str) -> OpsEditor:
    return OpsEditor(value=list(names), choices=CHOICES)


@LOOKS
def test_an_op_is_completed_by_keyboard(stage: Show, dark: bool, width: int) -> None:
    shown = stage(ops_editor("demo::attention"), dark=dark, width=width)
    page = shown.page
    box = page.get_by_role("combobox")
    box.click()
    options = page.get_by_role("option")
    assert options.count() == 3  # the one that is chosen is not offered
    box.press_sequentially("att")
    assert options.all_inner_texts() == ["module:layers.*.attention\nop, 12 calls"]
    box.press("ArrowDown")
    assert options.first.get_attribute("aria-selected") == "true"
    assert box.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    page.screenshot()
    box.press("Enter")
    assert trait(shown, "draft") == ["demo::attention", "module:layers.*.attention"]
    assert box.input_value() == ""
    assert box.get_attribute("aria-expanded") == "false"
    assert_nothing_sticks_out(shown)


def test_arrows_go_round_and_escape_closes_then_empties(stage: Show) -> None:
    shown = stage(ops_editor())
    page = shown.page
    box = page.get_by_role("combobox")
    box.click()
    box.press("ArrowUp")
    assert page.get_by_role("option").last.get_attribute("aria-selected") == "true"
    box.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") is None
    box.fill("si")
    box.press("Escape")
    assert not page.get_by_role("listbox").is_visible()
    assert box.input_value() == "si"
    box.press("Escape")
    assert box.input_value() == ""
    assert trait(shown, "draft") == []


def test_free_text_becomes_a_chip_by_enter_comma_or_leaving(stage: Show) -> None:
    shown = stage(ops_editor())
    box = shown.page.get_by_role("combobox")
    box.fill("my::op")
    box.press("Enter")
    box.press_sequentially("F.silu,")
    box.press_sequentially("left")
    box.press("Tab")
    assert trait(shown, "draft") == ["my::op", "F.silu", "left"]
    box.focus()
    box.press("Backspace")
    assert trait(shown, "draft") == ["my::op", "F.silu"]
    shown.page.get_by_role("button", name="Remove my::op").click()
    assert trait(shown, "draft") == ["F.silu"]
    assert focused(shown) == "✕"


def test_a_paste_of_two_names_makes_two_chips(stage: Show) -> None:
    shown = stage(ops_editor())
    shown.page.get_by_role("combobox").focus()
    shown.page.evaluate(
        """() => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "a::b, module:layers.*.mlp");
            document.activeElement.dispatchEvent(
                new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
        }"""
    )
    assert trait(shown, "draft") == ["a::b", "module:layers.*.mlp"]


def test_a_click_takes_an_offer_and_hostile_names_are_inert(stage: Show) -> None:
    shown = stage(ops_editor("x" * 500))
    page = shown.page
    page.get_by_role("combobox").click()
    page.get_by_role("option").last.click()
    assert trait(shown, "draft") == ["x" * 500, f"module:{HOSTILE}"]
    chips = page.get_by_role("listitem").all_inner_texts()
    assert chips[0].startswith("x" * 47 + "…")
    assert chips[1].startswith("module:<img src=x")
    assert "\u202e" not in chips[1]
    assert page.evaluate("() => document.title") == ""
    assert_nothing_sticks_out(shown)


def test_keys_that_are_typed_do_not_reach_the_notebook(stage: Show) -> None:
    shown = stage(ops_editor())
    page = shown.page
    page.evaluate("() => { window.keys = []; addEventListener('keydown', e => keys.push(e.key)); }")
    box = page.get_by_role("combobox")
    box.press_sequentially("ab")
    box.press("ArrowDown")
    box.press("Enter")
    assert page.evaluate("() => window.keys") == []


def test_the_cleanup_leaves_nothing_behind(stage: Show) -> None:
    shown = stage(ops_editor())
    shown.page.get_by_role("combobox").click()
    ended = shown.page.evaluate(
        """() => {
            const ended = [], remove = window.removeEventListener;
            window.removeEventListener = (name, ...rest) => {
                ended.push(name);
                remove.call(window, name, ...rest);
            };
            window.cleanUp();
            return ended;
        }"""
    )
    assert ended == ["scroll", "resize"]
    assert shown.page.evaluate("() => document.getElementById('stage').children.length") == 0
    shown.set("choices", [])
    assert shown.errors == []


# ------------------------------------------------------------------------------------------- ranges


def ranges_editor(**settings: Any) -> RangesEditor:
    given = {"compile_ranges_endpoints": (8, 64), "compile_sizes": (16, 64), "max_size": 8192}
    return RangesEditor(CompilationConfig(**{**given, **settings}))


@LOOKS
def test_ranges_and_exact_sizes_are_drawn(stage: Show, dark: bool, width: int) -> None:
    shown = stage(ranges_editor(), dark=dark, width=width)
    page = shown.page
    assert page.locator("svg text.label").all_text_contents() == ["1–8", "9–64", "65–8192"]
    assert page.locator("svg text.size").all_text_contents() == ["16", "64"]
    said = page.get_by_role("img").get_attribute("aria-label")
    assert said.endswith("3 ranges: 1–8, 9–64, 65–8192; exactly 16, 64")
    assert page.get_by_role("img").bounding_box()["width"] > 200
    other = ranges_editor(compile_ranges_endpoints=(), compile_sizes=())
    shown.set("view", other.view)
    assert page.locator("svg text.label").all_text_contents() == ["1–8192"]
    assert_nothing_sticks_out(shown)


def test_what_is_typed_is_sent_once_it_pauses(stage: Show) -> None:
    shown = stage(ranges_editor())
    box = shown.page.get_by_label("Last size of each range but the last")
    box.fill("8, 64, 128")
    box.press("Enter")
    assert trait(shown, "draft") == {"ranges": "8, 64, 128", "sizes": "16, 64", "max_size": "8192"}
    box.press_sequentially("0")
    shown.set("faulty", "ranges")
    assert box.input_value() == "8, 64, 1280"
    shown.page.wait_for_function("() => window.model.state.draft.ranges.endsWith('1280')")
    assert box.get_attribute("aria-invalid") == "true"


def test_a_bad_text_keeps_the_axis_and_shows_why(stage: Show) -> None:
    editor = ranges_editor()
    editor.draft = {**editor.draft, "ranges": "8, 1-64"}
    page = stage(editor).page
    assert "'1-64' is no size" in page.get_by_role("alert").inner_text()
    assert page.locator("svg text.label").all_text_contents() == ["1–8", "9–64", "65–8192"]
    assert page.get_by_label("Last size of each range but the last").input_value() == "8, 1-64"


def test_many_exact_sizes_have_labels_that_do_not_touch(stage: Show) -> None:
    page = stage(ranges_editor(compile_sizes=tuple(range(2, 300)))).page
    assert page.locator("svg path.tick").count() == 298
    boxes = [each.bounding_box() for each in page.locator("svg text.size").all()]
    assert len(boxes) > 5
    assert all(a["x"] + a["width"] < b["x"] for a, b in itertools.pairwise(boxes))


# ------------------------------------------------------------------------------------- tabs and job


@LOOKS
def test_arrows_choose_tabs_and_a_badge_is_said(stage: Show, dark: bool, width: int) -> None:
    shown = stage(tabs(), dark=dark, width=width)
    page = shown.page
    page.get_by_role("tab", name="Graph").focus()
    page.keyboard.press("ArrowRight")
    assert trait(shown, "value") == "source"
    assert page.get_by_role("tab", selected=True).inner_text() == "Source"
    page.keyboard.press("End")
    assert trait(shown, "value") == "guards"
    assert page.get_by_role("tab", name="Guards, 1 line is wrong for some sizes").is_visible()
    assert [each.get_attribute("tabindex") for each in page.get_by_role("tab").all()] == [
        "-1",
        "-1",
        "0",
    ]
    shown.set("badges", {})
    assert focused(shown) == "Guards"
    assert_nothing_sticks_out(shown)


def test_two_tabs_stand_side_by_side(stage: Show) -> None:
    shown = stage(tabs())
    page = shown.page
    beside = page.get_by_role("button", name="side by side")
    beside.click()
    assert trait(shown, "side_by_side") is True
    assert beside.get_attribute("aria-pressed") == "true"
    assert page.locator("[role=tab].shown").all_inner_texts() == ["Graph", "Source"]
    page.get_by_role("tab", name="Guards").click()
    assert not beside.is_visible()
    assert len(page.locator("[role=tab].shown").all()) == 1


@LOOKS
def test_a_running_job_says_how_far_it_is_and_can_be_cancelled(
    stage: Show, dark: bool, width: int
) -> None:
    shown = stage(running_job(), dark=dark, width=width)
    page = shown.page
    bar = page.get_by_role("progressbar")
    text = "4/6 piece C 9–64 · compiled 3, from memory 1, store 0"
    assert bar.get_attribute("aria-valuetext") == text
    assert (bar.get_attribute("aria-valuenow"), bar.get_attribute("aria-valuemax")) == ("4", "6")
    assert page.get_by_text(text).is_visible()
    said = page.locator(".text")
    assert said.evaluate(
        "(each) => each.scrollWidth <= each.clientWidth"
    )  # all of it is to be seen
    assert page.locator(".clock").inner_text() in ("12 s", "13 s")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Recompile").click()
    assert [each["intent"] for each in shown.sent] == ["cancel", "recompile"]
    assert_nothing_sticks_out(shown)


def test_a_job_at_rest_shows_the_plan_and_what_is_stale(stage: Show) -> None:
    shown = stage(running_job())
    page = shown.page
    shown.set("running", False)
    shown.set("stale", "older than the settings")
    assert page.get_by_text("25 pieces · 3 unique compiled").is_visible()
    assert page.get_by_text("◷ older than the settings").is_visible()
    assert not page.get_by_role("progressbar").is_visible()
    shown.set("can_recompile", False)
    assert page.get_by_role("button", name="Recompile").is_disabled()


def test_the_clock_ends_with_the_view(stage: Show) -> None:
    shown = stage(running_job())
    ended = shown.page.evaluate(
        """() => {
            const clear = window.clearInterval;
            let ended = 0;
            window.clearInterval = (timer) => { if (timer) ended += 1; clear(timer); };
            window.cleanUp();
            return ended;
        }"""
    )
    assert ended == 1


# ------------------------------------------------------------------------------------ in JupyterLab

IN_LAB = """
import ipywidgets, torch
from explorer import Session
from sample_models import toy_llama
from widgets.dims_editor import DimsEditor
from widgets.ops_editor import OpsEditor
from widgets.ranges_editor import RangesEditor
from widgets.strip_view import StripView

target = toy_llama.sample(layers=2)
session = Session(target.model, target.example_inputs, dynamic_arg_dims=target.dynamic_arg_dims,
                  config=target.compilation_config().replace(backend="eager", compile_sizes=(16,)))
compilation = session.update()
dims, ops, ranges, strip = DimsEditor(), OpsEditor(), RangesEditor(compilation.config), StripView()
dims.show(session.request)
ops.show(compilation)
strip.show(compilation)

def follow(change):
    said.value = f"{ranges.changes['compile_ranges_endpoints']} {ops.splitting_ops}"
    strip.show_plan(session.plan(splitting_ops=ops.splitting_ops))

said = ipywidgets.Label()
ranges.observe(follow, "value")
ops.observe(follow, "value")
ipywidgets.VBox([ipywidgets.HBox([dims, ops]), ranges, strip, said])
"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_edits_reach_the_kernel_and_come_back(
    run_cells: Callable[..., OpenPage], theme: str
) -> None:
    opened = run_cells(IN_LAB, theme=theme)
    page = opened.page
    box = page.get_by_role("combobox", name="Add a splitting op")
    box.click()
    box.press_sequentially("silu")
    option = page.get_by_role("option", name="torch.nn.functional.silu")
    middle = option.evaluate(
        """(each) => {
            const box = each.getBoundingClientRect();
            const x = box.left + box.width / 2, y = box.top + box.height / 2;
            return each.contains(document.elementFromPoint(x, y));
        }"""
    )
    assert middle, "a box of the notebook cuts off the list"
    box.press("ArrowDown")
    box.press("Enter")
    said = page.locator(".pwx-ranges input, .pwx-ranges rect")
    assert abs(said.nth(0).bounding_box()["y"] - said.nth(3).bounding_box()["y"]) < 3
    page.get_by_text("(32,) ('demo::attention', 'torch.nn.functional.silu')").wait_for()
    page.get_by_text("planned, not compiled yet", exact=True).wait_for()
    assert page.locator(".pwx-strip .cell").count() == 9
    ranges = page.get_by_label("Last size of each range but the last")
    ranges.fill("8, 64x")
    page.get_by_text("⚠ '64x' is no size").wait_for()
    ranges.fill("8, 64")
    page.get_by_text("(8, 64) ('demo::attention'").wait_for()
    assert page.locator(".pwx-ranges text.label").all_text_contents() == ["1–8", "9–64", "65–2048"]
    assert opened.errors == []
