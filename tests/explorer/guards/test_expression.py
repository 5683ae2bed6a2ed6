"""Size expressions mean the same as text, on numbers and on arrays."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import sympy
from torch.utils._sympy.functions import (
    CeilToInt,
    CleanDiv,
    FloorDiv,
    IntTrueDiv,
    Max,
    Min,
    Mod,
    ModularIndexing,
    PythonMod,
)

from explorer.guards.expression import (
    SCALAR_FUNCTIONS,
    UnknownExpression,
    evaluate,
    expression_text,
    python_source,
)

Or = cast(Any, sympy.Or)  # sympy says that Eq may be an Integer, and that Or takes none
N = sympy.Symbol("n", integer=True, positive=True)
M = sympy.Symbol("m", integer=True, positive=True)
NAMES = {N: "n", M: "m"}

EXPRESSIONS = [
    pytest.param(sympy.Ne(N, 4), "n != 4", lambda n, m: n != 4, id="Ne"),
    pytest.param(sympy.Eq(N, M), None, lambda n, m: n == m, id="Eq"),
    pytest.param(sympy.Gt(N, 2 * M), None, lambda n, m: n > 2 * m, id="Gt"),
    pytest.param(sympy.Le(N + M, 9), None, lambda n, m: n + m <= 9, id="Le"),
    pytest.param(sympy.Eq(Mod(N, 8), 0), "(n % 8) == 0", lambda n, m: n % 8 == 0, id="Mod"),
    pytest.param(sympy.Ne(PythonMod(N - 5, M), 1), None, lambda n, m: (n - 5) % m != 1, id="PMod"),
    pytest.param(FloorDiv(N, M), None, lambda n, m: n // m, id="FloorDiv"),
    pytest.param(CleanDiv(6 * N, 3), None, lambda n, m: 6 * n // 3, id="CleanDiv"),
    pytest.param(Max(N, M), None, max, id="Max"),
    pytest.param(Min(N, M + 2), None, lambda n, m: min(n, m + 2), id="Min"),
    pytest.param(N**2 - 3, None, lambda n, m: n**2 - 3, id="Pow"),
    pytest.param(ModularIndexing(N, 2, 3), None, lambda n, m: (n // 2) % 3, id="ModularIndexing"),
    pytest.param(
        CeilToInt(IntTrueDiv(N, M)), None, lambda n, m: -(-n // m), id="ceiling of a division"
    ),
    pytest.param(
        sympy.And(sympy.Gt(N, 2), sympy.Lt(M, 4)), None, lambda n, m: n > 2 and m < 4, id="And"
    ),
    pytest.param(Or(sympy.Eq(N, 2), sympy.Eq(M, 4)), None, lambda n, m: n == 2 or m == 4, id="Or"),
    pytest.param(
        sympy.Not(sympy.And(sympy.Gt(N, 2), sympy.Lt(M, 4)), evaluate=False),
        None,
        lambda n, m: not (n > 2 and m < 4),
        id="Not",
    ),
    pytest.param(sympy.true, "True", lambda n, m: True, id="true"),
    pytest.param(sympy.Integer(-3), None, lambda n, m: -3, id="negative number"),
]


@pytest.mark.parametrize(("expression", "text", "meaning"), EXPRESSIONS)
def test_value_on_numbers_and_arrays(expression, text, meaning) -> None:
    n, m = (grid.ravel() for grid in np.meshgrid(np.arange(1, 20), np.arange(1, 8)))
    expected = [meaning(int(a), int(b)) for a, b in zip(n, m, strict=True)]
    scope = dict(SCALAR_FUNCTIONS)
    source = python_source(expression, NAMES)
    scalars = [eval(source, scope, {"n": int(a), "m": int(b)}) for a, b in zip(n, m, strict=True)]
    assert scalars == expected
    array = np.broadcast_to(evaluate(expression, {N: n, M: m}), n.shape)
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("expression", "text", "meaning"), [each for each in EXPRESSIONS if each.values[1]]
)
def test_text_for_people(expression, text, meaning) -> None:
    assert expression_text(expression, NAMES) == text


def test_text_names_a_symbol_that_has_no_name_by_its_own() -> None:
    assert expression_text(sympy.Ne(sympy.Symbol("s5"), 4), {}) == "s5 != 4"


def test_unknown_symbol_or_function_is_said() -> None:
    with pytest.raises(UnknownExpression, match="free symbol m"):
        python_source(N + M, {N: "n"})
    with pytest.raises(UnknownExpression, match="sin"):
        python_source(sympy.sin(N), NAMES)
    assert "sin" in expression_text(sympy.sin(N), NAMES)


def test_division_by_zero_is_false_and_never_raises() -> None:
    sizes = {N: np.array([0, 1, 2]), M: np.array([0, 1, 2])}
    condition = sympy.Eq(Mod(N, M), 0, evaluate=False)
    assert np.asarray(evaluate(condition, sizes)).tolist() == [False, True, True]


def test_large_sizes_do_not_overflow() -> None:
    sizes = {N: np.array([2**31 - 1], dtype=np.int64)}
    assert evaluate(sympy.Gt(N * N, 2**61), sizes).tolist() == [True]
