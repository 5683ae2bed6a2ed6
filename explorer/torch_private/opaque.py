"""Objects that torch passes through a graph without looking inside: "opaque" types.

A *value* type is one by ``==`` and ``hash``. A hoisted one becomes an input of the graph, so that
the graph does not hold which value it was.

Private names used (torch 2.13.0): ``torch._library.opaque_object.register_opaque_type`` and
``torch._library.fake_class_registry.FakeScriptObject`` with its ``script_class_name``.
"""

from __future__ import annotations

from typing import Any

from torch._library.fake_class_registry import FakeScriptObject
from torch._library.opaque_object import register_opaque_type


def _metaclass() -> type:
    """What the class of a value type has to be: ``type``, or one of torch's own.

    Torch 2.11 and 2.12 refuse another one than ``torch._opaque_base.OpaqueBaseMeta``; it can go
    when they no longer matter.
    """

    class Probe:
        def __eq__(self, other: object) -> bool:
            return self is other

        def __hash__(self) -> int:
            return 0

        def __fx_repr__(self) -> tuple[str, dict[str, type]]:
            return "", {}

    try:
        register_opaque_type(Probe, typ="value", hoist=True)
    except TypeError:
        from torch._opaque_base import OpaqueBaseMeta

        return OpaqueBaseMeta
    return type


VALUE_METACLASS = _metaclass()
"""Metaclass of a class that ``register_hoisted_value`` takes."""


def register_hoisted_value(kind: type) -> None:
    """Makes a class one whose objects a custom op can take and a trace turns into graph inputs.

    None of its members may be read while tracing: a graph that read one would depend on it, and
    torch's own caches, which tell such an input apart by its class only, would not see that.

    Args:
        kind: has ``__eq__``, ``__hash__`` and ``__fx_repr__``.
    """
    register_opaque_type(kind, typ="value", hoist=True)


def type_name(value: Any) -> str:
    """The name of a value's class; for what stands for an opaque object, the object's class."""
    if isinstance(value, FakeScriptObject):
        return str(value.script_class_name)
    return str(type(value).__qualname__)


def is_stand_in(value: Any) -> bool:
    """Whether a value stands for an opaque object while a graph is traced or compiled."""
    return isinstance(value, FakeScriptObject)


__all__ = ["VALUE_METACLASS", "is_stand_in", "register_hoisted_value", "type_name"]
