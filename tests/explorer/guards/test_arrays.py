"""Every function that torch writes in conditions, over arrays, against sympy and against Python."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy import functions as torch_functions
from torch.utils._sympy.numbers import int_oo

from explorer.guards.arrays import ArrayEvaluator, UnknownExpression, evaluate
from explorer.guards.expression import SCALAR_FUNCTIONS, python_source

N = sympy.Symbol("n", integer=True, positive=True)
M = sympy.Symbol("m", integer=True, positive=True)
F: Any = torch_functions
IntTrueDiv, ToFloat = F.IntTrueDiv, F.ToFloat

EXPRESSIONS: dict[str, Any] = {
    "FloorDiv": F.FloorDiv(3 * N, M),
    "ModularIndexing": F.ModularIndexing(5 * N, M, 7),
    "Where": F.Where(sympy.Gt(N, M), N, 2 * M),
    "PythonMod": F.PythonMod(N - 9, M),
    "Mod": F.Mod(N, M + 1),
    "CleanDiv": F.CleanDiv(N * M, M + 1),
    "CeilToInt": F.CeilToInt(IntTrueDiv(N, M)),
    "FloorToInt": F.FloorToInt(IntTrueDiv(N, M)),
    "CeilDiv": F.CeilDiv(N, M),
    "LShift": F.LShift(N, M),
    "RShift": F.RShift(40 * N, M),
    "Max": F.Max(N, M, 5),
    "Min": F.Min(N, M, 5),
    "PowByNatural": F.PowByNatural(N, M),
    "FloatPow": F.FloatPow(ToFloat(N), ToFloat(M) / 3),
    "FloatTrueDiv": F.FloatTrueDiv(ToFloat(N), ToFloat(M)),
    "IntTrueDiv": IntTrueDiv(N, M),
    "TruncToFloat": F.TruncToFloat(IntTrueDiv(N - 9, M)),
    "TruncToInt": F.TruncToInt(IntTrueDiv(N - 9, M)),
    "RoundToInt": F.RoundToInt(IntTrueDiv(N, 2)),
    "RoundDecimal": F.RoundDecimal(IntTrueDiv(N, M), 2),
    "ToFloat": ToFloat(N),
    "Identity": F.Identity(N + M),
    "BitwiseFn_bitwise_and": F.BitwiseFn_bitwise_and(N, M),
    "BitwiseFn_bitwise_or": F.BitwiseFn_bitwise_or(N, M),
    "BitwiseFn_bitwise_xor": F.BitwiseFn_bitwise_xor(N, M),
    **{
        name: getattr(F, name)(ToFloat(N) / 32)
        for name in vars(torch_functions)
        if name.startswith("OpaqueUnaryFn_")
    },
}
NOT_FOR_SIZES = {
    "MinMaxBase",  # the base of Max and Min
    "IsNonOverlappingAndDenseIndicator",  # of strides, which are no sizes
}


def test_every_sympy_function_of_torch_is_covered() -> None:
    written = {
        name
        for name, each in vars(torch_functions).items()
        if isinstance(each, type)
        and issubclass(each, sympy.Basic)
        and each.__module__ == torch_functions.__name__
    }
    assert written - NOT_FOR_SIZES <= set(EXPRESSIONS)


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_small_numbers_are_as_sympy_and_python_say(expression: Any) -> None:
    n, m = (grid.ravel() for grid in np.meshgrid(np.arange(1, 31), np.arange(1, 8)))
    found = np.broadcast_to(evaluate(expression, {N: n, M: m}), n.shape)
    source = python_source(expression, {N: "n", M: "m"})
    for a, b, value in zip(n.tolist(), m.tolist(), found.tolist(), strict=True):
        exact = expression.xreplace({N: sympy.Integer(a), M: sympy.Integer(b)})
        number = float(exact) if not exact.is_Integer else int(exact)
        assert value == pytest.approx(number, rel=1e-14), (a, b)
        assert value == eval(source, dict(SCALAR_FUNCTIONS), {"n": a, "m": b}), (a, b)


# ------------------------------------------------------------------------------- random expressions

numbers = st.integers(1, 40)
leaves = st.sampled_from([N, M]) | st.integers(0, 9).map(sympy.Integer)


def _built(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda pair: pair[0] + pair[1]),
        pairs.map(lambda pair: pair[0] * pair[1]),
        pairs.map(lambda pair: pair[0] - pair[1]),
        pairs.map(lambda pair: F.FloorDiv(pair[0], pair[1] * pair[1] + 1)),
        pairs.map(lambda pair: F.PythonMod(pair[0], pair[1] * pair[1] + 1)),
        pairs.map(lambda pair: F.Max(*pair)),
        pairs.map(lambda pair: F.Min(*pair)),
    )


terms = st.recursive(leaves, _built, max_leaves=6)
relations = st.sampled_from([sympy.Eq, sympy.Ne, sympy.Lt, sympy.Le, sympy.Gt, sympy.Ge])
tests = st.tuples(relations, terms, terms).map(lambda parts: parts[0](parts[1], parts[2]))
conditions = st.one_of(
    tests,
    st.tuples(tests, tests).map(lambda pair: sympy.And(*pair)),
    st.tuples(tests, tests).map(lambda pair: cast(Any, sympy.Or)(*pair)),
    tests.map(lambda test: sympy.Not(test)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(conditions, st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4))
def test_random_conditions_hold_where_sympy_says(condition: Any, points: Any) -> None:
    n, m = (np.array(column, dtype=np.int64) for column in zip(*points, strict=True))
    found = np.broadcast_to(ArrayEvaluator({N: n, M: m}).holds(condition), n.shape)
    for (a, b), value in zip(points, found.tolist(), strict=True):
        exact = condition.xreplace({N: sympy.Integer(a), M: sympy.Integer(b)})
        assert exact in (sympy.true, sympy.false)
        assert value == (exact == sympy.true)


# ---------------------------------------------------------------------------- what numpy gets wrong


def test_numbers_beyond_64_bits_are_exact() -> None:
    sizes = {N: np.array([2, 2**31 - 1, 2**40], dtype=np.int64)}
    evaluator = ArrayEvaluator(sizes)
    cube = N * N * N
    assert evaluator.value(cube)[0].tolist() == [8, (2**31 - 1) ** 3, 2**120]
    assert evaluator.holds(sympy.Gt(cube, 2**64)).tolist() == [False, True, True]
    assert evaluator.holds(sympy.Lt(N, 2**70)).tolist() == [True, True, True]
    assert evaluator.value(F.PythonMod(cube, 7))[0].tolist() == [1, (2**31 - 1) ** 3 % 7, 1]
    assert evaluator.value(F.PythonMod(cube, 7))[0].dtype == np.int64
    assert evaluator.value(F.FloorDiv(cube, N))[0].tolist() == [4, (2**31 - 1) ** 2, 2**80]
    assert evaluator.value(F.LShift(N, 40))[0].tolist() == [2**41, (2**31 - 1) << 40, 2**80]
    assert evaluator.value(F.Max(cube, 2**90))[0].tolist() == [2**90, (2**31 - 1) ** 3, 2**120]


def test_floats_are_as_python_divides_and_compares() -> None:
    large = 2**53 + 1
    sizes = {N: np.array([large, 3], dtype=np.int64)}
    evaluator = ArrayEvaluator(sizes)
    # As a float, 2**53 + 1 is 2**53; Python compares the int itself.
    assert evaluator.holds(sympy.Gt(N, sympy.Float(2.0**53))).tolist() == [True, False]
    assert evaluator.value(IntTrueDiv(3 * N, 7))[0].tolist() == [3 * large / 7, 9 / 7]
    assert evaluator.holds(sympy.Lt(N, int_oo)).all()
    assert evaluator.holds(sympy.Ge(N, -int_oo)).all()


def test_rounding_beyond_64_bits_gives_python_numbers() -> None:
    found, _ = ArrayEvaluator({N: np.array([10, 2**40])}).value(
        F.FloorToInt(F.FloatPow(ToFloat(N), sympy.Float(2.0)))
    )
    assert found.tolist() == [100, 2**80]


@pytest.mark.parametrize(
    "condition",
    [
        sympy.Eq(F.FloorDiv(12, N), 0, evaluate=False),
        sympy.Eq(F.PythonMod(12, N), 0, evaluate=False),
        sympy.Lt(IntTrueDiv(12, N), 100, evaluate=False),
        sympy.Ne(F.ModularIndexing(M, N, 3), 5, evaluate=False),
        sympy.Ne(F.CeilDiv(M, N), 99, evaluate=False),
        cast(Any, sympy.Or)(sympy.Ge(M, 3), sympy.Eq(F.PythonMod(12, N), 0), evaluate=False),
        sympy.Not(sympy.Eq(F.FloorDiv(12, N), 0), evaluate=False),
    ],
    ids=str,
)
def test_a_division_by_zero_is_false_whatever_stands_around_it(condition: Any) -> None:
    holds = ArrayEvaluator({N: np.array([0, 5]), M: np.array([4, 4])}).holds(condition)
    assert not holds[0]


def test_negative_shifts_and_powers_are_undefined() -> None:
    evaluator = ArrayEvaluator({N: np.array([1, 5])})
    for expression in (F.LShift(1, N - 3), F.RShift(64, N - 3), F.PowByNatural(2, N - 3)):
        assert np.asarray(evaluator.value(expression)[1]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (sympy.Eq(sympy.Symbol("s7"), 4), "free symbol s7"),
        (sympy.Gt(sympy.sin(N), 0), "sin"),
        (F.PowByNatural(N, N), "a power with up to"),
        (F.LShift(M, N, evaluate=False), "a shift by up to 100000 bits"),
    ],
)
def test_what_has_no_value_is_said(expression: Any, reason: str) -> None:
    with pytest.raises(UnknownExpression, match=reason):
        ArrayEvaluator({N: np.array([3, 100_000]), M: np.array([1, 2])}).value(expression)


def test_sub_expressions_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = ArrayEvaluator._evaluated
    monkeypatch.setattr(
        ArrayEvaluator,
        "_evaluated",
        lambda self, expression: seen.append(expression) or original(self, expression),
    )
    evaluator = ArrayEvaluator({N: np.arange(1, 9)})
    for number in range(5):
        evaluator.holds(sympy.Eq(F.PythonMod(16 * N, 64), number))
    assert sum(type(each).__name__ == "PythonMod" for each in seen) == 1


def test_arrays_that_broadcast_keep_their_small_form() -> None:
    evaluator = ArrayEvaluator({N: np.arange(1, 4).reshape(-1, 1), M: np.arange(1, 6)})
    assert evaluator.holds(sympy.Gt(N, 2)).shape == (3, 1)
    assert evaluator.holds(sympy.Gt(N, M)).shape == (3, 5)


def test_scalars_give_python_truth() -> None:
    assert bool(ArrayEvaluator({N: 7}).holds(sympy.Gt(N * N, 48)))
    assert math.isclose(float(evaluate(IntTrueDiv(N, 2), {N: 7})), 3.5)
