"""Dynamo's guards as plain data, and how the values that they test are found and known again.

Dynamo compares with objects by their address. In another process the same object is known by what
can be said of it: a class by its name, a function by its name and what it does, a constant by its
value. A guard on what cannot be said in that way makes a capture one that is not stored.

Private names used (torch 2.13.0): ``torch._C._dispatch_keys``.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import CodeType, FunctionType
from typing import Any

import torch

from explorer.layer_name import LayerName
from explorer.store.code_text import code_parts
from explorer.store.functions import NameOf, class_text, is_function, name_of_function
from explorer.store.places import Live, NotFound
from explorer.store.source_digest import digest_of
from explorer.store.value_text import Reader, Unread
from explorer.torch_private.state_guards import Scope

_STEP = re.compile(r"(?:\.(\w+)|\['([^'\\]*)'\]|\[(\d+)\])")
_DICT = ".__dict__"
_PLAIN = (bool, int, float, str, bytes, type(None))
ATTRIBUTE, ITEM, POSITION, KEY = "attribute", "item", "position", "key"


class NotStorable(Exception):
    """Something about a capture has no form that another process could check, or does not fit it.

    Attributes:
        differences: how many things do not fit.
    """

    differences = 1


@dataclass(frozen=True)
class StoredTest:
    """One test of one value.

    Attributes:
        kind: Dynamo's name of it.
        wanted: what the value has to be, or has to have, as plain data.
    """

    kind: str
    wanted: Any = None


@dataclass(frozen=True)
class StoredNode:
    """What is tested of one value.

    Attributes:
        source: Dynamo's name of it.
        tests: in Dynamo's order.
        children: values that are reached through this one.
    """

    source: str
    tests: tuple[StoredTest, ...]
    children: tuple[StoredNode, ...]


GuardTexts = Mapping[tuple[str, int], str]
"""(source, number of the test) -> Dynamo's words for it."""


@dataclass(frozen=True)
class ClassOfName:
    """A class, in the place of a key."""

    name: str


def metadata(tensor: torch.Tensor) -> tuple[Any, ...]:
    """What a guard compares of a tensor, but for its sizes and strides."""
    kind = type(tensor)
    keys = str(torch._C._dispatch_keys(tensor))
    name = f"{kind.__module__}.{kind.__qualname__}"
    return name, keys, tensor.dtype, tensor.device, tensor.requires_grad


class Words:
    """What can be said of a value so that another process knows it again."""

    def __init__(self, function: FunctionType, traced: frozenset[NameOf]) -> None:
        self._home = name_of_function(function)[0]
        self._traced = traced

    def of(self, value: Any, kind: str) -> Any:
        """A constant itself, a text in a tuple of one for anything else.

        Raises:
            NotStorable: nothing that is enough.
        """
        if type(value) in _PLAIN and value == value:
            return value
        if isinstance(value, type):
            return (f"class {class_text(value, self._home)}",)
        if value is hash:  # of a text, it is another number in each process
            raise NotStorable("the capture depends on hash")
        if isinstance(value, LayerName):  # an input of the graph, so the one that is there now
            return (f"layer name {value.name!r}",)
        if isinstance(value, CodeType):
            return (f"code of {value.co_qualname} {digest_of(code_parts(value))}",)
        reader = Reader(self._home, self._traced, Unread.NOT_KNOWN)
        try:
            text = reader.text(value, "it")
        except Exception as error:  # of an object of the user's
            raise NotStorable(f"a {type(value).__qualname__} cannot be read") from error
        if reader.unknown or (kind == "ID_MATCH" and not _is_one_of_its_kind(value)):
            raise NotStorable(f"the capture depends on which {type(value).__qualname__} it is")
        return (text,)


def _is_one_of_its_kind(value: Any) -> bool:
    """Whether there are no two objects of which the same is said."""
    kinds = (types.ModuleType, types.BuiltinFunctionType, types.MethodDescriptorType, Enum)
    of_torch = type(value).__module__ in ("torch._ops", "torch")
    is_tensor = isinstance(value, torch.Tensor)
    return isinstance(value, kinds) or is_function(value) or (of_torch and not is_tensor)


class Finder:
    """Values at Dynamo's sources, quickly where the source of the parent is its beginning."""

    def __init__(self, function: FunctionType, scope: Scope) -> None:
        self._read = Live(function, None, scope).at

    def at(self, source: str) -> Any:
        """What is at a source.

        Raises:
            NotFound: nothing is.
        """
        return self._read(source)

    def value(self, source: str, parent: str | None, parent_value: Any) -> Any:
        """The same for a source that may begin with that of a value which is known.

        Raises:
            NotFound: nothing is there.
        """
        step = step_from(parent, source)
        if step is None:
            return self._read(source)
        kind, name = step
        try:
            if kind == ATTRIBUTE:
                return getattr(parent_value, name)
            if kind == ITEM:
                return parent_value[name]
            if kind == POSITION:
                return parent_value[int(name)]
            return list(dict.keys(parent_value))[int(name)]
        except Exception as error:  # also of code of the user's, behind an attribute
            raise NotFound(f"{source}: {error}") from error


def step_from(parent: str | None, source: str) -> tuple[str, str] | None:
    """How a value is reached from the one at ``parent``; None where it is not that simple."""
    if parent is None or parent == "G":
        return None
    if source.startswith(parent):
        found = _STEP.fullmatch(source, len(parent))
        if found is not None:
            kinds = zip((ATTRIBUTE, ITEM, POSITION), found.groups(), strict=True)
            return next((kind, text) for kind, text in kinds if text is not None)
    owner = parent.removesuffix(_DICT)
    if owner != parent and source.startswith(owner):
        found = _STEP.fullmatch(source, len(owner))
        if found is not None and found[1] is not None:
            return ITEM, found[1]  # an attribute, found in the dict of its object
    beginning = f"list(dict.keys({parent}))["
    number = source[len(beginning) : -1]
    if source.startswith(beginning) and source.endswith("]") and number.isdecimal():
        return KEY, number
    return None


__all__ = [
    "ATTRIBUTE",
    "ITEM",
    "KEY",
    "POSITION",
    "ClassOfName",
    "Finder",
    "GuardTexts",
    "NotStorable",
    "StoredNode",
    "StoredTest",
    "Words",
    "metadata",
    "step_from",
]
