"""Size expressions in, their values at many points at once out; Python's numbers, not numpy's.

What each function of torch's sympy means over arrays stands in ``array_functions``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy

from explorer.artifacts.common import Expression
from explorer.guards.array_functions import (
    LARGEST_INT64,
    Numbers,
    UnknownExpression,
    Value,
    function_of,
)


class ArrayEvaluator:
    """Values of expressions over some points; every sub-expression is worked out once.

    Args:
        sizes: symbol -> its values: arrays that broadcast against each other, or numbers.
    """

    def __init__(self, sizes: Mapping[Expression, Any]) -> None:
        self._known: dict[Any, Value] = {
            symbol: _size_value(values) for symbol, values in sizes.items()
        }

    def value(self, expression: Expression | int) -> tuple[Numbers, Any]:
        """The numbers, and where they exist: True, or an array that is False at a division by zero.

        Raises:
            UnknownExpression: a free symbol without a value, or an unknown function.
        """
        with np.errstate(all="ignore"):
            found = self._value(expression)
        return found.numbers, found.defined

    def holds(self, condition: Expression) -> np.ndarray:
        """Where a condition is true; a division by zero counts as false.

        Raises:
            UnknownExpression: see ``value``.
        """
        numbers, defined = self.value(condition)
        return np.asarray(numbers, dtype=bool) & defined

    def _value(self, expression: Expression | int) -> Value:
        known = self._known.get(expression)
        if known is None:
            known = self._known[expression] = self._evaluated(expression)
        return known

    def _evaluated(self, expression: Expression | int) -> Value:
        constant = _constant(expression)
        if constant is not None:
            return constant
        assert not isinstance(expression, int)
        if expression.is_Symbol:
            raise UnknownExpression(f"free symbol {expression}")
        values = [self._value(argument) for argument in expression.args]
        function = function_of(expression)
        found = function(*values)
        defined = found.defined
        for value in values:
            if value.defined is not True:
                defined = value.defined & defined
        return Value(_small(found), found.largest, defined)


def evaluate(expression: Expression | int, sizes: Mapping[Expression, Any]) -> Any:
    """The value of one expression at some sizes; numpy int64 arrays give an array.

    A division by zero makes a condition false there, and a number 0.

    Raises:
        UnknownExpression: see ``ArrayEvaluator.value``.
    """
    numbers, defined = ArrayEvaluator(sizes).value(expression)
    if defined is True:
        return numbers
    if np.asarray(numbers).dtype == bool:
        return np.asarray(numbers) & defined
    return np.where(defined, numbers, 0)


def _size_value(values: Any) -> Value:
    if isinstance(values, np.ndarray):
        largest = max(int(values.max()), -int(values.min())) if values.size else 0
        return Value(values.astype(np.int64, copy=False), largest)
    return Value(int(values), abs(int(values)))


def _constant(expression: Expression | int) -> Value | None:
    if isinstance(expression, int):
        return Value(expression, abs(expression))
    if expression in (sympy.true, sympy.false):
        return Value(bool(expression), 1)
    if expression.is_Integer:
        return Value(int(expression), abs(int(expression)))
    if expression.is_Rational or expression.is_Float:
        return Value(float(expression), None)
    if expression in (sympy.oo, -sympy.oo) or type(expression).__name__.endswith("IntInfinity"):
        return Value(math.inf if expression > 0 else -math.inf, None)
    return None


def _small(value: Value) -> Numbers:
    """Python's numbers back in 64 bits once they fit."""
    numbers = value.numbers
    if not isinstance(numbers, np.ndarray) or numbers.dtype != object:
        return numbers
    if value.is_float:
        return numbers.astype(np.float64)
    assert value.largest is not None
    return numbers.astype(np.int64) if value.largest <= LARGEST_INT64 else numbers


__all__ = ["ArrayEvaluator", "UnknownExpression", "evaluate"]
