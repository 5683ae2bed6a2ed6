"""An expression in; whether it is a number, a truth value or a size out.

All of it is read off the source, so "unknown" is a common answer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from enum import Enum

from explorer.guards.rewrite_syntax import Function, parameters, walk

SIZE_METHODS = frozenset({"size", "dim", "ndimension", "numel", "nelement", "stride"})
SIZE_FUNCTIONS = frozenset({"len", "min", "max"})
SYMBOLIC_FUNCTIONS = frozenset({"sym_max", "sym_min", "sym_not", "sym_sum"})


class Kind(Enum):
    """What an expression is, as far as the source tells."""

    NUMBER = "number"
    TRUTH = "truth value"
    UNKNOWN = "unknown"


Assigned = dict[str, list[ast.expr | None]]
"""Name -> every expression that it is set to; None for one that does not tell."""


def assignments(nodes: Iterable[ast.AST]) -> Assigned:
    """What each name is set to in a scope."""
    found: Assigned = {}
    told: set[int] = set()
    every = list(walk(nodes))
    for node in every:
        for target, value in _settings(node):
            told.add(id(target))
            found.setdefault(target.id, []).append(value)
    for node in every:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in told:
            found.setdefault(node.id, []).append(None)
    return found


def _settings(node: ast.AST) -> Iterator[tuple[ast.Name, ast.expr | None]]:
    """The names that a node itself sets, each with its value."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _unpacked(target, node.value)
    elif isinstance(node, ast.AnnAssign):
        yield from _unpacked(node.target, node.value)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        old = ast.Name(node.target.id, ast.Load())
        yield node.target, ast.BinOp(old, node.op, node.value)
    elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and _is_range(node):
        yield node.target, ast.Constant(0)


def _unpacked(
    target: ast.expr, value: ast.expr | None
) -> Iterator[tuple[ast.Name, ast.expr | None]]:
    if isinstance(target, ast.Name):
        yield target, value
    elif isinstance(target, ast.Tuple | ast.List):
        for index, each in enumerate(target.elts):
            yield from _unpacked(each, _element(value, index, len(target.elts)))


def _is_range(loop: ast.For) -> bool:
    call = loop.iter
    return (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
    )


def _element(value: ast.expr | None, index: int, count: int) -> ast.expr | None:
    """What the name at ``index`` of an unpacking gets."""
    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == count:
        return value.elts[index]
    if isinstance(value, ast.Name) or (value is not None and is_whole_shape(value)):
        return ast.Subscript(value, ast.Constant(index), ast.Load())
    return value if isinstance(value, ast.Call) else None


def is_whole_shape(node: ast.AST) -> bool:
    """Whether it is all sizes of a tensor: ``x.shape``, ``x.size()``."""
    if isinstance(node, ast.Attribute):
        return node.attr == "shape"
    if not isinstance(node, ast.Call) or node.args or not isinstance(node.func, ast.Attribute):
        return False
    return node.func.attr in ("size", "stride")


def is_size_read(node: ast.AST) -> bool:
    """Whether it is one size of a tensor: ``x.shape[0]``, ``x.size(0)``, ``len(x)``, ``x.ndim``."""
    if isinstance(node, ast.Subscript):
        return is_whole_shape(node.value) and not isinstance(node.slice, ast.Slice)
    if isinstance(node, ast.Attribute):
        return node.attr == "ndim"
    if not isinstance(node, ast.Call) or is_whole_shape(node):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr in SIZE_METHODS or node.func.attr in SYMBOLIC_FUNCTIONS
    return isinstance(node.func, ast.Name) and node.func.id == "len"


class Values:
    """What the expressions of one function are.

    Args:
        function: the innermost function around the test.
        sizes: names that are known to be sizes, because a test on them depends on a size.
    """

    def __init__(self, function: Function, sizes: frozenset[str] = frozenset()) -> None:
        self.assigned = assignments(function.body)
        for name in parameters(function):
            self.assigned.setdefault(name, []).append(None)
        self._kinds = dict.fromkeys(sizes, Kind.NUMBER)
        self._sizes = set(sizes)
        # What a name is may follow from other names, so look until nothing new is found.
        before = -1
        while before < len(self._kinds) + len(self._sizes):
            before = len(self._kinds) + len(self._sizes)
            for name, values in self.assigned.items():
                self._look_at(name, values)

    def _look_at(self, name: str, values: list[ast.expr | None]) -> None:
        kinds = {self.kind(value) for value in values}
        if len(kinds) == 1 and Kind.UNKNOWN not in kinds:
            self._kinds[name] = kinds.pop()
        is_known = name in self._kinds and any(each and self.reads_size(each) for each in values)
        if is_known or self._is_shape(ast.Name(name)):
            self._sizes.add(name)

    def kind(self, node: ast.expr | None) -> Kind:
        """What an expression is."""
        if node is None:
            return Kind.UNKNOWN
        if is_size_read(node):
            return Kind.NUMBER
        method = getattr(self, f"_kind_of_{type(node).__name__.lower()}", None)
        return method(node) if method else Kind.UNKNOWN

    def reads_size(self, node: ast.AST) -> bool:
        """Whether an expression's value depends on a size of a tensor, as far as can be seen."""
        return any(
            each.id in self._sizes if isinstance(each, ast.Name) else is_size_read(each)
            for each in ast.walk(node)
        )

    def _is_shape(self, node: ast.expr) -> bool:
        """Whether a name stands for a whole shape."""
        values = self.assigned.get(node.id, []) if isinstance(node, ast.Name) else []
        return bool(values) and all(value and is_whole_shape(value) for value in values)

    def _kind_of_subscript(self, node: ast.Subscript) -> Kind:
        one = self._is_shape(node.value) and not isinstance(node.slice, ast.Slice)
        return Kind.NUMBER if one else Kind.UNKNOWN

    def _kind_of_constant(self, node: ast.Constant) -> Kind:
        if isinstance(node.value, bool):
            return Kind.TRUTH
        return Kind.NUMBER if isinstance(node.value, int | float) else Kind.UNKNOWN

    def _kind_of_name(self, node: ast.Name) -> Kind:
        return self._kinds.get(node.id, Kind.UNKNOWN)

    def _kind_of_call(self, node: ast.Call) -> Kind:
        named = isinstance(node.func, ast.Name) and node.func.id in SIZE_FUNCTIONS | {"int"}
        return Kind.NUMBER if named else Kind.UNKNOWN

    def _kind_of_unaryop(self, node: ast.UnaryOp) -> Kind:
        return Kind.TRUTH if isinstance(node.op, ast.Not) else self.kind(node.operand)

    def _kind_of_compare(self, node: ast.Compare) -> Kind:
        is_number = self.kind(node.left) is Kind.NUMBER
        return Kind.TRUTH if is_number and self.reads_size(node) else Kind.UNKNOWN

    def _kind_of_boolop(self, node: ast.BoolOp) -> Kind:
        kinds = {self.kind(value) for value in node.values}
        return kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN

    def _kind_of_binop(self, node: ast.BinOp) -> Kind:
        left, right = self.kind(node.left), self.kind(node.right)
        if left is Kind.NUMBER and isinstance(node.op, ast.FloorDiv | ast.Mod):
            return Kind.NUMBER
        return left if left is right else Kind.UNKNOWN

    def _kind_of_ifexp(self, node: ast.IfExp) -> Kind:
        kind = self.kind(node.body)
        return kind if kind is self.kind(node.orelse) else Kind.UNKNOWN
