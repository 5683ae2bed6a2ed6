"""A piece of a function's syntax tree in; the names it sets and reads, and in which order, out."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

Function = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Refused(Exception):
    """Code that is not rewritten.

    Attributes:
        reason: one sentence.
        node: where.
    """

    def __init__(self, reason: str, node: ast.AST) -> None:
        super().__init__(reason)
        self.reason = reason
        self.node = node


def code_text(node: ast.AST) -> str:
    """The first line of a node's code, in backquotes, at most 60 characters."""
    first = ast.unparse(node).splitlines()[0]
    return f"`{first if len(first) <= 60 else first[:57] + '...'}`"


def walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of one scope: functions, classes and comprehensions inside, but not their parts."""
    for node in nodes:
        yield node
        if not isinstance(node, SCOPES + COMPREHENSIONS):
            yield from walk(ast.iter_child_nodes(node))


def set_names(nodes: Iterable[ast.AST]) -> dict[str, ast.AST]:
    """Name -> the first node that sets it, in the order of the source."""
    found: dict[str, ast.AST] = {}
    for node in walk(nodes):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, node)
        elif isinstance(node, Function | ast.ClassDef):
            found.setdefault(node.name, node)
        elif isinstance(node, ast.alias):
            found.setdefault(node.asname or node.name.partition(".")[0], node)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.setdefault(node.name, node)
    return found


def parameters(function: Function | ast.Lambda) -> list[str]:
    """Names of all parameters."""
    every = function.args
    named = [*every.posonlyargs, *every.args, *every.kwonlyargs]
    return [each.arg for each in [*named, every.vararg, every.kwarg] if each is not None]


def read_names(node: ast.AST, skip: frozenset[int] = frozenset()) -> set[str]:
    """Names that a node reads from the scope it stands in.

    Args:
        node: a statement or expression.
        skip: ids of nodes whose reads do not count.
    """
    if id(node) in skip:
        return set()
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load) else set()
    found = {name for child in ast.iter_child_nodes(node) for name in read_names(child, skip)}
    if isinstance(node, Function):
        return found - {*parameters(node), *set_names(node.body)}
    if isinstance(node, ast.Lambda):
        return found - set(parameters(node))
    if isinstance(node, COMPREHENSIONS):
        return found - set(set_names(each.target for each in node.generators))
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        found.add(node.target.id)
    return found


def returned(side: Iterable[ast.AST]) -> list[ast.Return]:
    """The return statements of a side itself."""
    return [node for node in walk(side) if isinstance(node, ast.Return)]


def always_returns(block: Sequence[ast.stmt]) -> bool:
    """Whether a block cannot be left at its end."""
    if not block:
        return False
    last = block[-1]
    if isinstance(last, ast.If):
        return always_returns(last.body) and always_returns(last.orelse)
    if isinstance(last, ast.With):
        return always_returns(last.body)
    return isinstance(last, ast.Return | ast.Raise)


def flow(block: Iterable[ast.stmt]) -> tuple[set[str], set[str]]:
    """(names that may be read before the block sets them, names that it certainly sets)."""
    reads: set[str] = set()
    have: set[str] = set()
    for statement in block:
        more_reads, more = _statement_flow(statement)
        reads |= more_reads - have
        have |= more
    return reads, have


def _statement_flow(statement: ast.stmt) -> tuple[set[str], set[str]]:
    if isinstance(statement, ast.If):
        reads = read_names(statement.test)
        sides = [flow(statement.body), flow(statement.orelse)]
        reads |= sides[0][0] | sides[1][0]
        if always_returns(statement.body):
            return reads, sides[1][1]
        return reads, sides[0][1] if always_returns(statement.orelse) else sides[0][1] & sides[1][1]
    if isinstance(statement, ast.For | ast.AsyncFor):
        inner = flow(statement.body)[0] - set(set_names([statement.target]))
        return read_names(statement.iter) | inner | flow(statement.orelse)[0], set()
    if isinstance(statement, ast.With | ast.AsyncWith):
        reads = {name for item in statement.items for name in read_names(item)}
        bound = set(set_names(statement.items))
        inner_reads, inner = flow(statement.body)
        return reads | (inner_reads - bound), inner | bound
    if isinstance(statement, ast.While | ast.Try | ast.Match):
        return read_names(statement), set()
    return read_names(statement), set(set_names([statement]))
