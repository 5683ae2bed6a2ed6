"""What ``a.b.c`` reads in the code of a function, without running code of the user's."""

from __future__ import annotations

import types
from typing import Any

from explorer.store.code_text import Chain
from explorer.store.functions import NOTHING, is_function, is_library, is_of


def followed(value: Any, chain: Chain) -> tuple[Any, Chain]:
    """What ``a.b.c`` reads, as far as that can be seen without running code of the user's."""
    for count, name in enumerate(chain[1:], 1):
        step = _attribute(value, name)
        if step is NOTHING:
            return value, chain[:count]
        value = step
    return value, chain


def _attribute(value: Any, name: str) -> Any:
    if isinstance(value, types.ModuleType):
        try:
            return getattr(value, name, NOTHING)  # torch.ops makes them when they are asked for
        except Exception:
            return NOTHING
    if isinstance(value, type):
        return _of_class(value, name)
    if is_of(value, "torch", "Tensor") or is_function(value):
        return NOTHING
    if is_library(str(type(value).__module__)) and not isinstance(value, types.SimpleNamespace):
        return NOTHING
    if name in getattr(value, "__dict__", {}):
        return value.__dict__[name]
    return _of_class(type(value), name)


def _of_class(kind: type, name: str) -> Any:
    for base in kind.__mro__:
        if base is not object and name in vars(base):
            found = vars(base)[name]
            has_getter = hasattr(type(found), "__get__") and not is_function(found)
            return NOTHING if has_getter or is_library(base.__module__) else found
    return NOTHING
