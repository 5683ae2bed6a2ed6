"""Size expressions in, text for people and Python source for predicates out.

Torch writes conditions on sizes in sympy with functions of its own (``FloorDiv``, ``PythonMod``
...). They are told apart by class name, so that no private module is needed. Over many sizes at
once they are evaluated in ``arrays``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sympy

from explorer.artifacts.common import Expression
from explorer.guards.arrays import UnknownExpression, evaluate

_INFIX = {
    "Eq": "==",
    "Equality": "==",
    "Ne": "!=",
    "Unequality": "!=",
    "Lt": "<",
    "StrictLessThan": "<",
    "Le": "<=",
    "LessThan": "<=",
    "Gt": ">",
    "StrictGreaterThan": ">",
    "Ge": ">=",
    "GreaterThan": ">=",
    "FloorDiv": "//",
    "CleanDiv": "//",
    "Mod": "%",
    "PythonMod": "%",
    "IntTrueDiv": "/",
    "FloatTrueDiv": "/",
    "LShift": "<<",
    "RShift": ">>",
    "PowByNatural": "**",
    "FloatPow": "**",
}
_FOLDED = {
    "Add": "+",
    "Mul": "*",
    "And": "&",
    "Or": "|",
    "BitwiseFn_bitwise_and": "&",
    "BitwiseFn_bitwise_or": "|",
    "BitwiseFn_bitwise_xor": "^",
}
_MATH = ("sqrt", "cos", "cosh", "sin", "sinh", "tan", "tanh", "asin", "acos", "atan", "exp", "log")
_MATH += ("asinh", "log2")
_CALLS = {
    "Max": "_maximum",
    "Min": "_minimum",
    "ToFloat": "_to_float",
    "CeilToInt": "_ceil",
    "FloorToInt": "_floor",
    "TruncToInt": "_trunc",
    "RoundToInt": "_round",
    "RoundDecimal": "_round",
    "TruncToFloat": "_trunc_to_float",
    "Abs": "_absolute",
    "Where": "_where",
    "CeilDiv": "_ceil_div",
    "ModularIndexing": "_modular_indexing",
}


def python_source(expression: Expression | int, names: Mapping[Expression, str]) -> str:
    """The expression as a Python expression over the given variable names.

    Evaluate it with ``SCALAR_FUNCTIONS`` in scope.

    Raises:
        UnknownExpression: a free symbol without a name, or an unknown function.
    """
    if isinstance(expression, int):
        return repr(expression)
    if expression.is_Symbol:
        if expression not in names:
            raise UnknownExpression(f"free symbol {expression}")
        return names[expression]
    if expression in (sympy.true, sympy.false):
        return repr(bool(expression))
    if expression.is_Integer:
        return f"({int(expression)})" if int(expression) < 0 else str(int(expression))
    if expression.is_Rational or expression.is_Float:
        return repr(float(expression))
    if expression in (sympy.oo, -sympy.oo) or type(expression).__name__.endswith("IntInfinity"):
        return "(2**62)" if expression > 0 else "(-2**62)"
    arguments = [python_source(argument, names) for argument in expression.args]
    return _call_source(expression, arguments)


def _call_source(expression: Expression, arguments: list[str]) -> str:
    name = type(expression).__name__
    if name in _INFIX and len(arguments) == 2:
        return f"({arguments[0]} {_INFIX[name]} {arguments[1]})"
    if name in _FOLDED:
        return f"({f' {_FOLDED[name]} '.join(arguments)})"
    if name in ("Identity", "Identity_"):
        return arguments[0]
    if name == "Not":
        return f"_not({arguments[0]})"
    if name == "Pow" and expression.args[1].is_Integer and int(expression.args[1]) >= 0:
        return f"({arguments[0]} ** {arguments[1]})"
    if name.removeprefix("OpaqueUnaryFn_") in _MATH and name.startswith("OpaqueUnaryFn_"):
        return f"_math_{name.removeprefix('OpaqueUnaryFn_')}({arguments[0]})"
    if name in _CALLS:
        return f"{_CALLS[name]}({', '.join(arguments)})"
    raise UnknownExpression(f"{name} in {expression}")


SCALAR_FUNCTIONS: Mapping[str, Any] = {
    "_maximum": max,
    "_minimum": min,
    "_not": lambda value: not value,
    "_to_float": float,
    "_ceil": lambda value: int(-(-value // 1)),
    "_floor": lambda value: int(value // 1),
    "_trunc": int,
    "_round": round,
    "_trunc_to_float": lambda value: float(int(value)),
    "_absolute": abs,
    "_where": lambda condition, a, b: a if condition else b,
    "_ceil_div": lambda a, b: -(-a // b),
    "_modular_indexing": lambda base, divisor, modulus: (base // divisor) % modulus,
    **{f"_math_{name}": getattr(math, name) for name in _MATH},
}
"""What ``python_source`` calls."""


def expression_text(expression: Expression | int, names: Mapping[Expression, str]) -> str:
    """The expression for people, in the sizes' names: ``n % 8 == 0``."""
    try:
        text = python_source(expression, {**_own_names(expression), **names})
    except UnknownExpression:
        return str(expression)
    return text[1:-1] if text.startswith("(") and _closes_at_end(text) else text


def _own_names(expression: Expression | int) -> dict[Expression, str]:
    if isinstance(expression, int):
        return {}
    return {symbol: str(symbol) for symbol in expression.free_symbols}


def _closes_at_end(text: str) -> bool:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position == len(text) - 1
    return False


__all__ = ["SCALAR_FUNCTIONS", "UnknownExpression", "evaluate", "expression_text", "python_source"]
