"""A condition on sizes in, a text that any process can read again out; and back.

The text calls each function by the name of its class, since Python's operators do not tell
``PythonMod`` from ``Mod``. It is read without being run: what is no number, no size and no function
of the table is refused.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from typing import Any

import sympy

from explorer.artifacts.common import Expression
from explorer.guards.expression import UnknownExpression
from explorer.torch_private.size_functions import size_functions

_OF_SYMPY = (
    sympy.Abs,
    sympy.Add,
    sympy.And,
    sympy.Eq,
    sympy.Ge,
    sympy.Gt,
    sympy.Le,
    sympy.Lt,
    sympy.Mul,
    sympy.Ne,
    sympy.Not,
    sympy.Or,
    sympy.Pow,
)


@functools.cache
def _functions() -> Mapping[str, Any]:
    return {
        **{each.__name__: each for each in _OF_SYMPY},
        "Rational": sympy.Rational,
        **size_functions(),
    }


def portable_text(expression: Expression, names: Mapping[Expression, str]) -> str:
    """The expression as a text: ``Equality(PythonMod(input_1, 4), 0)``.

    Args:
        expression: over the symbols in ``names``.
        names: symbol -> what the text calls it.

    Raises:
        UnknownExpression: no text says all of it.
    """
    text = _written(expression, names)
    if expression_of_text(text, {name: symbol for symbol, name in names.items()}) != expression:
        raise UnknownExpression(f"{expression}, which {text} does not say")
    return text


def _written(expression: Expression, names: Mapping[Expression, str]) -> str:
    if expression in names:
        return names[expression]
    if expression in (sympy.true, sympy.false):
        return repr(bool(expression))
    if expression.is_Integer:
        return str(int(expression))
    if expression.is_Rational:
        return f"Rational({expression.p}, {expression.q})"
    if expression.is_Float:
        return repr(float(expression))
    kind = type(expression)
    if _functions().get(kind.__name__) is not kind:
        raise UnknownExpression(f"{kind.__name__} in {expression}")
    return f"{kind.__name__}({', '.join(_written(each, names) for each in expression.args)})"


def expression_of_text(text: str, symbols: Mapping[str, Expression]) -> Expression:
    """The expression that a text says.

    Args:
        text: from ``portable_text``.
        symbols: what the text calls it -> symbol.

    Raises:
        UnknownExpression: the text is of another form.
    """
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise UnknownExpression(f"{text!r} is no expression") from error
    return _read(tree.body, symbols)


def _read(node: ast.expr, symbols: Mapping[str, Expression]) -> Expression:
    match node:
        case ast.Constant(value=bool() as value):
            return sympy.true if value else sympy.false
        case ast.Constant(value=int() | float() as value):
            return sympy.sympify(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return sympy.sympify(-value)
        case ast.Name(id=name) if name in symbols:
            return symbols[name]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _functions():
            return _functions()[name](*(_read(each, symbols) for each in arguments))
    raise UnknownExpression(f"{ast.unparse(node)!r} is no number, size or function of sizes")
