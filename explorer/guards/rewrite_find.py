"""A place in the user's code in; the function and the ``if`` or ternary there out."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

from explorer.artifacts import SourceLocation
from explorer.guards.rewrite_sides import Test
from explorer.guards.rewrite_syntax import Function, Refused
from explorer.guards.rewrite_text import SourceText
from explorer.guards.rewrite_values import Values

_DEPTH = 3
"""How many references away from the model's own functions a helper may be."""


# ---------------------------------------------------------------------------------------- functions


def function_at(model: Callable[..., Any], location: SourceLocation) -> FunctionType | None:
    """The function of a model whose code contains a place; the innermost of several.

    It is looked for among the methods of the model's submodules, the functions that these wrap or
    close over, and the globals that they name.

    Args:
        model: a module, function or method.
        location: file and line.
    """
    found = [each for each in _functions(model) if _covers(each.__code__, location)]
    return max(found, key=lambda each: each.__code__.co_firstlineno, default=None)


def _covers(code: CodeType, location: SourceLocation) -> bool:
    return code.co_filename == location.file and location.line in _lines(code)


def _lines(code: CodeType) -> range:
    """From the first line of a function to the last one that has code."""
    last = max((line for _, _, line in code.co_lines() if line), default=code.co_firstlineno)
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return range(code.co_firstlineno, max([last + 1, *(_lines(each).stop for each in inner)]))


def _functions(model: Any) -> Iterator[FunctionType]:
    """The functions that a call of the model may run, as far as names tell."""
    wave = list(_callables(getattr(model, "model_before_compiling", model)))
    seen: set[int] = set()
    for _ in range(_DEPTH + 1):
        wave = [each for each in wave if id(each) not in seen and not _is_torch(each)]
        seen |= {id(each) for each in wave}
        yield from wave
        wave = [other for each in wave for other in _references(each)]


def _is_torch(function: FunctionType) -> bool:
    return (function.__module__ or "").partition(".")[0] == "torch"


def _callables(value: Any) -> Iterator[FunctionType]:
    """The functions behind something that can be called, or holds what can."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, MethodType | classmethod | staticmethod):
        yield from _callables(value.__func__)
    elif isinstance(value, property):
        yield from _callables(value.fget)
    elif isinstance(value, partial):
        yield from _callables(value.func)
    elif isinstance(value, torch.nn.Module):
        for module in value.modules():
            yield from _callables_of_module(module)
    elif callable(value):
        yield from _methods(value if isinstance(value, type) else type(value))


def _callables_of_module(module: torch.nn.Module) -> Iterator[FunctionType]:
    for each in vars(module).values():
        if isinstance(each, FunctionType | MethodType | partial):
            yield from _callables(each)
    yield from _methods(type(module))


def _methods(cls: type) -> Iterator[FunctionType]:
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in ("torch", "builtins"):
            for each in vars(base).values():
                if isinstance(each, FunctionType | classmethod | staticmethod | property):
                    yield from _callables(each)


def _references(function: FunctionType) -> Iterator[FunctionType]:
    """What a function wraps, closes over, or names as a global."""
    values = [getattr(function, "__wrapped__", None)]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # a name that has no value yet
            continue
    names = _names(function.__code__)
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] != "torch":
            values += [vars(value)[other] for other in names & vars(value).keys()]
        elif not isinstance(value, ModuleType):
            values.append(value)
    for value in values:
        yield from _callables(value)


def _names(code: CodeType) -> set[str]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*(_names(each) for each in inner))


# -------------------------------------------------------------------------------------------- tests


def function_node(source: SourceText, function: FunctionType) -> Function | None:
    """The definition of a function in the text of its file."""
    line = function.__code__.co_firstlineno
    for node in ast.walk(source.tree):
        if isinstance(node, Function) and node.name == function.__code__.co_name:
            decorators = [each.lineno for each in node.decorator_list]
            if line in (node.lineno, min(decorators, default=node.lineno)):
                return node
    return None


def test_at(source: SourceText, function: Function, location: SourceLocation) -> Test:
    """The ``if`` or ternary of a function whose test contains a place.

    A test in a chain on sizes (``elif``, or a ternary inside a ternary) stands for the whole chain.

    Raises:
        Refused: there is none, or something else stands there.
    """
    found = [node for node in ast.walk(function) if _is_at(source, node, location)]
    if not found:
        raise Refused("No `if` and no ternary has its test at this place.", ast.Pass())
    if location.column is None and len(found) > 1:
        raise Refused("Several tests stand on this line, and the column is not known.", found[0])
    node = max(found, key=lambda each: source.start(_test(each)))
    if isinstance(node, ast.While):
        raise Refused("A `while` repeats its body, which torch.cond cannot.", node)
    if isinstance(node, ast.Assert):
        raise Refused("An `assert` has no sides to choose from.", node)
    if isinstance(node, ast.comprehension):
        raise Refused("The test stands in a comprehension: write the loop out.", node.ifs[0])
    assert isinstance(node, Test)
    return _head_of_chain(source, node, function)


_WITH_TEST = (ast.If, ast.IfExp, ast.While, ast.Assert, ast.comprehension)


def _test(node: ast.AST) -> ast.expr:
    return node.ifs[0] if isinstance(node, ast.comprehension) else node.test  # type: ignore[attr-defined]


def _is_at(source: SourceText, node: ast.AST, location: SourceLocation) -> bool:
    if not isinstance(node, _WITH_TEST):
        return False
    tests = node.ifs if isinstance(node, ast.comprehension) else [node.test]
    if location.column is None:
        return any(each.lineno <= location.line <= (each.end_lineno or 0) for each in tests)
    start = (location.line, location.column)
    end = (location.end_line or location.line, location.end_column or location.column)
    # Of a test that is a bare name, Python knows the place of the whole statement only.
    whole = [] if isinstance(node, ast.comprehension) else [node]
    return any(source.start(each) <= start and end <= source.end(each) for each in tests) or any(
        (source.start(each), source.end(each)) == (start, end) for each in whole
    )


def _head_of_chain(source: SourceText, node: Test, function: Function) -> Test:
    names = {each.id for each in ast.walk(node.test) if isinstance(each, ast.Name)}
    values = Values(function, frozenset(names))
    while True:
        parent = source.parents[node]
        if not isinstance(parent, type(node)) or node is parent.test:
            return node
        if isinstance(node, ast.If) and not source.segment(node).startswith("elif"):
            return node
        if not values.reads_size(parent.test):
            return node
        node = parent
