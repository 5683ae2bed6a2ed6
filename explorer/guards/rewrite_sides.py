"""An ``if`` in, its two sides out: their statements, and the names that go in and come back."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from explorer.guards.rewrite_checks import is_no_tensor, structure
from explorer.guards.rewrite_predicate import PredicateWriter
from explorer.guards.rewrite_syntax import (
    SCOPES,
    Function,
    Refused,
    always_returns,
    flow,
    parameters,
    read_names,
    returned,
    set_names,
    walk,
)
from explorer.guards.rewrite_text import SourceText
from explorer.guards.rewrite_values import Values, assignments

Test = ast.If | ast.IfExp


@dataclass(frozen=True, eq=False)
class Site:
    """One ``if`` or ternary in a text.

    Attributes:
        source: the text.
        node: the statement or expression.
        function: the function around it.
        values: what the function's expressions are.
        torch_name: what the function calls torch.
        names: what the functions of the two sides are called.
    """

    source: SourceText
    node: Test
    function: Function
    values: Values
    torch_name: str
    names: tuple[str, str]

    def predicate(self) -> str:
        """The test as torch.cond takes it."""
        writer = PredicateWriter(self.values, self.source.segment, self.torch_name)
        return writer.write(self.node.test)

    def around(self) -> list[ast.AST]:
        """The nodes from the one around the test to the function, innermost first."""
        found = []
        for each in self.source.ancestors(self.node):
            found.append(each)
            if each is self.function:
                break
        return found


@dataclass(frozen=True, eq=False)
class Sides:
    """The two sides of an ``if``.

    Attributes:
        true: statements of the side where the test holds.
        false: of the other.
        rest: those of them that stand behind the ``if``, at the end of one side.
        results: names that the sides assign; empty when they return.
        operands: names that a side reads before it sets them.
    """

    true: list[ast.stmt]
    false: list[ast.stmt]
    rest: list[ast.stmt]
    results: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()


def sides_of(source: SourceText, node: ast.If) -> Sides:
    """What the sides consist of: where one returns, the rest of the block is the other's.

    Raises:
        Refused: only one of them returns.
    """
    if not returned([*node.body, *node.orelse]):
        return Sides(node.body, node.orelse, [])
    true_returns, false_returns = always_returns(node.body), always_returns(node.orelse)
    if true_returns and false_returns:
        return Sides(node.body, node.orelse, [])
    if not (true_returns or false_returns):
        raise Refused("A side returns only sometimes, so the sides have no common result.", node)
    rest = _rest_of_block(source, node)
    if not always_returns(rest):
        raise Refused(
            "One side returns, and the other one goes on outside this block or returns None.", node
        )
    if true_returns:
        return Sides(node.body, [*node.orelse, *rest], rest)
    return Sides([*node.body, *rest], node.orelse, rest)


def _rest_of_block(source: SourceText, node: ast.stmt) -> list[ast.stmt]:
    """The statements behind one in its block; behind an ``elif``, those behind its chain."""
    parent = source.parents[node]
    if isinstance(parent, ast.If) and source.segment(node).startswith("elif"):
        return _rest_of_block(source, parent) if always_returns(parent.body) else []
    for block in _blocks(parent):
        if node in block:
            return block[block.index(node) + 1 :]
    return []


def _blocks(node: ast.AST) -> list[list[Any]]:
    fields = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
    return [each for each in fields if isinstance(each, list)]


def with_names(site: Site, sides: Sides) -> Sides:
    """The sides with their results and operands.

    Raises:
        Refused: a name has no value on one side, or one that torch.cond cannot hand back.
    """
    returns = returned([*sides.true, *sides.false])
    results = () if returns else _results(site, sides)
    operands: list[str] = []
    for side in (sides.true, sides.false):
        operands += _read_first(side, inlined_result(side, results))
        certain = flow(side)[1]
        operands += [name for name in results if name in set_names(side) and name not in certain]
    for name in operands:
        if not _has_value_before(site, name):
            raise Refused(
                f"`{name}` may have no value before the `if`, and a side reads it.", site.node
            )
    return replace(sides, results=results, operands=tuple(dict.fromkeys(operands)))


def inlined_result(side: Sequence[ast.stmt], results: tuple[str, ...]) -> ast.Assign | None:
    """The last statement of a side, if it can become a return: it assigns the only result."""
    last = side[-1] if side else None
    if len(results) != 1 or not isinstance(last, ast.Assign) or len(last.targets) != 1:
        return None
    target = last.targets[0]
    return last if isinstance(target, ast.Name) and target.id == results[0] else None


def _read_first(side: Sequence[ast.stmt], inlined: ast.Assign | None) -> list[str]:
    """Names that a side sets, but may read before."""
    setting = side if inlined is None else side[:-1]
    reads = flow(side)[0]
    return [name for name in set_names(setting) if name in reads]


# ----------------------------------------------------------------------------------------- results


def _results(site: Site, sides: Sides) -> tuple[str, ...]:
    """Names that the sides assign and that are read afterwards."""
    wanted = _read_afterwards(site, sides)
    true, false = set_names(sides.true), set_names(sides.false)
    names = tuple(name for name in {**true, **false} if name in wanted)
    if not names:
        raise Refused("Nothing that the sides assign is read afterwards.", site.node)
    for name in names:
        if not (name in true and name in false) and not _has_value_before(site, name):
            raise Refused(
                f"The sides assign different names: `{name}` gets a value on one side only, and "
                "may have none before.",
                site.node,
            )
    _check_results(site, sides, names)
    return names


def _read_afterwards(site: Site, sides: Sides) -> set[str]:
    wanted: set[str] = set()
    have: set[str] = set()
    inner: ast.AST = site.node
    for around in site.around():
        for block in _blocks(around):
            if inner in block:
                reads, certain = flow(block[block.index(inner) + 1 :])
                wanted |= reads - have
                have |= certain
        if isinstance(around, ast.For | ast.While):  # the next time round
            wanted |= flow(around.body)[0]
        if isinstance(around, ast.While):
            wanted |= read_names(around.test)
        if isinstance(around, ast.Try):
            wanted |= read_names(around)
        inner = around
    inside = {id(each) for each in walk([*sides.true, *sides.false])}
    for each in walk(site.function.body):
        if isinstance(each, SCOPES) and id(each) not in inside:
            wanted |= read_names(each)
    return wanted


def _check_results(site: Site, sides: Sides, names: tuple[str, ...]) -> None:
    inside = [assignments(sides.true), assignments(sides.false)]
    called = {
        node.func.id
        for node in ast.walk(site.function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    for name in names:
        if name in called:
            raise Refused(f"`{name}` is called: torch.cond returns tensors only.", site.node)
        values = [each for found in inside for each in found.get(name, [])]
        if any(name not in found for found in inside):
            values += site.values.assigned.get(name, [])
        for value in values:
            if value is not None:
                _check_value(name, value, site)


def _check_value(name: str, value: ast.expr, site: Site) -> None:
    if isinstance(value, ast.Tuple | ast.List | ast.Dict):
        raise Refused(
            f"`{name}` holds {structure(value)}: give the parts names of their own.",
            site.node,
        )
    if is_no_tensor(value, site.values):
        raise Refused(
            f"`{name} = {ast.unparse(value)}` is no tensor, and torch.cond returns tensors only.",
            site.node,
        )


def _has_value_before(site: Site, name: str) -> bool:
    """Whether a name of the function certainly has a value where the ``if`` begins."""
    if name in parameters(site.function):
        return True
    inner: ast.AST = site.node
    for around in site.around():
        for block in _blocks(around):
            if inner in block and name in flow(block[: block.index(inner)])[1]:
                return True
        if isinstance(around, ast.For) and name in set_names([around.target]):
            return True
        if isinstance(around, ast.With) and name in set_names(around.items):
            return True
        inner = around
    return False
