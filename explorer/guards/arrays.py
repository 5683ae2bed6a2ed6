"""Size expressions in, their values at many points at once out; Python's numbers, not numpy's.

Torch writes conditions on sizes in sympy with functions of its own (``FloorDiv``, ``PythonMod``
...), told apart by class name, so that no private module is needed. A value that does not fit 64
bits, or that a float would round, is worked out in Python's own numbers instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import sympy

from explorer.artifacts.common import Expression

_LARGEST_INT64 = 2**63 - 1
_LARGEST_EXACT_FLOAT = 2**53
_MOST_BITS = 4096
"""A power or shift with more bits is not worked out: it would take memory, not time."""

Numbers: TypeAlias = Any
"""A numpy array of one of the dtypes bool, int64, float64 and object, or a Python number."""


class UnknownExpression(Exception):
    """An expression with a symbol or a function that has no meaning here.

    What it says is then not known.
    """


@dataclass(frozen=True, eq=False)
class _Value:
    """Attributes: the numbers, a bound of their magnitude (None for floats), where they exist."""

    numbers: Numbers
    largest: int | None
    defined: Any = True

    @property
    def is_float(self) -> bool:
        return self.largest is None


class ArrayEvaluator:
    """Values of expressions over some points; every sub-expression is worked out once.

    Args:
        sizes: symbol -> its values: arrays that broadcast against each other, or numbers.
    """

    def __init__(self, sizes: Mapping[Expression, Any]) -> None:
        self._known: dict[Any, _Value] = {
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

    def _value(self, expression: Expression | int) -> _Value:
        known = self._known.get(expression)
        if known is None:
            known = self._known[expression] = self._evaluated(expression)
        return known

    def _evaluated(self, expression: Expression | int) -> _Value:
        constant = _constant(expression)
        if constant is not None:
            return constant
        assert not isinstance(expression, int)
        if expression.is_Symbol:
            raise UnknownExpression(f"free symbol {expression}")
        values = [self._value(argument) for argument in expression.args]
        function = _function_of(expression)
        found = function(*values)
        defined = found.defined
        for value in values:
            if value.defined is not True:
                defined = value.defined & defined
        return _Value(_small(found), found.largest, defined)


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


def _size_value(values: Any) -> _Value:
    if isinstance(values, np.ndarray):
        largest = max(int(values.max()), -int(values.min())) if values.size else 0
        return _Value(values.astype(np.int64, copy=False), largest)
    return _Value(int(values), abs(int(values)))


def _constant(expression: Expression | int) -> _Value | None:
    if isinstance(expression, int):
        return _Value(expression, abs(expression))
    if expression in (sympy.true, sympy.false):
        return _Value(bool(expression), 1)
    if expression.is_Integer:
        return _Value(int(expression), abs(int(expression)))
    if expression.is_Rational or expression.is_Float:
        return _Value(float(expression), None)
    if expression in (sympy.oo, -sympy.oo) or type(expression).__name__.endswith("IntInfinity"):
        return _Value(math.inf if expression > 0 else -math.inf, None)
    return None


def _small(value: _Value) -> Numbers:
    """Python's numbers back in 64 bits once they fit."""
    numbers = value.numbers
    if not isinstance(numbers, np.ndarray) or numbers.dtype != object:
        return numbers
    if value.is_float:
        return numbers.astype(np.float64)
    assert value.largest is not None
    return numbers.astype(np.int64) if value.largest <= _LARGEST_INT64 else numbers


def _python_numbers(value: _Value) -> np.ndarray:
    return np.asarray(value.numbers).astype(object)


# ------------------------------------------------------------------------ one function per operator


def _function_of(expression: Expression) -> Callable[..., _Value]:
    name = type(expression).__name__
    known = _FUNCTIONS.get(name)
    if known is not None:
        return known
    if name == "Pow" and expression.args[1].is_Integer and int(expression.args[1]) >= 0:
        return _power
    if name.startswith("OpaqueUnaryFn_") and hasattr(math, name.removeprefix("OpaqueUnaryFn_")):
        return _each(getattr(math, name.removeprefix("OpaqueUnaryFn_")))
    raise UnknownExpression(f"{name} in {expression}")


