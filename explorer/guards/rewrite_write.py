"""One ``if`` or ternary in, the text with torch.cond in its place out.

The new text is spliced from the lines of the old one, so that comments and layout stay.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from dataclasses import dataclass

from explorer.guards.rewrite_checks import check_results
from explorer.guards.rewrite_copies import copies_needed, follow
from explorer.guards.rewrite_sides import Sides, Site, inlined_result, sides_of, with_names
from explorer.guards.rewrite_syntax import Function, Refused
from explorer.guards.rewrite_text import Edit, SourceText

_LINE_LENGTH = 88
"""Longer calls are broken: the usual limit of formatters, as the user's own is not known."""

_JOINING = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
"""What ``.clone()`` can be written behind without parentheses."""


def rewritten(site: Site) -> SourceText:
    """The text with one test rewritten.

    Raises:
        Refused: it cannot be.
    """
    if isinstance(site.node, ast.IfExp):
        return _ternary(site, site.node)
    return _statement(_one_statement_per_line(site))


def _call(head: str, arguments: list[str], tail: int, *, indentation: str, unit: str) -> list[str]:
    """``head(arguments)`` as lines, on one line when it fits with ``tail`` more characters."""
    line = f"{head}({', '.join(arguments)})"
    if len(line) + tail <= _LINE_LENGTH and "\n" not in line:
        return [line]
    inner = [f"{indentation}{unit}{each}," for each in arguments]
    return [f"{head}(", *inner, f"{indentation})"]


def _copies(source: SourceText, result: ast.expr, fresh: frozenset[str]) -> list[Edit]:
    """The edits that make copies of what a result hands back of the side's inputs."""
    edits: list[Edit] = []
    for part in copies_needed(result, fresh):
        start, end = source.span(part)
        if not isinstance(part, _JOINING):
            edits.append((start, start, "("))
        edits.append((end, end, ".clone()" if isinstance(part, _JOINING) else ").clone()"))
    return edits


def _ternary(site: Site, node: ast.IfExp) -> SourceText:
    source = site.source
    _check_place(source, node)
    check_results([(node.body, node.body), (node.orelse, node.orelse)], site.values)
    sides = []
    for side in (node.body, node.orelse):
        edits = _copies(source, side, frozenset())
        start, end = source.span(side)
        grown = sum(len(text) for _, _, text in edits)
        sides.append(f"lambda: {source.edited(edits).text[start : end + grown]}")
    start, end = source.span(node)
    line, column = source.start(node)
    end_line, end_column = source.end(node)
    call = _call(
        f"{site.torch_name}.cond",
        [site.predicate(), *sides, "()"],
        column + len(source.lines[end_line - 1]) - end_column,
        indentation=source.indentation(line),
        unit=_unit(site),
    )
    return source.edited([(start, end, "\n".join(call))])


