from __future__ import annotations

import pytest
import torch

from explorer import CompilationConfig, SizeRange, compile_model
from explorer.artifacts.audited import PointState
from explorer.guards.intervals_text import merged


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], ()),
        ([(33, 90), (4, 4), (51, 90)], ((4, 4), (33, 90))),
        ([(1, 3), (4, 9)], ((1, 9),)),
        ([(1, 3), (5, 9)], ((1, 3), (5, 9))),
        ([(1, 9), (2, 3)], ((1, 9),)),
    ],
)
def test_intervals_are_merged(
    intervals: list[tuple[int, int]], expected: tuple[tuple[int, int], ...]
) -> None:
    assert merged(intervals) == expected


def nested(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] > 50:
        return x * 2
    if x.shape[0] <= 32:
        return x * 3
    return x * 4


def scaled(x: torch.Tensor, k: int) -> torch.Tensor:
    return x * 2 if k > 3 else x * 3


def test_sizes_that_two_lines_are_wrong_at_are_said_once() -> None:
    compiled = compile_model(
        nested,
        (torch.ones(10, 2),),
        dynamic_arg_dims={"x": {0: "n"}},
        config=CompilationConfig(backend="eager", max_size=90),
    )
    lines = compiled.compilation.audit().report().splitlines()
    assert lines[2] == "  wrong at     33-90 (58 sizes)"


def test_points_of_two_dimensions_are_counted_as_points() -> None:
    compiled = compile_model(
        scaled,
        (torch.ones(10, 2), 5),
        dynamic_arg_dims={"x": {0: "n"}},
        config=CompilationConfig(backend="eager"),
    )
    audit = compiled.compilation.audit({"n": SizeRange(2, 9), "k": SizeRange(0, 8)})
    wrong = int(audit.region.where(PointState.WRONG).sum())
    assert wrong == 8 * 8  # every n, every k but 5
    text = audit.report()
    assert f"wrong at     {wrong} points" in text
    assert f"Affected: {wrong} of 72 points: k = 0-4, 6-8." in text
