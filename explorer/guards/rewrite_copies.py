"""The result of a side in; where it needs ``.clone()`` out.

torch.cond takes no result that is an input, or a view of one.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from explorer.guards.rewrite_syntax import always_returns, flow, returned, set_names
from explorer.guards.rewrite_values import assignments

# fmt: off
_VIEWS = frozenset(
    {
        "view", "view_as", "reshape", "reshape_as", "transpose", "permute", "t", "contiguous",
        "to", "expand", "expand_as", "squeeze", "unsqueeze", "flatten", "unflatten", "ravel",
        "narrow", "select", "swapaxes", "swapdims", "movedim", "moveaxis", "diagonal", "unfold",
        "chunk", "split", "tensor_split", "hsplit", "vsplit", "unbind", "detach", "float", "half",
        "bfloat16", "double", "int", "long", "bool", "type", "type_as", "cpu", "cuda",
        "as_strided", "broadcast_to", "adjoint", "conj", "alias", "dropout", "identity",
    }
)
# fmt: on
"""Operators whose result may be their input, or a view of it."""

_VIEW_ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "real", "imag", "data"})


def called_name(node: ast.Call) -> str:
    """The last part of what a call calls; empty when that has no name."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def fresh_names(side: Sequence[ast.stmt]) -> frozenset[str]:
    """Names that a side sets only to tensors which it made itself."""
    found = assignments(side)
    names = frozenset(set_names(side)) - flow(side)[0]
    while True:
        fresh = frozenset(
            name
            for name in names
            if found.get(name) and all(is_fresh(value, names) for value in found[name])
        )
        if fresh == names:
            return fresh
        names = fresh


def follow(
    block: Sequence[ast.stmt], fresh: frozenset[str] = frozenset()
) -> tuple[frozenset[str], list[tuple[ast.Return, frozenset[str]]]]:
    """The names that hold fresh tensors behind a block, and at each return inside it.

    Args:
        block: statements of a side.
        fresh: the names that do before it.
    """
    found: list[tuple[ast.Return, frozenset[str]]] = []
    for statement in block:
        if isinstance(statement, ast.Return):
            found.append((statement, fresh))
        elif isinstance(statement, ast.If):
            true, more = follow(statement.body, fresh)
            false, others = follow(statement.orelse, fresh)
            found += [*more, *others]
            ends = always_returns(statement.body), always_returns(statement.orelse)
            fresh = false if ends[0] else true if ends[1] else true & false
        elif isinstance(statement, ast.With):
            fresh, more = follow(statement.body, fresh - frozenset(set_names(statement.items)))
            found += more
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            new = assignments([statement])
            good = {name for name, values in new.items() if all(is_fresh(v, fresh) for v in values)}
            fresh = (fresh - new.keys()) | good
        elif not isinstance(statement, ast.AugAssign):  # that one leaves a name what it is
            fresh -= frozenset(set_names([statement]))
            found += [(each, fresh) for each in returned([statement])]
    return fresh, found


def is_fresh(node: ast.expr | None, fresh: frozenset[str]) -> bool:
    """Whether an expression makes a tensor that is no alias of anything outside its side."""
    if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare):
        return True
    if isinstance(node, ast.Name):
        return node.id in fresh
    if isinstance(node, ast.IfExp):
        return is_fresh(node.body, fresh) and is_fresh(node.orelse, fresh)
    if isinstance(node, ast.Subscript):
        return is_fresh(node.value, fresh)
    if isinstance(node, ast.Attribute):
        return node.attr in _VIEW_ATTRIBUTES and is_fresh(node.value, fresh)
    if not isinstance(node, ast.Call):
        return False
    name = called_name(node)
    if name not in _VIEWS:
        return not name.endswith("_")
    return isinstance(node.func, ast.Attribute) and is_fresh(node.func.value, fresh)


def copies_needed(
    node: ast.expr, fresh: frozenset[str], seen: set[str] | None = None
) -> list[ast.expr]:
    """The parts of a result that need ``.clone()``: torch.cond takes no alias of an input.

    Args:
        node: the result of a side.
        fresh: names that hold tensors the side made itself.
        seen: names that the result holds already; a second one is an alias of the first.
    """
    seen = set() if seen is None else seen
    if isinstance(node, ast.Tuple | ast.List):
        return [each for part in node.elts for each in copies_needed(part, fresh, seen)]
    if isinstance(node, ast.Dict):
        return [each for part in node.values for each in copies_needed(part, fresh, seen)]
    if isinstance(node, ast.Starred):
        return []
    if isinstance(node, ast.Name):
        is_second = node.id in seen
        seen.add(node.id)
        return [node] if is_second or node.id not in fresh else []
    return [] if is_fresh(node, fresh) else [node]
