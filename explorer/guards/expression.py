"""Size expressions: as text, as Python source for predicates, and evaluated over many sizes.

Torch writes conditions on sizes in sympy with functions of its own (``FloorDiv``, ``PythonMod``
...). They are told apart by class name, so that no private module is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy

from explorer.artifacts.common import Expression

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
_FOLDED = {"Add": "+", "Mul": "*", "And": "&", "Or": "|", "BitwiseFn_bitwise_and": "&"}
_CALLS = {
    "Max": "_maximum",
    "Min": "_minimum",
    "ToFloat": "_to_float",
    "CeilToInt": "_ceil",
    "FloorToInt": "_floor",
    "TruncToInt": "_trunc",
    "Where": "_where",
    "CeilDiv": "_ceil_div",
    "ModularIndexing": "_modular_indexing",
}


class UnknownExpression(Exception):
    """An expression with a symbol or a function that has no meaning here.

    What it says is then not known.
    """


def python_source(expression: Expression | int, names: Mapping[Expression, str]) -> str:
    """The expression as a Python expression over the given variable names.

    It holds for ints and for numpy arrays alike; evaluate it with ``SCALAR_FUNCTIONS`` or
    ``ARRAY_FUNCTIONS``.

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
    if name in _CALLS:
        return f"{_CALLS[name]}({', '.join(arguments)})"
    raise UnknownExpression(f"{name} in {expression}")


def _fold_minimum(*values: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        result = np.minimum(result, value)
    return result


def _fold_maximum(*values: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        result = np.maximum(result, value)
    return result


ARRAY_FUNCTIONS: Mapping[str, Any] = {
    "_maximum": _fold_maximum,
    "_minimum": _fold_minimum,
    "_not": np.logical_not,
    "_to_float": lambda value: np.asarray(value, dtype=np.float64),
    "_ceil": lambda value: np.asarray(np.ceil(value)).astype(np.int64),
    "_floor": lambda value: np.asarray(np.floor(value)).astype(np.int64),
    "_trunc": lambda value: np.asarray(np.trunc(value)).astype(np.int64),
    "_where": np.where,
    "_ceil_div": lambda a, b: -(-a // b),
    "_modular_indexing": lambda base, divisor, modulus: (base // divisor) % modulus,
}
"""What ``python_source`` calls, for numpy arrays."""

SCALAR_FUNCTIONS: Mapping[str, Any] = {
    "_maximum": max,
    "_minimum": min,
    "_not": lambda value: not value,
    "_to_float": float,
    "_ceil": lambda value: int(-(-value // 1)),
    "_floor": lambda value: int(value // 1),
    "_trunc": int,
    "_where": lambda condition, a, b: a if condition else b,
    "_ceil_div": lambda a, b: -(-a // b),
    "_modular_indexing": lambda base, divisor, modulus: (base // divisor) % modulus,
}
"""What ``python_source`` calls, for ints."""


def evaluate(expression: Expression | int, sizes: Mapping[Expression, Any]) -> Any:
    """The value of an expression at some sizes; numpy int64 arrays give an array.

    A division by zero counts as false in a condition: numpy would quietly answer 0.

    Raises:
        UnknownExpression: see ``python_source``.
    """
    names = {symbol: f"size_{number}" for number, symbol in enumerate(sizes)}
    source = python_source(expression, names)
    scope = {"__builtins__": {}, **ARRAY_FUNCTIONS}
    scope |= {names[symbol]: value for symbol, value in sizes.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        # Only names made here, numbers and operators: python_source writes nothing else.
        value = eval(source, scope)
    return value & _divisors_nonzero(expression, sizes) if _is_condition(expression) else value


def _is_condition(expression: Expression | int) -> bool:
    return isinstance(expression, sympy.logic.boolalg.Boolean) and not expression.is_Symbol


def _divisors_nonzero(expression: Expression | int, sizes: Mapping[Expression, Any]) -> Any:
    defined: Any = True
    for part in sympy.preorder_traversal(expression):
        name = type(part).__name__
        if name in ("FloorDiv", "CleanDiv", "Mod", "PythonMod", "IntTrueDiv", "CeilDiv") and (
            part.args[1].free_symbols
        ):
            defined = defined & (evaluate(part.args[1], sizes) != 0)
    return defined


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
