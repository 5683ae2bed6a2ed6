"""The guards of a capture, written down so that another process can check them.

Private names used (torch 2.13.0): of a guard manager ``get_source`` and ``get_leaf_guards``, of a
leaf guard ``verbose_code_parts``, ``torch._C._len_torch_function_stack`` and
``torch.utils._device.CURRENT_DEVICE``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch
import torch.utils._device

from explorer.store.functions import NameOf
from explorer.store.places import NotFound
from explorer.torch_private.state_guards import Scope, StateGuards, children_of
from explorer.torch_private.stored_guards import (
    ClassOfName,
    Finder,
    GuardTexts,
    NotStorable,
    StoredNode,
    StoredTest,
    Words,
    metadata,
)

_CLASS = re.compile(r"<class '([\w.]+)'>")
_CONTAINS = re.compile(r"(not )?___dict_contains\('(\w+)', ")
"""The usual form, which takes no parser."""

_DIMS = re.compile(r"size=\[(.*?)\], stride=\[(.*?)\]")


def written_guards(
    guards: StateGuards, function: FunctionType, scope: Scope, traced: frozenset[NameOf]
) -> tuple[StoredNode, GuardTexts]:
    """The guards of a capture as plain data.

    Args:
        guards: they hold now.
        function: the function that was traced.
        scope: parameter and closure names -> values, as the traced function sees them.
        traced: functions that have a record of their own.

    Raises:
        NotStorable: one of them has no such form.
    """
    writer = _Writer(function, scope, traced)
    return writer.node(guards.root, None, None), writer.texts


class _Writer:
    def __init__(self, function: FunctionType, scope: Scope, traced: frozenset[NameOf]) -> None:
        self.texts: dict[tuple[str, int], str] = {}
        self._words = Words(function, traced)
        self._find = Finder(function, scope)

    def node(self, manager: Any, parent: str | None, parent_value: Any) -> StoredNode:
        source = manager.get_source()
        try:
            value = self._find.value(source, parent, parent_value)
        except NotFound as error:
            raise NotStorable(str(error)) from error
        tests = []
        for number, leaf in enumerate(manager.get_leaf_guards()):
            parts = leaf.verbose_code_parts()
            self.texts[source, number] = str(parts[0]) if parts else ""
            tests.append(self._test(type(leaf).__name__, [str(part) for part in parts], value))
        children = tuple(self.node(child, source, value) for child in children_of(manager))
        return StoredNode(source, tuple(tests), children)

    def _test(self, kind: str, parts: list[str], value: Any) -> StoredTest:
        text = parts[0] if parts else ""
        if kind in ("ID_MATCH", "EQUALS_MATCH"):
            return StoredTest(kind, self._words.of(value, kind))
        if kind == "TYPE_MATCH":
            return StoredTest(kind, self._words.of(type(value), kind))
        if kind in _AS_THEY_ARE or (kind in _AMBIENT and _AMBIENT[kind](text)):
            return StoredTest(kind)
        if kind in _WANTED:
            return StoredTest(kind, _WANTED[kind](value, parts))
        raise NotStorable(f"the condition {' '.join(text.split())[:100] or kind} has no such form")


_AS_THEY_ARE = frozenset({"NONE_MATCH", "TRUE_MATCH", "FALSE_MATCH", "NOT_NONE"})
"""Their kind says all."""


def _expression(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body  # what torch adds is a comment
    except SyntaxError as error:
        raise NotStorable(f"the condition {text[:100]} cannot be read") from error


def _key_and_side(text: str) -> tuple[Any, bool]:
    """``("forward", False)`` of ``not ___dict_contains('forward', ...)``."""
    plain = _CONTAINS.match(text)
    if plain is not None:
        return plain[2], plain[1] is None
    shown = _CLASS.search(text)
    found = _expression(_CLASS.sub(lambda each: repr(each[1]), text))
    is_wanted = True
    if isinstance(found, ast.UnaryOp) and isinstance(found.op, ast.Not):
        found, is_wanted = found.operand, False
    constants = [each for each in getattr(found, "args", ()) if isinstance(each, ast.Constant)]
    if len(constants) != 1:
        raise NotStorable(f"the condition {text[:100]} has no constant")
    key = constants[0].value
    is_class = shown is not None and shown[1] == key
    return ClassOfName(str(key)) if is_class else key, is_wanted


def _arguments(text: str) -> tuple[str, ...]:
    return tuple(ast.unparse(each) for each in getattr(_expression(text), "args", ()))


def _sides(text: str) -> tuple[str, ...]:
    found = _expression(text)
    if not isinstance(found, ast.Compare) or not isinstance(found.ops[0], ast.Is):
        raise NotStorable(f"the condition {text[:100]} is not known")
    return ast.unparse(found.left), ast.unparse(found.comparators[0])


def _dims(text: str) -> tuple[tuple[int | None, ...], ...]:
    """Sizes and strides that are tested; None stands for one that is not."""
    found = _DIMS.search(text)
    if found is None:
        raise NotStorable(f"the condition {text[:100]} tells no sizes")
    return tuple(
        tuple(None if each.strip() == "None" else int(each) for each in dims.split(",") if each)
        for dims in found.groups()
    )


_AMBIENT: Mapping[str, Callable[[str], bool]] = {
    "TORCH_FUNCTION_MODE_STACK": lambda text: torch._C._len_torch_function_stack() == 0,
    "DEFAULT_DEVICE": lambda text: torch.utils._device.CURRENT_DEVICE is None,
    # Of hooks on what autograd saves; pieces run without autograd.
    "LAMBDA_GUARD": lambda text: "saved_tensors_hooks" in text,
}
"""Tests of the process that are stored only where they say that there is nothing special."""

_WANTED: Mapping[str, Callable[[Any, list[str]], Any]] = {
    "LENGTH_CHECK": lambda value, parts: len(value),
    "DICT_LENGTH": lambda value, parts: len(value),
    "DICT_CONTAINS": lambda value, parts: _key_and_side(parts[0]),
    "SET_CONTAINS": lambda value, parts: _key_and_side(parts[0]),
    "NO_HASATTR": lambda value, parts: _key_and_side(parts[0]),
    "TENSOR_MATCH": lambda value, parts: (*metadata(value), *_dims(parts[0])),
    # Of the call's own tensors it says which marks they may have; here none counts.
    "DIMENSION_DYNAMIC_MARKING_GUARD": lambda value, parts: all(" == False" in p for p in parts),
    "NO_TENSOR_ALIASING": lambda value, parts: _arguments(parts[0]),
    "OBJECT_ALIASING": lambda value, parts: _sides(parts[0]),
}
"""What a test wants, from the value that passes it and torch's words for it."""

__all__ = ["written_guards"]
