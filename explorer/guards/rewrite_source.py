"""Source text and the tests to rewrite in, the text with torch.cond in their place out.

One test is rewritten at a time, the last one first: what is still to be rewritten keeps its place.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from explorer.guards import rewrite_checks as checks
from explorer.guards.rewrite_sides import Site, Test, sides_of
from explorer.guards.rewrite_syntax import SCOPES, Function, Refused, returned, walk
from explorer.guards.rewrite_text import SourceText
from explorer.guards.rewrite_values import Values
from explorer.guards.rewrite_write import rewritten

Position = tuple[int, int]


def with_conditions(source: SourceText, tests: Sequence[Test], torch_name: str) -> SourceText:
    """The text with some tests, and the tests on sizes inside their sides, rewritten.

    Args:
        source: the text.
        tests: statements and expressions of it, in one function.
        torch_name: what the function calls torch.

    Raises:
        Refused: one of them cannot be rewritten; its node belongs to ``source``.
    """
    known = {id(test): _compared_names(test.test) for test in tests}
    every: dict[Position, Test] = {}
    sizes: dict[Position, frozenset[str]] = {}
    for test in tests:
        for each in [test, *_checked(source, test, known[id(test)])]:
            at = source.start(each)
            every[at] = each
            sizes[at] = sizes.get(at, frozenset()) | known[id(test)]
    positions = sorted(every)
    names = _free_names(function_around(source, tests[0]), len(positions))
    result = source
    for at, pair in reversed(list(zip(positions, names, strict=True))):
        node = result.node_at(at, type(every[at]))
        function = function_around(result, node)
        site = Site(result, node, function, Values(function, sizes[at]), torch_name, pair)
        try:
            result = rewritten(site)
        except Refused as refused:
            raise Refused(refused.reason, every[at]) from None
    return result


def function_around(source: SourceText, node: ast.AST) -> Function:
    """The innermost function around a test.

    Raises:
        Refused: it is a lambda, or yields.
    """
    around = next(each for each in source.ancestors(node) if isinstance(each, SCOPES))
    return checks.check_scope(around, node)


def _checked(source: SourceText, test: Test, sizes: frozenset[str]) -> list[Test]:
    """Refuses what torch.cond cannot do; the tests on sizes inside the two sides."""
    values = Values(function_around(source, test), sizes)
    if isinstance(test, ast.IfExp):
        both: list[ast.AST] = [test.body, test.orelse]
        checks.check_side(both[:1])
        checks.check_side(both[1:])
    else:
        sides = sides_of(source, test)
        checks.check_side(sides.true)
        checks.check_side(sides.false)
        both = [*sides.true, *sides.false]
        results = [(each.value, each) for each in returned(both)]
        if results:
            checks.check_results(results, values)
    return [each for each in walk(both) if isinstance(each, Test) and values.reads_size(each.test)]


def _compared_names(test: ast.expr) -> frozenset[str]:
    """Names that a test on sizes compares or computes with: they hold sizes, or numbers."""
    return frozenset(
        child.id
        for node in ast.walk(test)
        if isinstance(node, ast.Compare | ast.BinOp)
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.Name)
    )


def _free_names(function: Function, count: int) -> list[tuple[str, str]]:
    """Names for the functions of the sides, that the function has no other use for."""
    every = list(ast.walk(function))
    taken = {node.id for node in every if isinstance(node, ast.Name)}
    taken |= {node.name for node in every if isinstance(node, Function)}
    taken |= {node.arg for node in every if isinstance(node, ast.arg)}
    found: list[tuple[str, str]] = []
    number = 1
    while len(found) < count:
        ending = "" if number == 1 else f"_{number}"
        pair = (f"if_true{ending}", f"if_false{ending}")
        if not taken & set(pair):
            found.append(pair)
        number += 1
    return found
