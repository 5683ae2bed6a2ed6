"""What a person sees and does with the panel in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.lab import OpenPage
from tests.hostile_names import FIRED

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

OPEN = """
from widgets import explore

target = {sample}
panel = explore(
    target.model,
    target.example_inputs,
    dynamic_arg_dims=target.dynamic_arg_dims,
    make_inputs=target.make_inputs,
    config=target.compilation_config().replace(backend={backend}),
    name=target.name,
)
panel
"""
LLAMA = "from sample_models import toy_llama" + OPEN.format(
    sample="toy_llama.sample(layers=2)", backend="'eager'"
)
BRANCHING = "from sample_models import branching" + OPEN.format(
    sample="branching.sample()", backend="'eager'"
)
# Artifacts come when the test says so: it writes a file for each.
SLOW = """
import time
from pathlib import Path

class Slow:
    name = "slow"
    made = 0

    def identity(self):
        return f"slow {id(self)}"

    def compile(self, graph, example_inputs, **options):
        while not Path("go_on").exists():
            time.sleep(0.05)
        Slow.made += 1
        return lambda values: graph(*values)

from sample_models import toy_llama""" + OPEN.format(
    sample="toy_llama.sample(layers=2)", backend="Slow()"
)
PATIENCE_MILLISECONDS = 30_000
HOSTILE = """
from tests.hostile_names import hostile_target
from widgets import explore

target = hostile_target()
panel = explore(
    target.model,
    target.example_inputs,
    dynamic_arg_dims=target.dynamic_arg_dims,
    config=target.compilation_config().replace(backend="eager", max_size=64),
    name=target.name,
)
panel
"""
WATCH = f"""() => {{
    window.fired = [];
    window.{FIRED.removesuffix("()")} = () => window.fired.push("a handler");
    window.alert = () => window.fired.push("alert");
}}"""
TOUCH_ALL = """() => {
    for (const each of document.querySelectorAll(".piecewise-panel details")) each.open = true;
    for (const each of document.querySelectorAll(".piecewise-panel *"))
        for (const kind of ["mouseover", "pointerenter", "animationstart"])
            each.dispatchEvent(new Event(kind, {bubbles: true}));
}"""
TABS = ("Graph", "Source", "Guards", "Dedupe", "Ranges", "Replay", "Store", "Diff")


class Seen:
    """The panel on a page, by what a person looks for."""

    def __init__(self, opened: OpenPage) -> None:
        from playwright.sync_api import expect

        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        self.opened, self.page, self.expect = opened, opened.page, expect

    def pieces(self, count: int) -> None:
        self.expect(self.page.locator(".pwx-strip .cell")).to_have_count(count)

    def plan(self, text: str) -> None:
        self.expect(self.page.locator(".pwx-job")).to_contain_text(text)

    def idle(self) -> None:
        self.plan("nothing to compile")

    def add_op(self, name: str) -> None:
        entry = self.page.get_by_role("combobox", name="Add a splitting op", exact=True)
        entry.fill(name)
        entry.press("Enter")

    def press_recompile(self) -> None:
        self.page.get_by_role("button", name="Recompile", exact=True).click()

    def recompile(self) -> None:
        """Presses Recompile after an edit, and waits for one more compilation in the history."""
        before = self.page.get_by_role("radio").count()
        self.expect(self.page.locator(".pwx-job")).to_contain_text("changed after this picture")
        self.press_recompile()
        self.expect(self.page.get_by_role("radio")).to_have_count(before + 1)
        self.idle()

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def alert(self) -> Any:
        return self.page.locator(".pwx-status .alert")

    def assert_in_order(self) -> None:
        """No error, nothing from elsewhere, and nothing wider than the cell that it stands in."""
        self.opened.assert_clean()
        cell = self.page.locator(".jp-OutputArea-output").first.bounding_box()
        for part in self.page.locator(".piecewise-panel .pwx").all():
            box = part.bounding_box()
            if box is not None:
                assert box["x"] + box["width"] <= cell["x"] + cell["width"] + 1
        assert self.page.locator(".piecewise-panel img").count() == 0


@pytest.fixture
def open_panel(run_cells: Callable[..., OpenPage]) -> Callable[..., Seen]:
    def run(*cells: str, theme: str = "JupyterLab Light") -> Seen:
        return Seen(run_cells(*cells, theme=theme))

    return run


def test_an_edited_splitting_op_and_dim_are_planned_and_compiled(
    open_panel: Callable[..., Seen],
) -> None:
    seen = open_panel(LLAMA)
    seen.pieces(5)
    seen.idle()
    seen.add_op("F.silu")
    seen.plan("9 pieces · 4 unique compiled")
    seen.pieces(9)
    seen.expect(seen.page.locator(".pwx-strip")).to_contain_text("planned, not compiled yet")
    seen.expect(seen.page.locator(".pwx-job")).to_contain_text("changed after this picture")
    seen.recompile()
    seen.pieces(9)
    seen.page.get_by_label("Name of the size of input_ids[0]").fill("tokens")
    seen.page.get_by_label("Name of the size of positions[0]").fill("tokens")
    seen.page.get_by_label("Name of the size of positions[0]").press("Tab")
    seen.expect(seen.page.locator(".pwx-dims")).to_contain_text("tokens = input_ids[0] = pos")
    seen.recompile()
    seen.expect(seen.page.locator(".pwx-dims")).to_contain_text("tokens = input_ids[0]")
    assert seen.page.get_by_role("radio").all_inner_texts() == ["#0", "#1", "▸#2"]
    seen.expect(seen.alert()).to_have_count(0)
    seen.assert_in_order()


def test_cancel_leaves_the_last_good_state(open_panel: Callable[..., Seen]) -> None:
    seen = open_panel(SLOW)
    folder = seen.opened.lab.notebooks
    seen.pieces(5)
    seen.plan("to compile")
    (folder / "go_on").touch()
    seen.idle()
    (folder / "go_on").unlink()
    seen.add_op("F.silu")
    seen.pieces(9)
    seen.press_recompile()
    seen.expect(seen.page.get_by_role("progressbar", name="Compile")).to_be_visible()
    seen.expect(seen.page.locator(".pwx-job")).to_contain_text("piece")
    seen.page.get_by_role("button", name="Cancel", exact=True).click()
    (folder / "go_on").touch()
    seen.expect(seen.page.locator(".pwx-status")).to_contain_text(
        "Cancelled; the picture is the last good compilation."
    )
    seen.pieces(5)
    assert seen.page.get_by_role("radio").all_inner_texts() == ["▸#0"]
    seen.assert_in_order()
    (folder / "go_on").unlink()


def test_a_mistake_is_announced_and_the_picture_stays(open_panel: Callable[..., Seen]) -> None:
    seen = open_panel(LLAMA)
    seen.idle()
    seen.add_op("demo::atention<img src=x>")
    seen.expect(seen.page.get_by_role("alert").locator(".alert")).to_contain_text(
        "demo::atention<img src=x>"
    )
    seen.expect(seen.alert()).to_contain_text("the nearest names are demo::attention")
    seen.press_recompile()
    seen.expect(seen.page.locator(".pwx-status")).to_contain_text("2 errors")
    seen.pieces(5)
    seen.page.get_by_role("button", name="Remove demo::atention<img src=x>").click()
    seen.idle()
    seen.expect(seen.alert()).to_have_count(0)
    seen.assert_in_order()


def test_a_model_whose_capture_fails_says_where(open_panel: Callable[..., Seen]) -> None:
    seen = open_panel(
        """