def _arithmetic(function: Callable[..., Any], bound: Callable[..., int]) -> Callable[..., _Value]:
    """A numpy function of two or more ints or floats, folded; ``bound`` is of the magnitudes."""

    def apply(first: _Value, *rest: _Value) -> _Value:
        result = first
        for value in rest:
            if result.largest is None or value.largest is None:
                result = _Value(function(result.numbers, value.numbers), None)
                continue
            largest = bound(result.largest, value.largest)
            inside = max(largest, result.largest, value.largest) <= _LARGEST_INT64
            operands = (
                (result.numbers, value.numbers)
                if inside
                else (_python_numbers(result), _python_numbers(value))
            )
            result = _Value(function(*operands), largest)
        return result

    return apply


def _comparison(function: Callable[..., Any]) -> Callable[..., _Value]:
    def apply(left: _Value, right: _Value) -> _Value:
        if left.is_float != right.is_float:
            whole = right if left.is_float else left
            assert whole.largest is not None
            if whole.largest > _LARGEST_EXACT_FLOAT:  # numpy would round the int first
                operands = (_python_numbers(left), _python_numbers(right))
                return _Value(np.asarray(function(*operands), dtype=bool), 1)
        return _Value(np.asarray(function(left.numbers, right.numbers), dtype=bool), 1)

    return apply


def _logical(function: Callable[..., Any]) -> Callable[..., _Value]:
    def apply(first: _Value, *rest: _Value) -> _Value:
        result = np.asarray(first.numbers, dtype=bool)
        for value in rest:
            result = function(result, value.numbers)
        return _Value(result, 1)

    return apply


def _not(value: _Value) -> _Value:
    return _Value(np.logical_not(value.numbers), 1)


def _divisor(value: _Value) -> tuple[_Value, Any]:
    """The divisor with 1 for 0, and where it was not 0."""
    nonzero = np.not_equal(value.numbers, 0)
    if np.all(nonzero):
        return value, True
    return _Value(np.where(nonzero, value.numbers, 1), value.largest), nonzero


def _division(function: Callable[..., Any], bound: Callable[..., int]) -> Callable[..., _Value]:
    plain = _arithmetic(function, bound)

    def apply(dividend: _Value, divisor: _Value) -> _Value:
        divisor, nonzero = _divisor(divisor)
        found = plain(dividend, divisor)
        return _Value(found.numbers, found.largest, nonzero)

    return apply


def _true_division(dividend: _Value, divisor: _Value) -> _Value:
    divisor, nonzero = _divisor(divisor)
    operands = (dividend.numbers, divisor.numbers)
    if max(dividend.largest or 0, divisor.largest or 0) > _LARGEST_EXACT_FLOAT:
        operands = (_python_numbers(dividend), _python_numbers(divisor))
    return _Value(np.asarray(np.true_divide(*operands), dtype=np.float64), None, nonzero)


def _modular_indexing(base: _Value, divisor: _Value, modulus: _Value) -> _Value:
    quotient = _FLOOR_DIVISION(base, divisor)
    found = _REMAINDER(quotient, modulus)
    return _Value(found.numbers, found.largest, found.defined & np.asarray(quotient.defined))


def _ceil_division(dividend: _Value, divisor: _Value) -> _Value:
    negated = _Value(np.negative(dividend.numbers), dividend.largest)
    found = _FLOOR_DIVISION(negated, divisor)
    return _Value(np.negative(found.numbers), found.largest, found.defined)


def _exponent(value: _Value) -> tuple[_Value, Any]:
    """The exponent or shift with 0 for negative ones, and where it was not negative."""
    allowed = np.greater_equal(value.numbers, 0)
    if np.all(allowed):
        return value, True
    return _Value(np.where(allowed, value.numbers, 0), value.largest), allowed


def _power(base: _Value, exponent: _Value) -> _Value:
    exponent, allowed = _exponent(exponent)
    bits = (base.largest or 2).bit_length() * (exponent.largest or 0)
    if bits > _MOST_BITS:
        raise UnknownExpression(f"a power with up to {bits} bits")
    found = _arithmetic(np.power, lambda one, other: one**other)(base, exponent)
    return _Value(found.numbers, found.largest, allowed)


def _left_shift(value: _Value, shift: _Value) -> _Value:
    shift, allowed = _exponent(shift)
    if (shift.largest or 0) > _MOST_BITS:
        raise UnknownExpression(f"a shift by up to {shift.largest} bits")
    found = _arithmetic(np.left_shift, lambda one, other: one << other)(value, shift)
    return _Value(found.numbers, found.largest, allowed)


def _right_shift(value: _Value, shift: _Value) -> _Value:
    shift, allowed = _exponent(shift)
    shift = _Value(np.minimum(shift.numbers, 63), 63)  # numpy leaves larger shifts undefined
    if (value.largest or 0) > _LARGEST_INT64:
        raise UnknownExpression("a shift of a number of more than 64 bits")
    return _Value(np.right_shift(value.numbers, shift.numbers), value.largest, allowed)


