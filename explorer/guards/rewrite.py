"""A function and the place of a test on sizes in, the same function with torch.cond there out.

What comes out is a proposal in two forms: a diff to read, and a function to try. It computes the
same in eager. Whether torch takes it shows when it is captured: both sides must give the same
dtypes and strides.
"""

from __future__ import annotations

import ast
import difflib
import linecache
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import torch

from explorer.artifacts import SourceLocation
from explorer.artifacts.common import file_name
from explorer.guards.rewrite_find import function_at, function_node, test_at
from explorer.guards.rewrite_function import code_of, essence, remembered, with_code
from explorer.guards.rewrite_source import with_conditions
from explorer.guards.rewrite_syntax import Function, Refused
from explorer.guards.rewrite_text import SourceText


@dataclass(frozen=True, eq=False, repr=False)
class Rewrite:
    """A function with torch.cond in place of a branch.

    Attributes:
        diff: what changes in the user's file, as a unified diff.
        source: the new source of the function, indented as in the file.
        function: the new function, with the globals, closure and defaults of the original.
        original: the function that was rewritten.
        location: the place of the test.
    """

    diff: str
    source: str
    function: FunctionType
    original: FunctionType
    location: SourceLocation

    def __repr__(self) -> str:
        return f"<Rewrite of {self.original.__qualname__} at {self.location}>"


@dataclass(frozen=True)
class Refusal:
    """Why a branch is not rewritten.

    Attributes:
        reason: one sentence.
        location: the code that it is about.
    """

    reason: str
    location: SourceLocation

    def __str__(self) -> str:
        return f"{self.location}: {self.reason}"


def rewrite_to_cond(
    function: FunctionType, location: SourceLocation, *, also: Sequence[SourceLocation] = ()
) -> Rewrite | Refusal:
    """A function with torch.cond in place of a branch on sizes, or why there is none.

    Branches on sizes that stand inside the two sides are rewritten with it.

    Args:
        function: a Python function; of a method, the function behind it.
        location: the place of the test, as ``BranchSite.location`` has it.
        also: further tests of the same function, to be rewritten together.
    """
    source = SourceText("".join(linecache.getlines(location.file, function.__globals__)))
    try:
        node = _definition(source, function)
        tests = [test_at(source, node, each) for each in (location, *also)]
        name = _torch_name(function)
        changed = with_conditions(source, list(dict.fromkeys(tests)), name or "torch")
        if name is None:
            changed = _with_import(changed, function)
        return _rewrite(function, location, source, changed)
    except Refused as refused:
        return Refusal(refused.reason, _place(source, refused.node, function, location))


def _definition(source: SourceText, function: FunctionType) -> Function:
    """The function's definition in the text of its file.

    Raises:
        Refused: it is not there, or says something else than the function does.
    """
    nowhere = ast.Pass()
    if function.__code__.co_name == "<lambda>":
        raise Refused("The test stands in a lambda, which has no room for a torch.cond.", nowhere)
    try:
        node = function_node(source, function) if source.text else None
    except SyntaxError:
        node = None
    if node is None:
        raise Refused(f"The source of {function.__qualname__} is not available.", nowhere)
    # pytest changes the code of asserts, so that what has one cannot be compared.
    if not any(isinstance(each, ast.Assert) for each in ast.walk(node)):
        now = code_of(function, node, function.__code__.co_filename)
        if essence(now) != essence(function.__code__):
            raise Refused(
                f"The source of {function.__qualname__} has changed since it was imported, or "
                "the function is not what the source says.",
                node,
            )
    return node


def _place(
    source: SourceText, node: ast.AST, function: FunctionType, location: SourceLocation
) -> SourceLocation:
    if not hasattr(node, "lineno"):
        return location
    (line, column), (end_line, end_column) = source.start(node), source.end(node)
    return SourceLocation(
        file=location.file,
        line=line,
        function=function.__name__,
        text=source.lines[line - 1].strip(),
        column=column,
        end_line=end_line,
        end_column=end_column,
    )


def _torch_name(function: FunctionType) -> str | None:
    """What a function can call torch, or None."""
    # A trace leaves names of its own there, such as __import_torch.
    known = function.__globals__.items()
    names = [name for name, value in known if value is torch and not name.startswith("__")]
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    names += [name for name, cell in cells if _content(cell) is torch]
    names = [name for name in names if name not in function.__code__.co_varnames]
    return "torch" if "torch" in names else next(iter(names), None)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that has no value yet
        return None


def _with_import(source: SourceText, function: FunctionType) -> SourceText:
    """The text with torch imported in the function, as its file has no name for it."""
    node = function_node(source, function)
    assert node is not None
    has_text = ast.get_docstring(node) is not None and len(node.body) > 1
    first = node.body[1 if has_text else 0]
    line = first.lineno
    if source.lines[line - 1][: source.start(first)[1]].strip():
        raise Refused("The file does not import torch.", node)
    return source.with_lines(line, line - 1, [f"{source.indentation(line)}import torch", ""])


def _rewrite(
    function: FunctionType, location: SourceLocation, old: SourceText, new: SourceText
) -> Rewrite:
    node = function_node(new, function)
    assert node is not None
    title = f"{file_name(location.file)}:{location.line}"
    before, after = old.text.splitlines(), new.text.splitlines()
    diff = difflib.unified_diff(before, after, title, f"{title} with torch.cond", lineterm="")
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    file = Path(location.file).name  # of a cell its number too, so that no two are one
    name = remembered(f"torch.cond rewrite of {file}:{location.line}", new.text)
    return Rewrite(
        diff="\n".join(diff) + "\n",
        source="\n".join(new.lines[first - 1 : node.end_lineno]) + "\n",
        function=with_code(function, code_of(function, node, name)),
        original=function,
        location=location,
    )


@contextmanager
def applied(rewrite: Rewrite, model: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The model with the rewrite in place, as long as the context lasts.

    A model that is the rewritten function itself stays as it is, and the new function is given.
    Otherwise the original function runs the new code meanwhile, wherever it is called from: as a
    method, behind a decorator, as a helper. What is compiled inside the context is called there
    too: torch ties a graph to the code that it was traced from.

    Args:
        rewrite: what ``rewrite_to_cond`` gave.
        model: a module, function or method.
    """
    original: Any = rewrite.original
    if model is original:
        yield rewrite.function
    elif isinstance(model, MethodType) and model.__func__ is original:
        yield MethodType(rewrite.function, model.__self__)
    else:
        before = original.__code__
        original.__code__ = rewrite.function.__code__
        try:
            yield model
        finally:
            original.__code__ = before


__all__ = ["Refusal", "Rewrite", "applied", "function_at", "rewrite_to_cond"]
