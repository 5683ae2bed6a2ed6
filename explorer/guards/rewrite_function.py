"""A changed definition in, a function with its code and all else of the original out."""

from __future__ import annotations
import __future__

import ast
import copy
import dis
import linecache
from types import CodeType, FunctionType
from typing import Any

from explorer.guards.rewrite_syntax import Function

_TELLING = ("COMPARE", "BINARY", "UNARY", "CONTAINS", "IS_OP", "STORE", "BUILD", "LOAD_CONST")
"""Beginnings of the names of instructions that do not depend on what surrounds a function.

The instructions of a call do: they differ for a name that the file imports.
"""


def essence(code: CodeType) -> tuple[Any, ...]:
    """What two codes of one function have in common, wherever they stand."""
    inner = [essence(each) for each in code.co_consts if isinstance(each, CodeType)]
    instructions = [
        (each.opname, each.argrepr)
        for each in dis.get_instructions(code)
        if each.opname.startswith(_TELLING) and not isinstance(each.argval, CodeType)
    ]
    return instructions, code.co_names, code.co_varnames, code.co_freevars, inner


def remembered(title: str, text: str) -> str:
    """A file name under which Python finds a text for its stack traces."""
    lines = text.splitlines(keepends=True)
    number = 1
    while True:
        name = f"<{title}>" if number == 1 else f"<{title} ({number})>"
        entry = linecache.cache.get(name)
        if entry is None or linecache.getlines(name) == lines:
            break
        number += 1
    linecache.cache[name] = (len(text), None, lines, name)
    return name


def code_of(function: FunctionType, node: Function, file: str) -> CodeType:
    """The code of a definition, with the free names of a function.

    A class around it gives private names their prefix and ``super()`` its class; nothing of it is
    run.
    """
    bare = copy.deepcopy(node)
    bare.decorator_list, bare.returns = [], None
    bare.args.defaults, bare.args.kw_defaults = [], [None] * len(bare.args.kwonlyargs)
    for each in ast.walk(bare.args):
        if isinstance(each, ast.arg):
            each.annotation = None
    around = function.__qualname__.rpartition(".")[0].rpartition(".")[2]
    cls = ast.parse(f"class {around if around.isidentifier() else '_'}: pass").body[0]
    free = [name for name in function.__code__.co_freevars if name != "__class__"]
    outer = ast.parse(f"def around({', '.join(free)}): pass").body[0]
    assert isinstance(cls, ast.ClassDef) and isinstance(outer, ast.FunctionDef)
    cls.body, outer.body = [bare], [cls]
    every = [getattr(__future__, each) for each in __future__.all_feature_names]
    flags = sum({each.compiler_flag for each in every} & _bits(function.__code__.co_flags))
    module = ast.Module([outer], [])
    code = compile(module, file, "exec", flags=flags, dont_inherit=True)
    for name in ("around", cls.name, node.name):
        code = next(
            each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name
        )
    return code.replace(co_qualname=function.__code__.co_qualname)


def _bits(number: int) -> set[int]:
    return {1 << place for place in range(number.bit_length()) if number >> place & 1}


def with_code(function: FunctionType, code: CodeType) -> FunctionType:
    """A function with other code, and everything else as it was."""
    assert code.co_freevars == function.__code__.co_freevars
    new = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    new.__kwdefaults__ = function.__kwdefaults__
    new.__annotations__ = function.__annotations__
    new.__qualname__, new.__module__ = function.__qualname__, function.__module__
    new.__doc__ = function.__doc__
    new.__dict__.update(function.__dict__)
    return new
