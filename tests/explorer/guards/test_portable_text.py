"""Conditions on sizes as texts: read again they are equal, and nothing else is read."""

from __future__ import annotations

from typing import Any, cast

import pytest
import sympy
from torch.utils._sympy.functions import Mod, PythonMod

from explorer.guards.expression import UnknownExpression
from explorer.guards.portable_text import expression_of_text, portable_text
from tests.explorer.guards.test_expression import EXPRESSIONS, M, N

And = cast(Any, sympy.And)  # sympy says that it takes no Eq, which may be an Integer
NAMES = {N: "input_0", M: "input_1_dim_0"}
SYMBOLS = {name: symbol for symbol, name in NAMES.items()}


@pytest.mark.parametrize("expression", [each.values[0] for each in EXPRESSIONS], ids=str)
def test_what_is_read_again_is_equal(expression: Any) -> None:
    text = portable_text(expression, NAMES)
    again = expression_of_text(text, SYMBOLS)
    assert again == expression
    assert type(again) is type(expression)


def test_text() -> None:
    condition = sympy.Eq(PythonMod(N - 5, M), 1)
    text = "Equality(PythonMod(Add(-5, input_0), input_1_dim_0), 1)"
    assert portable_text(condition, NAMES) == text
    assert portable_text(sympy.Eq(Mod(N, 8), 0), NAMES) == "Equality(Mod(input_0, 8), 0)"
    assert portable_text(sympy.Lt(N / 2, 1.5), NAMES) == (
        "StrictLessThan(Mul(Rational(1, 2), input_0), 1.5)"
    )


def test_read_with_other_symbols() -> None:
    rows, columns = (sympy.Symbol(name, integer=True, positive=True) for name in ("s77", "s3"))
    text = portable_text(And(sympy.Gt(N, M), sympy.Ne(M, 4)), NAMES)
    found = expression_of_text(text, {"input_0": rows, "input_1_dim_0": columns})
    assert found == And(sympy.Gt(rows, columns), sympy.Ne(columns, 4))


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(sympy.Gt(sympy.Symbol("u0", integer=True), 3), id="size without a place"),
        pytest.param(sympy.Gt(N, sympy.Function("unknown")(M)), id="unknown function"),
        pytest.param(sympy.Gt(N, sympy.pi), id="number without digits"),
        pytest.param(sympy.Gt(N, sympy.Float("1.23456789012345678901", 21)), id="long number"),
        pytest.param(sympy.Max(N, M), id="a function of the same name"),
    ],
)
def test_what_no_text_says_is_refused(expression: Any) -> None:
    with pytest.raises(UnknownExpression):
        portable_text(expression, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "input_0 >",
        "input_0 > 4",
        "input_2",
        "'input_0'",
        "__import__('os')",
        "Add(input_0, __import__('os').getpid())",
        "sympy.Add(input_0, 1)",
        "Add(input_0, evaluate=False)",
        "Add(*input_0)",
        "sympify('input_0')",
        "(lambda: input_0)()",
        "-input_0",
        "input_0; input_0",
    ],
)
def test_a_text_of_another_form_is_not_read(text: str) -> None:
    with pytest.raises(UnknownExpression):
        expression_of_text(text, SYMBOLS)
