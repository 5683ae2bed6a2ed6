"""The sizes of an audit as segments of an axis, against what the audit says of each size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from explorer import GuardAudit, OutOfRange, SizeRange
from explorer.artifacts.audited import PointState
from explorer.report.guard_axis import MOST_RUNS, STATES, Run, axis_rows, folded, map_view, runs_of
from sample_models import branching
from tests.explorer.report.conftest import compiled

GETS = "A call raises GuardViolation"
RIGHT = ("right", "probe", "eager")


def audit_of(branch: str, domain: Any = None, **options: Any) -> tuple[GuardAudit, dict[str, int]]:
    compilation = compiled(branching.sample(branch, **options))
    audit = compilation.audit(domain)
    judge: Any = audit.judge
    return audit, {each.name: each.hint for each in judge.conditions.dimensions}


def states_of(axis: dict[str, Any]) -> dict[int, str]:
    """Size -> state; every size of the axis is in one segment, in order."""
    found: dict[int, str] = {}
    for each in axis["segments"]:
        for size in range(each["first"], each["last"] + 1):
            assert size not in found
            found[size] = each["state"]
    assert list(found) == list(range(axis["first"], axis["last"] + 1))
    return found


def test_the_one_wrong_size_is_a_segment_of_its_own() -> None:
    audit, example = audit_of("equal")
    (axis,) = axis_rows(audit, example, GETS)
    assert [(each["first"], each["last"], each["state"]) for each in axis["segments"]] == [
        (1, 1, "probe"),
        (2, 3, "right"),
        (4, 4, "wrong"),
        (5, 64, "right"),
    ]
    wrong = axis["segments"][2]
    assert wrong["text"].startswith("n = 4 (1 size): wrong: n != 4 does not hold (")
    assert wrong["text"].endswith("branching.py:69). A call raises GuardViolation.")
    assert wrong["guards"] == [0]
    assert all(each["guards"] == [] for each in axis["segments"] if each is not wrong)


@pytest.mark.parametrize(
    ("branch", "domain"),
    [
        ("equal", SizeRange(0, 64)),
        ("nested", SizeRange(1, 700)),
        ("view", SizeRange(0, 40)),
        ("two_dims", {"nx": SizeRange(0, 30), "ny": SizeRange(0, 30)}),
        ("two_dims", {"nx": SizeRange(1, 8192), "ny": SizeRange(1, 8192)}),
        ("int_argument", {"n": SizeRange(0, 40), "k": SizeRange(0, 9)}),
    ],
    ids=["equal", "nested", "view", "two dims", "two large dims", "int argument"],
)
def test_every_size_of_every_axis_is_right_exactly_where_a_call_would_be(
    branch: str, domain: Any
) -> None:
    audit, example = audit_of(branch, domain)
    judge: Any = audit.judge  # an axis shows conditions, also of sizes above max_size
    judge.config = judge.config.replace(out_of_range=OutOfRange.EAGER)
    axes = axis_rows(audit, example, GETS)
    assert [each["key"] for each in axes] == list(audit.domain)
    for axis in axes:
        others = {name: size for name, size in example.items() if name != axis["key"]}
        for size, state in list(states_of(axis).items())[:200]:
            point = {axis["key"]: size, **others}
            assert (state in RIGHT) is audit.is_valid(**point), point


def test_of_several_dimensions_the_others_are_as_in_the_example_and_the_axis_says_so() -> None:
    audit, example = audit_of("two_dims")
    first, second = axis_rows(audit, example, GETS)
    assert first["text"] == "nx = 1–64, at ny = 5 as in the example"
    assert second["text"] == "ny = 1–64, at nx = 6 as in the example"
    assert states_of(first)[5] == "wrong" and states_of(first)[6] == "right"
    assert "nx > ny does not hold" in first["segments"][0]["text"]


def test_where_eager_fails_the_reason_is_said_where_it_was_seen() -> None:
    audit, example = audit_of("view")
    (axis,) = axis_rows(audit, example, GETS)
    first = axis["segments"][0]
    assert (first["first"], first["last"], first["state"]) == (1, 3, "fails")
    assert "the model itself fails there: RuntimeError: shape" in first["text"]
    assert GETS not in first["text"]


def test_many_segments_are_drawn_together_and_still_counted() -> None:
    audit, example = audit_of("modulo", SizeRange(1, 8192))
    (axis,) = axis_rows(audit, example, GETS)
    assert len(axis["segments"]) <= MOST_RUNS
    mixed = axis["segments"][-1]
    assert mixed["state"] == "mixed" and mixed["last"] == 8192
    count = sum(size % 8 == 0 for size in range(mixed["first"], 8193))
    assert f"wrong at {mixed['first']}..8192 step 8 ({count:,} sizes)" in mixed["text"]
    assert f"right at {8193 - mixed['first'] - count:,} sizes" in mixed["text"]


def test_folding_keeps_every_size_once() -> None:
    generator = np.random.default_rng(0)
    sizes = np.arange(1, 20_000)
    for share in (0.5, 0.01, 0.001):
        states = (generator.random(len(sizes)) < share).astype(int) * 3
        runs = folded(runs_of(sizes, states, 1))
        assert [run.first for run in runs[1:]] == [run.last + 1 for run in runs[:-1]]
        assert (runs[0].first, runs[-1].last) == (1, 19_999)
        assert len(runs) < 500
        wrong = [pair for run in runs for pair in (run.parts or {}).get("wrong", ())]
        wrong += [(run.first, run.last) for run in runs if run.state == "wrong"]
        assert sum(last - first + 1 for first, last in wrong) == int((states == 3).sum())


def test_sizes_between_those_looked_at_are_said_to_be_unseen() -> None:
    right = list(PointState).index(PointState.VALID)
    found = runs_of(np.array([2, 3, 9]), np.array([right] * 3), 1)
    assert found == [
        Run(1, 1, "unseen"),
        Run(2, 3, "right"),
        Run(4, 8, "unseen"),
        Run(9, 9, "right"),
    ]


def test_the_map_of_two_dimensions_says_what_is_in_each_cell() -> None:
    audit, _ = audit_of("two_dims")
    found = map_view(audit)
    assert found is not None
    assert len(found["columns"]) <= 24 and len(found["rows"]) <= 24
    assert (found["keys"], found["columns"][0], found["rows"][-1][1]) == (["nx", "ny"], [1, 1], 64)
    for j, (low_y, high_y) in enumerate(found["rows"]):
        for i, (low_x, high_x) in enumerate(found["columns"]):
            state, text = found["cells"][j][i]
            valid = {
                audit.is_valid(nx=x, ny=y)
                for x in range(low_x, high_x + 1)
                for y in range(low_y, high_y + 1)
            }
            assert (state == "mixed") is (len(valid) == 2), text
            if len(valid) == 1:
                assert (state in RIGHT) is valid.pop(), text


def test_cells_of_a_large_map_tile_the_domain() -> None:
    audit, _ = audit_of("two_dims", {"nx": SizeRange(1, 8192), "ny": SizeRange(0, 4096)})
    found = map_view(audit)
    assert found is not None
    for parts, ends in ((found["columns"], [1, 8192]), (found["rows"], [0, 4096])):
        assert [parts[0][0], parts[-1][1]] == ends
        assert [low for low, _ in parts[1:]] == [high + 1 for _, high in parts[:-1]]


def test_there_is_a_map_of_exactly_two_dimensions() -> None:
    assert map_view(audit_of("equal")[0]) is None


def test_every_state_of_a_point_has_words() -> None:
    audit, example = audit_of("view", SizeRange(0, 40))
    (axis,) = axis_rows(audit, example, GETS)
    assert {each["state"] for each in axis["segments"]} <= set(STATES)
