from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from explorer import Progress
from explorer.report.job_text import plan_text, progress_text

PLANS = [
    (25, 3, 9, 6, 14.2, "25 pieces · 3 unique compiled · 15 artifacts: 9 reused, 6 to compile "
     "(about 14 s)"),
    (1, 1, 0, 1, None, "1 piece · 1 unique compiled · 1 artifact: 0 reused, 1 to compile"),
    (3, 2, 2, 0, 5.0, "3 pieces · 2 unique compiled · 2 artifacts: all reused, nothing to compile"),
    (3, 2, 0, 2, 0.02, "3 pieces · 2 unique compiled · 2 artifacts: 0 reused, 2 to compile "
     "(under 1 s)"),
    (3, 2, 0, 2, 600.0, "3 pieces · 2 unique compiled · 2 artifacts: 0 reused, 2 to compile "
     "(about 10 min)"),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "unique", "reused", "made", "seconds", "text"), PLANS)
def test_a_plan_is_one_line(
    pieces: int, unique: int, reused: int, made: int, seconds: float | None, text: str
) -> None:
    planned: Any = SimpleNamespace(
        unique=SimpleNamespace(pieces=[None] * pieces, unique_pieces=[None] * unique),
        to_reuse=[None] * reused,
        to_compile=[None] * made,
        estimated_seconds=seconds,
    )
    assert plan_text(planned) == text


def test_progress_says_where_artifacts_came_from() -> None:
    progress = Progress(4, 6, "piece C 9–64\n")
    assert progress_text(progress) == "4/6 piece C 9–64 "
    text = progress_text(progress, {"compiled": 3, "memory": 1})
    assert text.endswith(" · compiled 3, from memory 1, store 0")
