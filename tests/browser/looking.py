"""What several browser tests look at, and the widgets that they share."""

from __future__ import annotations

from typing import Any

import pytest

from explorer import Progress
from tests.browser.stage import Stage
from widgets.job_view import JobView
from widgets.tabs import Tabs

LOOKS = pytest.mark.parametrize(
    ("dark", "width"), [(False, 1000), (True, 700)], ids=["light wide", "dark narrow"]
)


def trait(stage: Stage, name: str) -> Any:
    return stage.page.evaluate("(name) => window.model.state[name]", name)


def assert_nothing_sticks_out(stage: Stage) -> None:
    """Nothing is wider than the widget, and no box covers the one beside it."""
    stuck = stage.page.evaluate(
        """() => {
            const stage = document.getElementById("stage").getBoundingClientRect();
            const boxes = [...document.querySelectorAll(
                "#stage :is(button, input, select, .cell, .entry, .chip)")]
                .map((each) => [each, each.getBoundingClientRect()])
                .filter(([, box]) => box.width && box.height);
            const out = boxes.filter(([, box]) => box.right > stage.right + 4);
            const over = boxes.filter(([a, one], i) => boxes.slice(i + 1).some(([b, two]) =>
                !a.contains(b) && !b.contains(a) && one.left < two.right - 2 &&
                two.left < one.right - 2 && one.top < two.bottom - 2 && two.top < one.bottom - 2));
            return [...out, ...over].map(([each]) => each.outerHTML.slice(0, 120));
        }"""
    )
    assert stuck == []
    assert stage.errors == []


def tabs() -> Tabs:
    made = Tabs(
        {"graph": "Graph", "source": "Source", "guards": "Guards"}, pair=("graph", "source")
    )
    made.badges = {"guards": "1 line is wrong for some sizes"}
    return made


def running_job() -> JobView:
    job = JobView()
    job.show_plan("25 pieces · 3 unique compiled · 15 artifacts: 9 reused, 6 to compile")
    job.begin()
    origins = {"compiled": 3, "memory": 1}
    job.show_progress(Progress(4, 6, "piece C 9–64"), 12.0, origins)
    return job
