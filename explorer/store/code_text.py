"""A code object in; its parts as text out, and which globals and closure values it reads.

Byte code is what runs, so this is right for a file that was edited but not loaded again, and for a
notebook cell, which has no file. File names, line numbers, comments and docstrings are no part of
it. It differs between versions of Python.
"""

from __future__ import annotations

import dis
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

Part = tuple[str, str]
Chain = tuple[str, ...]

_LONGEST = 80
_COUNTED_FLAGS = 0xFFFF  # not those of future statements, of docstrings (3.13) and methods (3.14)
_OF_CLASS_BODY = ("__doc__", "__firstlineno__")
_SINCE_3_12 = 1 if sys.version_info >= (3, 12) else 0
_FLAG_BITS = {"LOAD_GLOBAL": 1, "LOAD_ATTR": _SINCE_3_12, "LOAD_SUPER_ATTR": 2 * _SINCE_3_12}
"""Instructions whose argument holds flags below the number of the name."""
_GLOBAL_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_CELL_LOADS = ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_ATTRIBUTE_LOADS = ("LOAD_ATTR", "LOAD_METHOD")


@dataclass(frozen=True)
class Reads:
    """What a function reads that is not its own.

    Attributes:
        of_globals: global names, each with the attributes that are read of it: ``("cfg", "scale")``
            for ``cfg.scale``.
        of_closure: the same for what it closes over.
        written: global names that it sets.
    """

    of_globals: tuple[Chain, ...]
    of_closure: tuple[Chain, ...]
    written: frozenset[str]


def sha256(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def short(text: str) -> str:
    """The text, or the beginning of a long one with a digest of all of it."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 20]}… {sha256(text)[:16]}"


def code_parts(code: CodeType) -> tuple[Part, ...]:
    """``("code", digest)`` and every constant in use, then the same of the functions inside."""
    return tuple(_parts(code, ""))


def _parts(code: CodeType, suffix: str) -> Iterator[Part]:
    constants: dict[int, int] = {}  # number of a constant -> its place among those in use
    lines = [_line(code, name, arg, constants) for name, arg in _instructions(code)]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    variables = (code.co_varnames, code.co_cellvars, code.co_freevars)
    flags = code.co_flags & _COUNTED_FLAGS
    lines.append(f"{counts} {variables} {flags} {code.co_exceptiontable.hex()}")
    yield f"code{suffix}", sha256("\n".join(lines))[:32]
    taken: dict[str, int] = {}
    for number, place in constants.items():
        value = code.co_consts[number]
        if not isinstance(value, CodeType):
            yield f"constant {place}{suffix}", short(constant_text(value))
            continue
        count = taken[value.co_name] = taken.get(value.co_name, 0) + 1
        name = value.co_name if count == 1 else f"{value.co_name} ({count})"
        yield from _parts(value, f" of {name}{suffix}")


def _line(code: CodeType, name: str, arg: int, constants: dict[int, int]) -> str:
    """One instruction, with names and constants in the place of their numbers.

    A docstring shifts the numbers of constants; one that is in no instruction has no part in what
    the code does.
    """
    number = dis.opmap[name]
    if number in dis.hasconst:
        return f"{name} #{constants.setdefault(arg, len(constants))}"
    if number in dis.hasname:
        bits = _FLAG_BITS.get(name, 0)
        return f"{name} {arg & ((1 << bits) - 1)} {code.co_names[arg >> bits]}"
    return f"{name} {arg}"


def _instructions(code: CodeType) -> list[tuple[str, int]]:
    """(name, argument) without caches and without what stores a docstring or a line number."""
    found: list[tuple[str, int]] = []
    raw, high = code.co_code, 0
    for at in range(0, len(raw), 2):
        name, arg = dis.opname[raw[at]], raw[at + 1] | high
        high = arg << 8 if raw[at] == dis.EXTENDED_ARG else 0
        if name == "STORE_NAME" and code.co_names[arg] in _OF_CLASS_BODY:
            found.pop()
        elif name not in ("CACHE", "EXTENDED_ARG"):
            found.append((name, arg))
    return found


def constant_text(value: Any) -> str:
    """A constant as Python writes it; what has no order is sorted."""
    if isinstance(value, tuple):
        return f"({', '.join(map(constant_text, value))})"
    if isinstance(value, frozenset):
        return f"frozenset({', '.join(sorted(map(constant_text, value)))})"
    return repr(value)


def reads_of(code: CodeType) -> Reads:
    """What a function reads that is not its own, functions inside it too."""
    of_globals: set[Chain] = set()
    of_cells: set[Chain] = set()
    written: set[str] = set()
    for inner, free in _with_inner(code, frozenset(code.co_freevars)):
        instructions = _instructions(inner)
        for at, (name, arg) in enumerate(instructions):
            if name in _GLOBAL_LOADS:
                first = inner.co_names[arg >> _FLAG_BITS.get(name, 0)]
                of_globals.add((first, *_attributes(inner, instructions, at + 1)))
            elif name in _CELL_LOADS and (first := _variable(inner, arg)) in free:
                of_cells.add((first, *_attributes(inner, instructions, at + 1)))
            elif name == "STORE_GLOBAL":
                written.add(inner.co_names[arg])
    unread = {(name,) for name in set(code.co_freevars) - {chain[0] for chain in of_cells}}
    return Reads(tuple(sorted(of_globals)), tuple(sorted(of_cells | unread)), frozenset(written))


def _with_inner(code: CodeType, free: frozenset[str]) -> Iterator[tuple[CodeType, frozenset[str]]]:
    """The code and that of the functions in it, each with what it has of the closure."""
    yield code, free
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant, free & frozenset(constant.co_freevars))


def _attributes(code: CodeType, instructions: list[tuple[str, int]], at: int) -> Iterator[str]:
    while at < len(instructions) and instructions[at][0] in _ATTRIBUTE_LOADS:
        name, arg = instructions[at]
        yield code.co_names[arg >> _FLAG_BITS.get(name, 0)]
        at += 1


def _variable(code: CodeType, arg: int) -> str:
    """The variable that an instruction means: arguments, other locals, cells, closure."""
    cells = [name for name in code.co_cellvars if name not in code.co_varnames]
    return (*code.co_varnames, *cells, *code.co_freevars)[arg]
