"""Random trees of tests on sizes: an audit finds the region of the leaf that was captured."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from explorer import AuditStatus, CaptureError, SizeRange
from tests.explorer.guards.brute_force import compare, compilation_of, points_of, valid_points

Tensor = torch.Tensor

numbers = st.integers(2, 30)
one_size = st.one_of(
    st.tuples(st.just(">"), numbers),
    st.tuples(st.just("=="), numbers),
    st.tuples(st.just("remainder"), st.integers(2, 6)),
    st.tuples(st.just("quotient"), st.integers(2, 6)),
    st.tuples(st.just("product"), st.integers(9, 400)),
    st.tuples(st.just("more than"), st.integers(0, 9)),
)
trees = st.recursive(
    st.integers(2, 400),
    lambda children: st.tuples(one_size, children, children),
    max_leaves=5,
)


def decided(test: tuple[str, int], n: int, m: int) -> bool:
    kind, number = test
    if kind == ">":
        return n > number
    if kind == "==":
        return n == number
    if kind == "remainder":
        return n % number == 1
    if kind == "quotient":
        return n // number >= 3
    if kind == "product":
        return n * m > number
    return n > m + number


def leaf_of(tree: Any, n: int, m: int) -> int:
    while isinstance(tree, tuple):
        tree = tree[1] if decided(tree[0], n, m) else tree[2]
    return tree


def distinct(tree: Any) -> Any:
    """The tree with other numbers at the leaves, so that no two sides give one result."""
    counter = iter(range(2, 99))

    def renamed(part: Any) -> Any:
        if not isinstance(part, tuple):
            return next(counter)
        return (part[0], renamed(part[1]), renamed(part[2]))

    return renamed(tree)


def check(model: Any, example: dict[str, int], domain: dict[str, SizeRange]) -> None:
    try:
        compilation = compilation_of(model, example)
    except CaptureError:
        assume(False)  # a test for equality fixed the size
        return
    right, failing = compare(compilation, domain)
    assert failing == set()
    audit = compilation.audit(domain)
    assert audit.status is AuditStatus.EXACT
    found = valid_points(audit, domain)
    assert found == right
    wrong = sum(group.points for group in audit.groups)
    assert wrong == len(list(points_of(domain))) - len(found)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(trees, st.integers(2, 40))
def test_one_size(tree: Any, example: int) -> None:
    tree = distinct(tree)

    def model(x):
        return x * leaf_of(tree, x.shape[0], 3)

    check(model, {"n": example}, {"n": SizeRange(1, 50)})


@settings(max_examples=15, deadline=None, derandomize=True)
@given(trees, st.integers(2, 20), st.integers(2, 20))
def test_two_sizes(tree: Any, first: int, second: int) -> None:
    tree = distinct(tree)

    def model(x: Tensor, y: Tensor) -> Tensor:
        return (x.sum(0) + y.sum(0)) * leaf_of(tree, x.shape[0], y.shape[0])

    check(model, {"n": first, "m": second}, {"n": SizeRange(1, 16), "m": SizeRange(1, 16)})
