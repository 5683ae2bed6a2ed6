"""Tests that raise no error and still decide a branch: found from the source and the conditions.

``and``, ``or``, ``not`` and chained comparisons ask for a truth value while the model
is traced. In the test of a ``torch.cond`` that bakes one answer, which the call was to find.
"""

from __future__ import annotations

import ast
import linecache
import traceback
from collections.abc import Iterable, Iterator

from explorer.artifacts import BranchSite, GuardOrigin, GuardRecord, SourceLocation
from explorer.guards.cond_traps import leaked_check
from explorer.guards.places import located, user_place
from explorer.guards.syntax import syntax_tree
from explorer.guards.trap import Trap, TrapKind

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def cond_predicate_traps(
    branch_sites: Iterable[BranchSite], guards: Iterable[GuardRecord] = ()
) -> tuple[str, ...]:
    """Sites that stand in the test of a ``torch.cond``, where nothing may ask for a truth value.

    Args:
        branch_sites: of a capture.
        guards: of a capture; ``not`` makes a condition and no site.

    Returns:
        A message for each test, with the line and the test as it should be written.
    """
    places = [site.location for site in branch_sites]
    places += [guard.location for guard in guards if guard.location is not None]
    found = [logic_trap_at(place) for place in dict.fromkeys(places)]
    return tuple(dict.fromkeys(str(trap) for trap in found if trap is not None))


def logic_trap_at(place: SourceLocation) -> Trap | None:
    """The trap of a place that lies in the test of a ``torch.cond``, or None.

    Args:
        place: of a test that the trace decided.
    """
    for predicate in _predicates(place.file):
        if _holds(predicate, place):
            return _logic_trap(place, predicate)
    return None


def constant_predicate_trap(stack: traceback.StackSummary) -> Trap | None:
    """Why the test of a ``torch.cond`` was a constant.

    Args:
        stack: the user's frames at that call, of ``constant_predicates``.
    """
    place = user_place(stack)
    if place is None:
        return None
    for predicate, call in _cond_calls(syntax_tree(place.file)):
        if call.lineno <= place.line <= (call.end_lineno or call.lineno):
            trap = _logic_trap(place, predicate)
            if trap is not None:
                return trap
    return Trap(
        TrapKind.CONSTANT_TEST,
        place,
        "the test of torch.cond is a constant while tracing, so only one side is in the graph",
        "Name the dim that it reads in dynamic_arg_dims and give an example with a size of at "
        "least 2 there; write a plain `if` when it is meant to be decided once.",
    )


def cond_side_traps(guards: Iterable[GuardRecord]) -> tuple[str, ...]:
    """Conditions that were made inside a side of ``torch.cond`` and now hold for every call.

    Args:
        guards: of a capture.
    """
    conditions: dict[tuple[str, int], list[GuardRecord]] = {}
    for guard in guards:
        place = guard.location
        if not guard.is_bound and place is not None and _in_side(place):
            conditions.setdefault((place.file, place.line), []).append(guard)
    return tuple(str(_side_trap(made)) for made in conditions.values())


def _side_trap(guards: list[GuardRecord]) -> Trap:
    """The trap of the conditions that one line made."""
    place = guards[0].location
    assert place is not None
    if guards[0].origin is GuardOrigin.TORCH_CHECK:
        return leaked_check(place)
    more = f" and {len(guards) - 1} more conditions" if len(guards) > 1 else ""
    return Trap(
        TrapKind.LEAK,
        place,
        f"this line of a side of torch.cond demands {guards[0].text}{more} of every call, also of "
        "those that take the other side",
        "Write it so that it works at every size, or move both sides into a custom op.",
    )


# ---------------------------------------------------------------------------------- the source


def _cond_calls(tree: ast.AST | None) -> Iterator[tuple[ast.expr, ast.Call]]:
    """The tests of all calls of ``torch.cond`` below a node, each with its call."""
    for call in ast.walk(tree) if tree is not None else ():
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else None
        name = call.func.id if isinstance(call.func, ast.Name) else name
        given = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "pred")]
        if name == "cond" and given:
            yield given[0], call


