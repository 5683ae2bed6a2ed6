"""Which places of an object hold one and the same thing.

A trace that meets an object a second time takes it for the one that it knows, and tests nothing at
the second place. So two models are the same for it only if the same places share.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from explorer.store.functions import is_library, is_module

_MOST_OBJECTS = 100_000
_CHILDREN = ("_modules", "_parameters", "_buffers")
_VALUES = (bool, int, float, complex, str, bytes, type(None), type, types.ModuleType, Enum)


def shared_places(roots: Mapping[str, Any]) -> Iterator[str]:
    """``second is first`` for every place that holds an object which another one holds already.

    It looks through modules, containers, and objects of classes that are not a library's. Numbers,
    texts, classes and functions have no identity that counts.

    Args:
        roots: name -> object.
    """
    first: dict[int, str] = {}
    waiting = list(roots.items())
    while waiting and len(first) < _MOST_OBJECTS:
        place, value = waiting.pop()
        if isinstance(value, _VALUES) or (callable(value) and not is_module(value)):
            continue
        known = first.setdefault(id(value), place)
        if known != place:
            yield f"{place} is {known}"
            continue
        waiting += [(f"{place}{step}", inner) for step, inner in _inside(value)]


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", inner) for key, inner in value.items() if type(key) in _VALUES)
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", inner) for index, inner in enumerate(value))
    elif is_module(value):
        own = vars(value)
        for name in _CHILDREN:
            yield from ((f".{key}", inner) for key, inner in own.get(name, {}).items())
        yield from ((f".{k}", inner) for k, inner in own.items() if not _is_of_torch(k))
    elif not is_library(type(value).__module__):
        yield from ((f".{name}", inner) for name, inner in getattr(value, "__dict__", {}).items())


def _is_of_torch(name: str) -> bool:
    """Whether ``torch.nn.Module`` keeps its own things under an attribute."""
    return name in _CHILDREN or name.endswith(("_hooks", "_hooks_with_kwargs", "_always_called"))


__all__ = ["shared_places"]
