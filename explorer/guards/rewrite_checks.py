"""What a side of torch.cond may hold and hand back: refusals, and where a copy is needed.

torch.cond traces both sides, each as a function of its own that computes tensors and does nothing
else.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from explorer.guards.rewrite_copies import called_name, fresh_names
from explorer.guards.rewrite_syntax import Function, Refused, code_text, walk
from explorer.guards.rewrite_values import Kind, Values

_NO_TENSORS = frozenset({"shape", "dtype", "device", "ndim"})

_LEAVING: dict[type[ast.AST], str] = {
    ast.Raise: "raises, and torch.cond traces both sides: it would raise at every size",
    ast.Assert: "would be checked for the whole graph, not only on its side of torch.cond",
    ast.Yield: "yields, which a side of torch.cond cannot",
    ast.YieldFrom: "yields, which a side of torch.cond cannot",
    ast.Await: "awaits, which a side of torch.cond cannot",
    ast.AsyncFor: "awaits, which a side of torch.cond cannot",
    ast.AsyncWith: "awaits, which a side of torch.cond cannot",
    ast.Global: "sets a name outside the function, which a side of torch.cond may not",
    ast.Nonlocal: "sets a name outside the function, which a side of torch.cond may not",
    ast.Delete: "deletes something, which a side of torch.cond may not",
    ast.NamedExpr: "sets a name inside an expression: give it a line of its own",
}


def check_side(side: Sequence[ast.AST]) -> None:
    """Refuses code that does more than compute.

    Args:
        side: the statements of one side, or its expression.
    """
    own = _own_names(side)
    for node in side:
        _check_loops(node, False)
        for inner in ast.walk(node):
            if type(inner) in _LEAVING:
                raise Refused(f"{code_text(inner)} {_LEAVING[type(inner)]}.", inner)
            if isinstance(inner, ast.Expr):
                _check_statement(inner)
            _check_writes(inner, own)
            if isinstance(inner, ast.Call):
                _check_call(inner, own)


def _own_names(side: Sequence[ast.AST]) -> frozenset[str]:
    """Names that hold tensors which the side made itself."""
    statements = [node for node in side if isinstance(node, ast.stmt)]
    return fresh_names(statements)


def _check_loops(node: ast.AST, in_loop: bool) -> None:
    if isinstance(node, ast.Break | ast.Continue) and not in_loop:
        raise Refused(f"{code_text(node)} leaves a loop, which a side of torch.cond cannot.", node)
    in_loop |= isinstance(node, ast.For | ast.While)
    for child in ast.iter_child_nodes(node):
        _check_loops(child, in_loop)


def _check_statement(node: ast.Expr) -> None:
    if isinstance(node.value, ast.Constant):
        return
    called = node.value.func if isinstance(node.value, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr.startswith("_check"):
        reason = _LEAVING[ast.Assert]
    else:
        reason = "is run for its effect, and torch.cond traces both sides"
    if type(node.value) not in _LEAVING:
        raise Refused(f"{code_text(node)} {reason}.", node)


def _check_writes(node: ast.AST, own: frozenset[str]) -> None:
    if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
        root = _root(node)
        if isinstance(node, ast.Attribute) or root not in own:
            what = "an attribute" if isinstance(node, ast.Attribute) else "an item"
            raise Refused(
                f"{code_text(node)} is {what} that is set: a side of torch.cond may not change "
                "what existed before.",
                node,
            )
    if isinstance(node, ast.AugAssign) and _root(node.target) not in own:
        old, sign = ast.unparse(node.target), code_text(node).split("=")[0].split()[-1]
        raise Refused(
            f"{code_text(node)} may change a tensor in place, which a side of torch.cond may not: "
            f"write `{old} = {old} {sign} ...`.",
            node,
        )


def _check_call(node: ast.Call, own: frozenset[str]) -> None:
    name = called_name(node)
    receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
    in_place = name.endswith("_") and not name.endswith("__")
    if in_place and (receiver is None or _root(receiver) not in own):
        raise Refused(
            f"{code_text(node)} changes a tensor in place, which a side of torch.cond may not.",
            node,
        )
    for each in node.keywords:
        is_off = isinstance(each.value, ast.Constant) and not each.value.value
        if each.arg in ("out", "inplace") and not is_off:
            raise Refused(
                f"{code_text(node)} writes into a tensor ({each.arg}=), which a side of "
                "torch.cond may not.",
                node,
            )
    if name in ("super", "locals", "eval", "exec", "vars") and not node.args:
        raise Refused(f"{code_text(node)} means something else inside a function of a side.", node)


def _root(node: ast.AST) -> str | None:
    """The name that an attribute or item belongs to."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def check_results(results: Sequence[tuple[ast.expr | None, ast.AST]], values: Values) -> None:
    """Refuses results that torch.cond cannot hand back.

    Args:
        results: (expression, where it stands) of every result of both sides.
        values: what expressions are.
    """
    for result, place in results:
        if result is None:
            raise Refused("A side returns None, and torch.cond returns tensors only.", place)
        check_is_tensor(result, values)
    first = structure(results[0][0])
    for result, place in results[1:]:
        other = structure(result)
        if first != other and "unknown" not in (first, other):
            raise Refused(
                f"The sides return different structures: {first} and {other}.",
                place,
            )


def check_is_tensor(node: ast.expr, values: Values) -> None:
    """Refuses an expression that is visibly no tensor and no collection of tensors."""
    if isinstance(node, ast.Tuple | ast.List):
        for each in node.elts:
            check_is_tensor(each, values)
    elif isinstance(node, ast.Dict):
        for each in node.values:
            check_is_tensor(each, values)
    elif is_no_tensor(node, values):
        raise Refused(
            f"{code_text(node)} is no tensor, and torch.cond returns tensors only.",
            node,
        )


def is_no_tensor(node: ast.expr, values: Values) -> bool:
    """Whether an expression is visibly something else than a tensor."""
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.Lambda | ast.GeneratorExp | ast.Set):
        return True
    if isinstance(node, ast.IfExp):
        return is_no_tensor(node.body, values) or is_no_tensor(node.orelse, values)
    if isinstance(node, ast.Attribute) and node.attr in _NO_TENSORS:
        return True
    return values.kind(node) is not Kind.UNKNOWN


def structure(node: ast.expr | None) -> str:
    """In words: one tensor, ``a tuple of 2``; ``unknown`` for a call."""
    if isinstance(node, ast.Call):
        return "unknown"
    if isinstance(node, ast.Tuple | ast.List):
        if any(isinstance(each, ast.Starred) for each in node.elts):
            return "unknown"
        kind = "tuple" if isinstance(node, ast.Tuple) else "list"
        parts = {structure(each) for each in node.elts} - {"one tensor", "unknown"}
        inner = f" with {', '.join(sorted(parts))}" if parts else ""
        return f"a {kind} of {len(node.elts)}{inner}"
    if isinstance(node, ast.Dict):
        keys = sorted(ast.unparse(key) if key else "**" for key in node.keys)
        return f"a dict with {', '.join(keys)}"
    return "one tensor"


def check_scope(function: ast.AST, node: ast.AST) -> Function:
    """The function around a test, which is no lambda and no generator."""
    if not isinstance(function, Function):
        raise Refused("The test stands in a lambda, which has no room for a torch.cond.", node)
    for each in walk(function.body):
        if isinstance(each, ast.Yield | ast.YieldFrom | ast.Await):
            raise Refused(f"The function {function.name} yields or awaits.", each)
    return function