def _check_place(source: SourceText, test: ast.IfExp) -> None:
    around = source.parents[test]
    if isinstance(around, ast.Call) and around.func is test:
        raise Refused("The ternary chooses a function, and torch.cond returns tensors only.", test)
    for each in source.ancestors(test):
        if isinstance(each, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            raise Refused("The test stands in a comprehension: write the loop out.", test)


def _unit(site: Site) -> str:
    """One step of indentation, as the function has it."""
    source, first = site.source, site.function.body[0].lineno
    outer = source.indentation(site.function.lineno)
    return source.indentation(first)[len(outer) :] or "    "


@dataclass(frozen=True)
class _Part:
    """Some lines that belong to a side, and their indentation."""

    first: int
    last: int
    indentation: str


def _statement(site: Site) -> SourceText:
    """The text with an ``if`` statement rewritten."""
    source, node = site.source, site.node
    assert isinstance(node, ast.If)
    sides = with_names(site, sides_of(source, node))
    outer, unit = source.indentation(node.lineno), _unit(site)
    is_elif = source.segment(node).startswith("elif")
    inner = outer + unit if is_elif else outer
    new = [f"{outer}else:"] if is_elif else _blank_before(source, node.lineno)
    true_part, false_part, last = _parts(source, node)
    if sides.rest:
        rest = _Part(last + 1, sides.rest[-1].end_lineno or last, outer)
        last = rest.last
        longer = true_part if sides.true[-1] is sides.rest[-1] else false_part
        longer.append(rest)
    for name, side, parts, comments in (
        (site.names[0], sides.true, true_part, _comments(source, node.test, node.body)),
        (site.names[1], sides.false, false_part, _comments(source, node.body[-1], node.orelse)),
    ):
        new.append(f"{inner}def {name}({', '.join(sides.operands)}):")
        new += [f"{inner}{unit}{comment}" for comment in comments]
        new += [*_side_lines(site, sides, side, parts, inner + unit), ""]
    head = f"{', '.join(sides.results)} =" if sides.results else "return"
    comma = "," if len(sides.operands) == 1 else ""
    arguments = [site.predicate(), *site.names, f"({', '.join(sides.operands)}{comma})"]
    head = f"{inner}{head} {site.torch_name}.cond"
    new += _call(head, arguments, 0, indentation=inner, unit=unit)
    return source.with_lines(node.lineno, last, new)


def _blank_before(source: SourceText, line: int) -> list[str]:
    """A blank line before a function, except behind a comment or the head of a block."""
    before = source.lines[line - 2].strip() if line > 1 else ""
    return [""] if before and not before.startswith("#") and not before.endswith(":") else []


def _parts(source: SourceText, node: ast.If) -> tuple[list[_Part], list[_Part], int]:
    """The lines of the two bodies, with comments around them, and the last line of all."""
    true = _part(source, node.body, node.test.end_lineno or node.lineno)
    if not node.orelse:
        return [true], [], true.last
    false = _part(source, node.orelse, true.last)
    return [true], [false], false.last


def _part(source: SourceText, block: list[ast.stmt], floor: int) -> _Part:
    """The lines of a block, with comments above, down to line ``floor``, and below."""
    first, last = block[0].lineno, block[-1].end_lineno or block[-1].lineno
    indentation = source.indentation(first)
    while first - 1 > floor and source.is_comment(first - 1):
        first -= 1
    while source.is_comment(last + 1) and source.indentation(last + 1).startswith(indentation):
        last += 1
    return _Part(first, last, indentation)


def _comments(source: SourceText, before: ast.AST, block: list[ast.stmt]) -> list[str]:
    """Comments behind the head of a block, which ends where its first statement begins."""
    if not block:
        return []
    first = source.end(before)[0] + (1 if isinstance(before, ast.stmt) else 0)
    return source.comment_behind_code(first, block[0].lineno - 1)


def _side_lines(
    site: Site, sides: Sides, side: list[ast.stmt], parts: list[_Part], indentation: str
) -> list[str]:
    """The body of the function of one side."""
    source = site.source
    inlined = inlined_result(side, sides.results)
    own, returns = follow(side if inlined is None else side[:-1])
    edits: list[Edit] = []
    for each, fresh in returns:
        assert each.value is not None
        edits += _copies(source, each.value, fresh)
    if inlined is not None:
        start, end = source.span(inlined.targets[0])
        equals = re.compile(r"\s*=[ \t]*").match(source.text, end)
        assert equals is not None
        edits += [(start, equals.end(), "return "), *_copies(source, inlined.value, own)]
    if side and source.segment(side[0]).startswith("elif"):
        start, _ = source.span(side[0])
        edits.append((start, start + len("elif"), "if"))
    lines: list[str] = []
    for part in parts:
        lines += source.moved(
            part.first, part.last, old=part.indentation, new=indentation, edits=edits
        )
    while lines and not lines[0]:
        del lines[0]
    if sides.results and inlined is None:
        copied = [name if name in own else f"{name}.clone()" for name in sides.results]
        lines.append(f"{indentation}return {', '.join(copied)}")
    return lines


def _one_statement_per_line(site: Site) -> Site:
    """The same with each statement of the sides on lines of its own."""
    source, node = site.source, site.node
    assert isinstance(node, ast.If)
    outer = source.indentation(node.lineno)
    edits: list[Edit] = []
    for block, indentation in (
        (node.body, outer + _unit(site)),
        (node.orelse, outer + _unit(site)),
        (sides_of(source, node).rest, outer),
    ):
        for statement in block:
            start, _ = source.span(statement)
            line, column = source.start(statement)
            before = source.lines[line - 1][:column]
            if before.strip():
                kept = before.rstrip().removesuffix(";").rstrip()
                own = source.indentation(block[0].lineno) if block[0].lineno < line else ""
                edits.append((start - len(before) + len(kept), start, f"\n{own or indentation}"))
    if not edits:
        return site
    changed = source.edited(edits)
    again = changed.node_at(source.start(node), ast.If)
    function = next(each for each in changed.ancestors(again) if isinstance(each, Function))
    return dataclasses.replace(site, source=changed, node=again, function=function)