def _predicates(file: str) -> Iterator[ast.expr]:
    """The tests of a file's ``torch.cond`` calls, and what is assigned to a name that is one."""
    tree = syntax_tree(file)
    for scope in _scopes(tree):
        for predicate, _ in _cond_calls(scope):
            yield predicate
            if isinstance(predicate, ast.Name):
                yield from _assigned(scope, predicate.id)


def _scopes(tree: ast.AST | None) -> list[ast.AST]:
    if tree is None:
        return []
    return [tree, *(node for node in ast.walk(tree) if isinstance(node, _Function))]


def _assigned(scope: ast.AST, name: str) -> Iterator[ast.expr]:
    if isinstance(scope, ast.Module):
        return  # its functions are scopes of their own
    for node in ast.walk(scope):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = node.value  # type: ignore[attr-defined]
            if value is not None:
                yield value


def _logic_trap(place: SourceLocation, predicate: ast.expr) -> Trap | None:
    """The trap of a test that is joined or negated in Python, with the test as it should be."""
    words = [word for node in ast.walk(predicate) if (word := _logic_word(node))]
    if not words:
        return None
    code = ast.unparse(predicate)
    better = ast.unparse(ast.fix_missing_locations(_Tensorwise().visit(ast.parse(code))))
    end = (predicate.end_lineno or predicate.lineno, predicate.end_col_offset)
    at = located(place.file, place.function, (predicate.lineno, predicate.col_offset, *end))
    return Trap(
        TrapKind.PYTHON_LOGIC,
        at,
        f"{words[0]} in the test of torch.cond is decided while tracing, so `{code}` is not "
        "computed in the call",
        f"Write `{better}`.",
    )


def _logic_word(node: ast.AST) -> str | None:
    if isinstance(node, ast.BoolOp):
        return "`and`" if isinstance(node.op, ast.And) else "`or`"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return "`not`"
    if isinstance(node, ast.Compare) and len(node.ops) > 1:
        return "a chained comparison"
    return None


class _Tensorwise(ast.NodeTransformer):
    """``and``, ``or``, ``not`` and chains as operators that ask nothing."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        values = [self.visit(value) for value in node.values]
        return _joined(values, ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr())

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if not isinstance(node.op, ast.Not):
            return ast.UnaryOp(node.op, operand)
        name = ast.Attribute(ast.Name("torch", ast.Load()), "sym_not", ast.Load())
        return ast.Call(name, [operand], [])

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        operands = [self.visit(each) for each in (node.left, *node.comparators)]
        pairs: list[ast.expr] = [
            ast.Compare(left, [sign], [right])
            for left, sign, right in zip(operands, node.ops, operands[1:], strict=False)
        ]
        return _joined(pairs, ast.BitAnd())


def _joined(values: list[ast.expr], operator: ast.operator) -> ast.expr:
    joined = values[0]
    for value in values[1:]:
        joined = ast.BinOp(joined, operator, value)
    return joined


def _in_side(place: SourceLocation) -> bool:
    """Whether a line stands in a function that is given to ``torch.cond`` in the same file."""
    tree = syntax_tree(place.file)
    for _, call in _cond_calls(tree):
        sides = [*call.args[1:3], *(each.value for each in call.keywords if "_fn" in str(each.arg))]
        for side in sides:
            bodies = [side] if isinstance(side, ast.Lambda) else _functions(tree, side)
            if any(_holds(body, place) for body in bodies):
                return True
    return False


def _functions(tree: ast.AST | None, side: ast.expr) -> list[ast.AST]:
    name = side.attr if isinstance(side, ast.Attribute) else getattr(side, "id", None)
    nodes = ast.walk(tree) if tree is not None else ()
    return [
        node
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]


def _holds(node: ast.AST, place: SourceLocation) -> bool:
    """Whether a place lies within a node; by lines alone when its columns are not known."""
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    if not first <= place.line <= last:
        return False
    if place.column is None:
        return True
    column = len(linecache.getline(place.file, place.line)[: place.column].encode())
    after = (place.line, column) >= (first, getattr(node, "col_offset", 0))
    return after and (place.line, column) < (last, getattr(node, "end_col_offset", 0))
