"""Functions as a notebook defines them, places in them, and trials of their rewrites."""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import textwrap
from types import FunctionType
from typing import Any

import torch
from torch import nn

from explorer.artifacts import SourceLocation
from explorer.guards.rewrite import Rewrite, rewrite_to_cond
from tests.explorer.comparing import EAGER, compiled, filled

CONFIG = EAGER.replace(max_size=64)
SIZES = (1, 2, 3, 4, 5, 8, 9, 10, 12, 17, 20)
_numbers = itertools.count()


def fill_line_cache(name: str, text: str) -> None:
    """Makes Python find a text as the file of that name."""
    lines: list[str] = text.splitlines(keepends=True)
    linecache.cache[name] = (len(text), None, lines, name)


def cell(source: str, **scope: Any) -> dict[str, Any]:
    """What a notebook cell defines: code that no file holds, but that Python finds the text of."""
    text = textwrap.dedent(source).lstrip("\n")
    name = f"<cell {next(_numbers)}>"
    fill_line_cache(name, text)
    made: dict[str, Any] = {"torch": torch, "nn": nn, **scope}
    exec(compile(text, name, "exec", dont_inherit=True), made)
    return made


def place(function: FunctionType, text: str) -> SourceLocation:
    """Where a text stands for the first time in a function."""
    lines, first = inspect.getsourcelines(function)
    for number, line in enumerate(lines, first):
        if text in line:
            column = line.index(text)
            file = function.__code__.co_filename
            end = column + len(text)
            return SourceLocation(
                file, number, function.__name__, line.strip(), column, number, end
            )
    raise LookupError(text)


def rewritten(function: Any, text: str, *others: str) -> Rewrite:
    also = [place(function, each) for each in others]
    result = rewrite_to_cond(function, place(function, text), also=also)
    assert isinstance(result, Rewrite), str(result)
    return result


def new_source(source: str, text: str, *others: str) -> str:
    """The rewritten source of the function in a cell."""
    functions = [each for each in cell(source).values() if inspect.isfunction(each)]
    return rewritten(functions[-1], text, *others).source


def statement_place(function: FunctionType) -> SourceLocation:
    """The place of a test that is a bare name: Python knows that of its statement."""
    lines, first = inspect.getsourcelines(function)
    node = next(each for each in ast.walk(ast.parse("".join(lines))) if isinstance(each, ast.If))
    down = first - 1
    assert node.end_lineno is not None
    return SourceLocation(
        function.__code__.co_filename,
        node.lineno + down,
        column=node.col_offset,
        end_line=node.end_lineno + down,
        end_column=node.end_col_offset,
    )


def check(model: Any, original: Any, *, example: int = 6, sizes: Any = SIZES) -> None:
    """The model has no condition of a branch left, and does what the original does in eager."""
    expected = {n: original(filled(n, 3)) for n in sizes}
    fast = compiled(model, filled(example, 3), config=CONFIG, dynamic_arg_dims={"x": {0: "n"}})
    left = [each.text for each in fast.compilation.captured.guards if not each.is_bound]
    assert not left
    for n in sizes:
        torch.testing.assert_close(fast(filled(n, 3)), expected[n], rtol=0, atol=0)