def _to_float(value: _Value) -> _Value:
    return _Value(np.asarray(value.numbers).astype(np.float64), None)


def _to_int(rounding: Callable[..., Any]) -> Callable[..., _Value]:
    def apply(value: _Value) -> _Value:
        if not value.is_float:
            return value
        rounded = rounding(np.asarray(value.numbers, dtype=np.float64))
        finite = np.isfinite(rounded)
        rounded = np.where(finite, rounded, 0.0)
        largest = int(np.max(np.abs(rounded), initial=0.0))
        defined = True if finite.all() else finite
        if largest >= _LARGEST_INT64:
            return _Value(np.frompyfunc(int, 1, 1)(rounded), largest, defined)
        return _Value(rounded.astype(np.int64), largest, defined)

    return apply


def _each(function: Callable[..., float]) -> Callable[..., _Value]:
    """A function of Python floats, point by point: numpy's own may differ in the last bit."""

    def value_at(*numbers: Any) -> float:
        try:
            return function(*numbers)
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan

    def apply(*values: _Value) -> _Value:
        found = np.frompyfunc(value_at, len(values), 1)(*(_python_numbers(v) for v in values))
        numbers = np.asarray(found, dtype=np.float64)
        return _Value(numbers, None, ~np.isnan(numbers))

    return apply


def _where(condition: _Value, left: _Value, right: _Value) -> _Value:
    if left.largest is None or right.largest is None:
        return _Value(np.where(condition.numbers, left.numbers, right.numbers), None)
    largest = max(left.largest, right.largest)
    if largest > _LARGEST_INT64:
        operands = (_python_numbers(left), _python_numbers(right))
        return _Value(np.where(condition.numbers, *operands), largest)
    return _Value(np.where(condition.numbers, left.numbers, right.numbers), largest)


def _absolute(value: _Value) -> _Value:
    return _Value(np.abs(value.numbers), value.largest)


def _identity(value: _Value) -> _Value:
    return value


def _bits_bound(one: int, other: int) -> int:
    return 1 << max(one.bit_length(), other.bit_length())


_FLOOR_DIVISION = _division(np.floor_divide, lambda one, other: one)
_REMAINDER = _division(np.mod, lambda one, other: other)

_FUNCTIONS: Mapping[str, Callable[..., _Value]] = {
    "Equality": _comparison(np.equal),
    "Unequality": _comparison(np.not_equal),
    "StrictLessThan": _comparison(np.less),
    "LessThan": _comparison(np.less_equal),
    "StrictGreaterThan": _comparison(np.greater),
    "GreaterThan": _comparison(np.greater_equal),
    "And": _logical(np.logical_and),
    "Or": _logical(np.logical_or),
    "Not": _not,
    "Add": _arithmetic(np.add, lambda one, other: one + other),
    "Mul": _arithmetic(np.multiply, lambda one, other: one * other),
    "Max": _arithmetic(np.maximum, max),
    "Min": _arithmetic(np.minimum, max),
    "Abs": _absolute,
    "FloorDiv": _FLOOR_DIVISION,
    "CleanDiv": _FLOOR_DIVISION,
    "CeilDiv": _ceil_division,
    "Mod": _REMAINDER,
    "PythonMod": _REMAINDER,
    "ModularIndexing": _modular_indexing,
    "IntTrueDiv": _true_division,
    "FloatTrueDiv": _true_division,
    "PowByNatural": _power,
    "FloatPow": _each(math.pow),
    "LShift": _left_shift,
    "RShift": _right_shift,
    "BitwiseFn_bitwise_and": _arithmetic(np.bitwise_and, _bits_bound),
    "BitwiseFn_bitwise_or": _arithmetic(np.bitwise_or, _bits_bound),
    "BitwiseFn_bitwise_xor": _arithmetic(np.bitwise_xor, _bits_bound),
    "ToFloat": _to_float,
    "CeilToInt": _to_int(np.ceil),
    "FloorToInt": _to_int(np.floor),
    "TruncToInt": _to_int(np.trunc),
    "RoundToInt": _to_int(np.rint),
    "TruncToFloat": lambda value: _Value(np.trunc(_to_float(value).numbers), None),
    "RoundDecimal": _each(lambda number, digits: float(round(number, digits))),
    "Where": _where,
    "Identity": _identity,
}


__all__ = ["ArrayEvaluator", "UnknownExpression", "evaluate"]
