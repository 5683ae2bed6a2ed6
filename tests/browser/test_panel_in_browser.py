"""What a person sees and does with the panel in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.lab import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

OPEN_PANEL = """
from sample_models import toy_llama
from widgets import explore

target = toy_llama.sample(layers=2)
panel = explore(
    target.model,
    target.example_inputs,
    dynamic_arg_dims=target.dynamic_arg_dims,
    make_inputs=target.make_inputs,
    config=target.compilation_config().replace(backend="eager"),
    name=target.name,
)
panel
"""


def box(page: Any, label: str) -> Any:
    return page.get_by_label(label, exact=True)


def strip(page: Any) -> Any:
    return page.locator(".explorer-report ol.strip li")


def wait_for_pieces(page: Any, count: int) -> None:
    from playwright.sync_api import expect

    expect(strip(page)).to_have_count(count)


def assert_nothing_covers_anything(page: Any) -> None:
    """The picture is as wide as its cell, and no fact is written over its label."""
    picture = page.locator(".piecewise-picture").bounding_box()
    cell = page.locator(".jp-OutputArea-output").first.bounding_box()
    assert picture["x"] + picture["width"] <= cell["x"] + cell["width"]
    for fact in page.locator(".explorer-report .facts > div").all():
        label, text = fact.locator("dt").bounding_box(), fact.locator("dd").bounding_box()
        assert label["y"] + label["height"] <= text["y"] + 1


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_an_edited_splitting_op_is_planned_and_compiled(
    run_cells: Callable[..., OpenPage], theme: str
) -> None:
    opened = run_cells(OPEN_PANEL, theme=theme)
    page = opened.page
    wait_for_pieces(page, 5)
    assert box(page, "dynamic dims").input_value() == "input_ids[0]=n, positions[0]=n"
    box(page, "split at").fill("demo::attention, F.silu")
    box(page, "split at").press("Tab")
    page.get_by_text("plan: 9 pieces, 4 unique compiled").wait_for()
    page.get_by_text("The settings above were changed after this picture was made.").wait_for()
    wait_for_pieces(page, 5)
    page.get_by_role("button", name="Recompile", exact=True).click()
    wait_for_pieces(page, 9)
    page.get_by_text("split into 9 pieces").wait_for()
    assert page.get_by_role("alert").count() == 0
    assert_nothing_covers_anything(page)
    assert page.get_by_role("button", name="Cancel", exact=True).is_disabled()
    opened.assert_clean()


def test_a_mistake_is_announced_and_the_picture_stays(run_cells: Callable[..., OpenPage]) -> None:
    opened = run_cells(OPEN_PANEL)
    page = opened.page
    wait_for_pieces(page, 5)
    box(page, "split at").fill("demo::atention<img src=x>")
    page.get_by_role("button", name="Recompile", exact=True).click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "demo::atention<img src=x>" in alert.inner_text()
    assert "the nearest names are demo::attention" in alert.inner_text()
    assert page.locator(".piecewise-picture img").count() == 0
    wait_for_pieces(page, 5)
    box(page, "dynamic dims").fill("input_ids[0=n")
    box(page, "dynamic dims").press("Tab")
    page.get_by_text("a bracket is not closed").wait_for()
    wait_for_pieces(page, 5)
    opened.assert_clean()
