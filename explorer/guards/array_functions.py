"""Values of the parts of a size expression in, the value of the whole out: one function each.

A value that does not fit 64 bits, or that a float would round, is worked out in Python's own
numbers. A division by zero leaves the value undefined there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from explorer.artifacts.common import Expression

LARGEST_INT64 = 2**63 - 1
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
class Value:
    """What a part of an expression comes to.

    Attributes:
        numbers: its values.
        largest: a bound of their magnitude; None for floats.
        defined: where they exist: True, or an array that is False at a division by zero.
    """

    numbers: Numbers
    largest: int | None
    defined: Any = True

    @property
    def is_float(self) -> bool:
        """Whether they are floats."""
        return self.largest is None


def _python_numbers(value: Value) -> np.ndarray:
    return np.asarray(value.numbers).astype(object)


def function_of(expression: Expression) -> Callable[..., Value]:
    """The function that an expression applies to its arguments, over values of these.

    Torch's own are told apart by class name, so that no private module is needed.

    Raises:
        UnknownExpression: it has no meaning over sizes.
    """
    name = type(expression).__name__
    known = _FUNCTIONS.get(name)
    if known is not None:
        return known
    if name == "Pow" and expression.args[1].is_Integer and int(expression.args[1]) >= 0:
        return _power
    if name.startswith("OpaqueUnaryFn_") and hasattr(math, name.removeprefix("OpaqueUnaryFn_")):
        return _each(getattr(math, name.removeprefix("OpaqueUnaryFn_")))
    raise UnknownExpression(f"{name} in {expression}")


def _arithmetic(function: Callable[..., Any], bound: Callable[..., int]) -> Callable[..., Value]:
    """A numpy function of two or more ints or floats, folded; ``bound`` is of the magnitudes."""

    def apply(first: Value, *rest: Value) -> Value:
        result = first
        for value in rest:
            if result.largest is None or value.largest is None:
                result = Value(function(result.numbers, value.numbers), None)
                continue
            largest = bound(result.largest, value.largest)
            inside = max(largest, result.largest, value.largest) <= LARGEST_INT64
            operands = (
                (result.numbers, value.numbers)
                if inside
                else (_python_numbers(result), _python_numbers(value))
            )
            result = Value(function(*operands), largest)
        return result

    return apply


def _comparison(function: Callable[..., Any]) -> Callable[..., Value]:
    def apply(left: Value, right: Value) -> Value:
        if left.is_float != right.is_float:
            whole = right if left.is_float else left
            assert whole.largest is not None
            if whole.largest > _LARGEST_EXACT_FLOAT:  # numpy would round the int first
                operands = (_python_numbers(left), _python_numbers(right))
                return Value(np.asarray(function(*operands), dtype=bool), 1)
        return Value(np.asarray(function(left.numbers, right.numbers), dtype=bool), 1)

    return apply


def _logical(function: Callable[..., Any]) -> Callable[..., Value]:
    def apply(first: Value, *rest: Value) -> Value:
        result = np.asarray(first.numbers, dtype=bool)
        for value in rest:
            result = function(result, value.numbers)
        return Value(result, 1)

    return apply


def _not(value: Value) -> Value:
    return Value(np.logical_not(value.numbers), 1)


def _divisor(value: Value) -> tuple[Value, Any]:
    """The divisor with 1 for 0, and where it was not 0."""
    nonzero = np.not_equal(value.numbers, 0)
    if np.all(nonzero):
        return value, True
    return Value(np.where(nonzero, value.numbers, 1), value.largest), nonzero


def _division(function: Callable[..., Any], bound: Callable[..., int]) -> Callable[..., Value]:
    plain = _arithmetic(function, bound)

    def apply(dividend: Value, divisor: Value) -> Value:
        divisor, nonzero = _divisor(divisor)
        found = plain(dividend, divisor)
        return Value(found.numbers, found.largest, nonzero)

    return apply


def _true_division(dividend: Value, divisor: Value) -> Value:
    divisor, nonzero = _divisor(divisor)
    operands = (dividend.numbers, divisor.numbers)
    if max(dividend.largest or 0, divisor.largest or 0) > _LARGEST_EXACT_FLOAT:
        operands = (_python_numbers(dividend), _python_numbers(divisor))
    return Value(np.asarray(np.true_divide(*operands), dtype=np.float64), None, nonzero)


def _modular_indexing(base: Value, divisor: Value, modulus: Value) -> Value:
    quotient = _FLOOR_DIVISION(base, divisor)
    found = _REMAINDER(quotient, modulus)
    return Value(found.numbers, found.largest, found.defined & np.asarray(quotient.defined))


def _ceil_division(dividend: Value, divisor: Value) -> Value:
    negated = Value(np.negative(dividend.numbers), dividend.largest)
    found = _FLOOR_DIVISION(negated, divisor)
    return Value(np.negative(found.numbers), found.largest, found.defined)


def _exponent(value: Value) -> tuple[Value, Any]:
    """The exponent or shift with 0 for negative ones, and where it was not negative."""
    allowed = np.greater_equal(value.numbers, 0)
    if np.all(allowed):
        return value, True
    return Value(np.where(allowed, value.numbers, 0), value.largest), allowed


def _power(base: Value, exponent: Value) -> Value:
    exponent, allowed = _exponent(exponent)
    bits = (base.largest or 2).bit_length() * (exponent.largest or 0)
    if bits > _MOST_BITS:
        raise UnknownExpression(f"a power with up to {bits} bits")
    found = _arithmetic(np.power, lambda one, other: one**other)(base, exponent)
    return Value(found.numbers, found.largest, allowed)


def _left_shift(value: Value, shift: Value) -> Value:
    shift, allowed = _exponent(shift)
    if (shift.largest or 0) > _MOST_BITS:
        raise UnknownExpression(f"a shift by up to {shift.largest} bits")
    found = _arithmetic(np.left_shift, lambda one, other: one << other)(value, shift)
    return Value(found.numbers, found.largest, allowed)


def _right_shift(value: Value, shift: Value) -> Value:
    shift, allowed = _exponent(shift)
    shift = Value(np.minimum(shift.numbers, 63), 63)  # numpy leaves larger shifts undefined
    if (value.largest or 0) > LARGEST_INT64:
        raise UnknownExpression("a shift of a number of more than 64 bits")
    return Value(np.right_shift(value.numbers, shift.numbers), value.largest, allowed)


def _to_float(value: Value) -> Value:
    return Value(np.asarray(value.numbers).astype(np.float64), None)


def _to_int(rounding: Callable[..., Any]) -> Callable[..., Value]:
    def apply(value: Value) -> Value:
        if not value.is_float:
            return value
        rounded = rounding(np.asarray(value.numbers, dtype=np.float64))
        finite = np.isfinite(rounded)
        rounded = np.where(finite, rounded, 0.0)
        largest = int(np.max(np.abs(rounded), initial=0.0))
        defined = True if finite.all() else finite
        if largest >= LARGEST_INT64:
            return Value(np.frompyfunc(int, 1, 1)(rounded), largest, defined)
        return Value(rounded.astype(np.int64), largest, defined)

    return apply


def _each(function: Callable[..., float]) -> Callable[..., Value]:
    """A function of Python floats, point by point: numpy's own may differ in the last bit."""

    def value_at(*numbers: Any) -> float:
        try:
            return function(*numbers)
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan

    def apply(*values: Value) -> Value:
        found = np.frompyfunc(value_at, len(values), 1)(*(_python_numbers(v) for v in values))
        numbers = np.asarray(found, dtype=np.float64)
        return Value(numbers, None, ~np.isnan(numbers))

    return apply


def _where(condition: Value, left: Value, right: Value) -> Value:
    if left.largest is None or right.largest is None:
        return Value(np.where(condition.numbers, left.numbers, right.numbers), None)
    largest = max(left.largest, right.largest)
    if largest > LARGEST_INT64:
        operands = (_python_numbers(left), _python_numbers(right))
        return Value(np.where(condition.numbers, *operands), largest)
    return Value(np.where(condition.numbers, left.numbers, right.numbers), largest)


def _absolute(value: Value) -> Value:
    return Value(np.abs(value.numbers), value.largest)


def _identity(value: Value) -> Value:
    return value


def _bits_bound(one: int, other: int) -> int:
    return 1 << max(one.bit_length(), other.bit_length())


_FLOOR_DIVISION = _division(np.floor_divide, lambda one, other: one)
_REMAINDER = _division(np.mod, lambda one, other: other)

_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
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
    "TruncToFloat": lambda value: Value(np.trunc(_to_float(value).numbers), None),
    "RoundDecimal": _each(lambda number, digits: float(round(number, digits))),
    "Where": _where,
    "Identity": _identity,
}
