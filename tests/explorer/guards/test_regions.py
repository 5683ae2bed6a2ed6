"""The points that an audit looks at, and the kinds of points that they stand for."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
import sympy
from torch import fx
from torch.utils._sympy.functions import PythonMod

from explorer import CompilationConfig, SizeRange
from explorer.artifacts import CapturedGraph, GuardOrigin, GuardRecord, Size
from explorer.guards import regions
from explorer.guards.conditions import Conditions
from explorer.guards.domain import known_dimensions, resolve_domain
from explorer.guards.kinds import Kinds, axis_of, joint_conditions
from explorer.guards.regions import Points, choose_points
from explorer.guards.signatures import group_columns, table_of

A, B, C = (sympy.Symbol(name, integer=True, positive=True) for name in ("s0", "s1", "s2"))


def captured_with(*expressions: Any, symbols: tuple[Any, ...] = (A, B)) -> CapturedGraph:
    """A capture made by hand over sizes a, b, c."""
    sizes = tuple(
        Size(name, (("x", dim),), symbol, (symbol,), hint=5, low=0, high=None)
        for dim, (name, symbol) in enumerate(zip("abc", symbols, strict=False))
    )
    nothing = cast(Any, None)
    return CapturedGraph(
        fx.Graph(),
        (),
        (),
        sizes,
        tuple(GuardRecord(each, str(each), GuardOrigin.BRANCH) for each in expressions),
        (),
        (),
        nothing,
        nothing,
        hints={size.name: 5 for size in sizes},
    )


def chosen(captured: CapturedGraph, *ends: int) -> Points:
    domain = {size.name: SizeRange(0, end) for size, end in zip(captured.sizes, ends, strict=True)}
    resolved = resolve_domain(known_dimensions(captured), CompilationConfig(), domain)
    return choose_points(Conditions.of(captured), resolved)


JOINT = (sympy.Gt(A, B), sympy.Ne(B, 7), sympy.Ne(PythonMod(A + B, 3), 1))
APART = (sympy.Le(A, 100), sympy.Ne(PythonMod(B, 8), 7))


@pytest.mark.parametrize("block", [2**18, 1000])
@pytest.mark.parametrize("expressions", [JOINT, APART, ()], ids=["joint", "apart", "none"])
def test_kinds_are_counted_as_a_list_of_all_points_counts_them(
    expressions: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.guards.kinds._BLOCK_POINTS", block)
    captured = captured_with(*expressions)
    conditions = Conditions.of(captured)
    points = chosen(captured, 399, 299)
    assert points.is_exact
    assert points.count < 400 * 300
    a, b = np.arange(400).reshape(-1, 1), np.arange(300)
    every = conditions.truth({"a": a, "b": b}, (400, 300)).holds
    here = conditions.truth(points.broadcast, points.shape).holds
    apart = [(each == value) for each in np.broadcast_arrays(a, b) for value in (0, 1)]
    table = np.concatenate([every, np.array(apart).reshape(4, -1)])
    expected = {
        signature: len(found)
        for signature, found in group_columns(table, np.ones(400 * 300, dtype=bool))
    }
    table = np.concatenate(
        [here, [points.flat[name] == value for name in ("a", "b") for value in (0, 1)]]
    )
    found = {
        signature: points.weight(positions)
        for signature, positions in group_columns(table, np.ones(points.count, dtype=bool))
    }
    assert found == expected
    for index in range(len(expressions)):
        if conditions.read_by(index) == ("b",):
            rejected = points.sizes_in("b", np.flatnonzero(~here[index]))
            assert rejected.tolist() == b[~every[index].reshape(400, 300)[0]].tolist()


@pytest.mark.parametrize("block", [2**18, 1000])
def test_a_kind_that_no_chosen_size_has_is_found_by_counting(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.guards.kinds._BLOCK_POINTS", block)
    monkeypatch.setattr(regions, "_MOST_PER_AXIS", 8)
    # One point of 160000: neither axis tells where it is.
    corner = sympy.Ne(sympy.Abs(A - 301, evaluate=False) + sympy.Abs(B - 203, evaluate=False), 0)
    points = chosen(captured_with(corner), 399, 399)
    assert 301 in points.axes["a"]
    assert 203 in points.axes["b"]
    assert points.is_exact


def test_what_would_take_too_long_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.guards.kinds.MOST_WORK", 1000)
    points = chosen(captured_with(*JOINT), 399, 399)
    assert not points.is_exact
    assert points.is_grid
    assert points.coverage == f"{points.count:,} of 160,000 points"
    assert {0, 1, 2, 3, 399} <= set(points.axes["a"].tolist())


def test_small_domains_are_looked_at_whole_however_many_dimensions() -> None:
    captured = captured_with(sympy.Gt(A, B + C), symbols=(A, B, C))
    points = chosen(captured, 15, 15, 15)
    assert (points.is_exact, points.is_grid, points.count) == (True, True, 16**3)
    large = chosen(captured, 8191, 8191, 8191)
    assert (large.is_exact, large.is_grid) == (False, False)
    assert len(set(zip(*(values.tolist() for values in large.flat.values()), strict=True))) == (
        large.count
    )
    again = chosen(captured, 8191, 8191, 8191)
    assert all(np.array_equal(large.axes[name], again.axes[name]) for name in large.axes)


def test_a_range_too_long_to_list_is_sampled_near_both_ends() -> None:
    points = chosen(captured_with(sympy.Ne(A, 4), symbols=(A,)), 2**31 - 2)
    assert not points.is_exact
    assert points.coverage == "1,048,576 of 2,147,483,647 points, near both ends"


def test_more_than_a_few_kinds_are_not_counted() -> None:
    captured = captured_with(*(sympy.Gt(A, B + number) for number in range(30)))
    conditions = Conditions.of(captured)
    axes = tuple(axis_of(conditions, each, np.arange(400)) for each in known_dimensions(captured))
    kinds = Kinds(conditions, axes, joint_conditions(conditions, {"a", "b"}))
    assert len(kinds.joint) == 30
    assert not kinds.is_countable


# --------------------------------------------------------------------------------------- signatures


def test_columns_are_grouped_by_equality() -> None:
    generator = np.random.default_rng(0)
    table = generator.random((11, 200)) < 0.1
    where = generator.random(200) < 0.7
    groups = group_columns(table, where)
    assert sorted(int(p) for _, positions in groups for p in positions) == (
        np.flatnonzero(where).tolist()
    )
    assert len({signature for signature, _ in groups}) == len(groups)
    firsts = [int(positions[0]) for _, positions in groups]
    assert firsts == sorted(firsts)
    for signature, positions in groups:
        for position in positions:
            assert tuple(np.flatnonzero(table[:, position])) == signature
        assert (np.diff(positions) > 0).all()


def test_no_columns_make_no_groups_and_no_rows_one() -> None:
    assert group_columns(np.ones((3, 4), dtype=bool), np.zeros(4, dtype=bool)) == []
    ((signature, positions),) = group_columns(np.ones((0, 4), dtype=bool), np.ones(4, dtype=bool))
    assert signature == ()
    assert positions.tolist() == [0, 1, 2, 3]


def test_a_bound_is_blamed_only_where_no_test_is() -> None:
    holds = np.array([[True, False, True], [False, False, True]])
    assert table_of(holds, (1,)).tolist() == [[False, True, False], [True, False, False]]


# --------------------------------------------------------------------------------------- conditions


def test_bounds_say_nothing_where_some_size_is_one() -> None:
    captured = captured_with(sympy.Ge(A, 3), sympy.Gt(A, B))
    guards = (dataclasses.replace(captured.guards[0], origin=GuardOrigin.RANGE), captured.guards[1])
    conditions = Conditions.of(dataclasses.replace(captured, guards=guards))
    truth = conditions.truth({"a": np.array([2, 2, 3]), "b": np.array([1, 2, 2])}, (3,))
    assert truth.holds.tolist() == [[True, False, True], [True, False, True]]


@pytest.mark.parametrize("origin", [GuardOrigin.STATIC_DIM, GuardOrigin.INDUCTOR])
def test_conditions_that_are_served_elsewhere_are_left_out(origin: GuardOrigin) -> None:
    captured = captured_with(sympy.Ne(A, 4), sympy.Ne(sympy.Symbol("other"), 4))
    guards = (captured.guards[0], dataclasses.replace(captured.guards[1], origin=origin))
    conditions = Conditions.of(dataclasses.replace(captured, guards=guards))
    assert conditions.considered == (0,)
    truth = conditions.truth({"a": np.array([4, 5])}, (2,))
    assert truth.holds.tolist() == [[False, True], [True, True]]
    assert truth.unknown == {}


def test_the_list_of_points_is_cut_when_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "MOST_POINTS", 10)
    points = chosen(captured_with(*JOINT), 99, 99)
    assert not points.is_exact