import torch
from torch import nn
from widgets import explore

class Counts(nn.Module):
    def forward(self, x):
        if x.sum().item() > 0:
            return x + 1
        return x - 1

panel = explore(Counts(), (torch.ones(4, 3),))
panel
"""
    )
    seen.expect(seen.alert()).to_contain_text("x.sum().item()")
    seen.page.get_by_text("traceback").first.click()
    seen.expect(seen.alert().locator("pre")).to_be_visible()
    seen.pieces(0)
    seen.assert_in_order()


def test_what_is_found_in_the_graph_is_selected_in_every_view(
    open_panel: Callable[..., Seen],
) -> None:
    seen = open_panel(LLAMA)
    seen.idle()
    seen.page.get_by_role("button", name="side by side").click()
    search = seen.page.get_by_label("Find nodes")
    search.fill("silu")
    search.press("Enter")
    chosen = seen.page.locator(".pwx-status .chosen")
    seen.expect(chosen).to_contain_text("node silu")
    seen.expect(seen.page.locator(".pwx-strip .cell.pwx-selected")).to_have_count(1)
    seen.expect(seen.page.locator('.pwx-pane-source [aria-selected="true"]').first).to_be_visible()
    seen.page.locator(".pwx-strip .cell").nth(0).click()
    seen.expect(chosen).to_contain_text("piece 0: compiled as A")
    seen.page.get_by_role("button", name="end the selection").click()
    seen.expect(seen.page.locator(".pwx-strip .cell.pwx-selected")).to_have_count(0)
    seen.assert_in_order()


def test_size_4_of_the_branching_model_is_found_wrong_and_tried(
    open_panel: Callable[..., Seen],
) -> None:
    seen = open_panel(BRANCHING)
    seen.idle()
    seen.tab("Guards")
    seen.expect(seen.page.locator(".pwx-strip")).to_contain_text("1 line, 1 of")
    seen.page.get_by_role("textbox", name="n", exact=True).fill("4")
    seen.page.get_by_role("button", name="Try", exact=True).click()
    tried = seen.page.get_by_label("Try a size", exact=True)
    seen.expect(tried).to_contain_text("refused")
    seen.expect(tried).to_contain_text("n != 4")
    seen.assert_in_order()
    seen.page.get_by_label("guards", exact=True).select_option("VARIANTS")
    seen.recompile()
    seen.page.get_by_label("Sizes to audit or cover, such as n=1-64").fill("2-64")
    seen.page.get_by_role("button", name="Cover", exact=True).click()
    covered = seen.page.get_by_label("Cover every size", exact=True)
    seen.expect(covered).to_contain_text("2 graphs cover")
    seen.assert_in_order()


def test_two_compilations_of_the_history_are_compared(open_panel: Callable[..., Seen]) -> None:
    seen = open_panel(LLAMA)
    seen.idle()
    seen.add_op("F.silu")
    seen.pieces(9)
    seen.recompile()
    seen.page.get_by_role("button", name="diff", exact=True).click()
    diff = seen.page.locator(".pwx-blocks")
    seen.expect(diff).to_contain_text("#0 against #1")
    seen.expect(diff).to_contain_text("splitting_ops")
    seen.page.get_by_role("radio", name="compilation 0").click()
    seen.pieces(5)
    seen.expect(seen.page.locator(".pwx-ops .chip")).to_have_count(1)
    seen.idle()
    seen.assert_in_order()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_view_is_in_order(
    open_panel: Callable[..., Seen], theme: str, take_picture: Callable[..., None]
) -> None:
    seen = open_panel(LLAMA, theme=theme)
    seen.page.set_viewport_size({"width": 1500, "height": 1250})
    seen.page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    seen.idle()
    for name in TABS:
        seen.tab(name)
        seen.expect(seen.page.get_by_role("tab", name=name)).to_have_attribute(
            "aria-selected", "true"
        )
        seen.page.wait_for_timeout(700)
        take_picture(seen.page, f"{name}_{theme.rpartition(' ')[2]}")
        seen.assert_in_order()
    seen.expect(seen.alert()).to_have_count(0)


def test_a_compilation_is_shown_without_controls(open_panel: Callable[..., Seen]) -> None:
    seen = open_panel(
        """
