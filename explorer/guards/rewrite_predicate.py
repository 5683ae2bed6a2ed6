"""The test of an ``if`` in, the same test as torch.cond takes it out.

Python's ``and``, ``or``, ``not`` and chained comparisons ask for a truth value while the model is
traced, which decides the branch for good; ``&`` and ``|`` do not.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from explorer.guards.rewrite_syntax import COMPREHENSIONS, Refused, code_text
from explorer.guards.rewrite_values import (
    SIZE_FUNCTIONS,
    Kind,
    Values,
    is_size_read,
    is_whole_shape,
)

_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True)
class _Tests:
    """Tests joined by ``&`` or ``|``."""

    parts: tuple[str, ...]
    sign: str = ""

    def text(self) -> str:
        if len(self.parts) == 1:
            return self.parts[0]
        # `&` binds tighter than a comparison.
        closed = [part if part.isidentifier() else f"({part})" for part in self.parts]
        return f" {self.sign} ".join(closed)


@dataclass(frozen=True)
class PredicateWriter:
    """Writes tests for torch.cond.

    Attributes:
        values: what the expressions of the function are.
        segment: the source text of a node.
        torch_name: what the function calls torch.
    """

    values: Values
    segment: Callable[[ast.AST], str]
    torch_name: str

    def write(self, test: ast.expr) -> str:
        """The text.

        Raises:
            Refused: the test is not made of sizes and numbers alone.
        """
        _check(test)
        return self._tests(test, True, is_whole=True).text()

    def _tests(self, node: ast.expr, wanted: bool, *, is_whole: bool = False) -> _Tests:
        """What is true when ``node`` is ``wanted``."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._tests(node.operand, not wanted, is_whole=is_whole)
        if isinstance(node, ast.BoolOp):
            parts = [self._tests(value, wanted) for value in node.values]
            return _joined(parts, isinstance(node.op, ast.And) is wanted)
        if isinstance(node, ast.Compare):
            return self._comparison(node, wanted)
        return _Tests((self._truth(node, wanted, is_whole),))

    def _comparison(self, node: ast.Compare, wanted: bool) -> _Tests:
        operands = [node.left, *node.comparators]
        parts = [
            self._pair(left, sign, right, wanted)
            for left, sign, right in zip(operands, node.ops, operands[1:], strict=False)
        ]
        return _joined(parts, wanted)

    def _pair(self, left: ast.expr, sign: ast.cmpop, right: ast.expr, wanted: bool) -> _Tests:
        if isinstance(sign, ast.In | ast.NotIn):
            assert isinstance(right, ast.Tuple | ast.List | ast.Set)
            is_in = isinstance(sign, ast.In) is wanted
            text = "==" if is_in else "!="
            items = [f"{self._code(left)} {text} {self._code(each)}" for each in right.elts]
            return _joined([_Tests((item,)) for item in items], not is_in)
        text = _SIGNS[type(sign)] if wanted else _OPPOSITE[_SIGNS[type(sign)]]
        return _Tests((f"{self._code(left)} {text} {self._code(right)}",))

    def _truth(self, node: ast.expr, wanted: bool, is_whole: bool) -> str:
        kind = self.values.kind(node)
        if kind is Kind.TRUTH:
            text = self._code(node)
            return text if wanted else f"{self.torch_name}.sym_not({text})"
        # A test that depends on a size, and is nothing but a name, is a size or made of sizes.
        is_size = is_whole and isinstance(node, ast.Name)
        if kind is Kind.NUMBER or isinstance(node, ast.BinOp) or is_size:
            return f"{self._code(node)} {'!=' if wanted else '=='} 0"
        raise Refused(
            f"{code_text(node)} in the test may be no number: give it an `if` of its own, or "
            "compare it with one.",
            node,
        )

    def _code(self, node: ast.expr) -> str:
        text = self.segment(node)
        text = ast.unparse(node) if "\n" in text else text
        return f"({text})" if isinstance(node, ast.Compare) else text


def _joined(parts: list[_Tests], is_and: bool) -> _Tests:
    sign = "&" if is_and else "|"
    flat: list[str] = []
    for part in parts:
        flat += part.parts if part.sign == sign or len(part.parts) == 1 else (part.text(),)
    return _Tests(tuple(flat), sign)


def _check(test: ast.expr) -> None:
    for node in ast.walk(test):
        if isinstance(node, ast.NamedExpr):
            raise Refused(f"The test sets a name: {code_text(node)}.", node)
        if isinstance(node, ast.Call) and not _is_allowed_call(node):
            raise Refused(
                f"The test calls {code_text(node.func)}: only reads of shapes, len, min and max "
                "are rewritten.",
                node,
            )
        if isinstance(node, (ast.IfExp, ast.Lambda, ast.Await, ast.Yield, *COMPREHENSIONS)):
            raise Refused(f"The test holds {code_text(node)}, which is more than sizes.", node)
        if isinstance(node, ast.Compare):
            _check_comparison(node)
        elif isinstance(node, ast.BinOp | ast.Call):
            _check_no_tests(node)


def _is_allowed_call(node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id in SIZE_FUNCTIONS
    return named or is_size_read(node) or is_whole_shape(node)


def _check_no_tests(node: ast.expr) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.BoolOp) or (
            isinstance(child, ast.UnaryOp) and isinstance(child.op, ast.Not)
        ):
            raise Refused(f"{code_text(child)} stands inside an expression of the test.", child)


def _check_comparison(node: ast.Compare) -> None:
    _check_no_tests(node)
    for sign, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(sign, ast.Is | ast.IsNot):
            raise Refused(
                f"{code_text(node)} in the test is no comparison of numbers: give it an `if` of "
                "its own.",
                node,
            )
        is_list = isinstance(right, ast.Tuple | ast.List | ast.Set) and bool(right.elts)
        if isinstance(sign, ast.In | ast.NotIn) and not is_list:
            raise Refused(f"{code_text(node)} searches something whose items are not known.", node)
        if is_whole_shape(node.left) or is_whole_shape(right):
            raise Refused(
                f"{code_text(node)} compares whole shapes: compare the sizes one by one.", node
            )
        if not isinstance(sign, ast.In | ast.NotIn) and _is_no_number(right):
            raise Refused(f"{code_text(node)} in the test is no comparison of numbers.", node)
    if _is_no_number(node.left):
        raise Refused(f"{code_text(node)} in the test is no comparison of numbers.", node)


def _is_no_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, int | float)
    return isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict | ast.JoinedStr)
