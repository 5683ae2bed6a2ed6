"""The view that docs/extending.md has its reader write: what it draws, and what a click says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.browser.stage import Stage
from tests.docs_pages.pages import PageRunner, sections_of, steps_of, text_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_view_of_the_page_draws_and_hears(tmp_path: Path, stage: Callable[..., Stage]) -> None:
    runner = PageRunner(tmp_path, {})
    with torch.no_grad():
        for step in steps_of(sections_of(text_of("extending.md"))["A view"]):
            runner.run(step)
    shown = stage(runner.names["widest"])
    assert "the largest of 5 pieces" in shown.page.inner_text("#stage")
    buttons = shown.page.locator("#stage button")
    assert buttons.all_inner_texts()[0] == "piece_2: 50 nodes"
    buttons.first.click()
    assert shown.sent == [{"intent": "select", "kind": "piece", "key": 2}]
    assert shown.errors == []