from explorer import compile_model
from sample_models import branching
from widgets import show

target = branching.sample()
model = compile_model(target.model, target.example_inputs,
                      dynamic_arg_dims=target.dynamic_arg_dims,
                      config=target.compilation_config().replace(backend="eager"))
show(model.compilation)
"""
    )
    seen.pieces(1)
    assert seen.page.get_by_role("button", name="Recompile").count() == 0
    seen.tab("Guards")
    seen.expect(seen.page.locator(".pwx-strip")).to_contain_text("1 line, 1 of")
    seen.page.get_by_role("textbox", name="n", exact=True).fill("4")
    seen.page.get_by_role("button", name="Try", exact=True).click()
    seen.expect(seen.alert()).to_contain_text("can only be looked at")
    seen.assert_in_order()


def test_hostile_names_do_nothing_in_any_view(open_panel: Callable[..., Seen]) -> None:
    seen = open_panel(HOSTILE, "panel.wait(120)")
    page = seen.page
    page.evaluate(WATCH)
    seen.expect(page.locator(".pwx-strip .cell").first).to_be_visible()
    page.get_by_role("combobox", name="Add a splitting op", exact=True).focus()
    for name in TABS:
        seen.tab(name)
        page.wait_for_timeout(500)
        for piece in (0, 1):
            page.locator(".pwx-strip .cell").nth(piece).click()
        page.evaluate(TOUCH_ALL)
    seen.tab("Graph")
    page.get_by_label("Find nodes").fill("onerror")
    page.get_by_label("Find nodes").press("Enter")
    page.wait_for_timeout(300)
    assert page.evaluate("window.fired") == []
    assert (
        page.locator(".piecewise-panel :is(img, script, iframe, object, embed, link)").count() == 0
    )
    assert page.locator(".piecewise-panel a[href^='javascript']").count() == 0
    seen.opened.assert_clean()


def test_a_closed_panel_leaves_the_page(open_panel: Callable[..., Seen]) -> None:
    seen = open_panel(LLAMA)
    seen.idle()
    seen.page.get_by_role("button", name="close the panel").click()
    seen.expect(seen.page.locator(".pwx")).to_have_count(0)
    seen.opened.assert_clean()
