"""The dispatcher's operators: names, schemas, and whether two fake tensors share memory.

Private names used (torch 2.13.0): ``torch._ops.OpOverload``, ``OpOverloadPacket`` and ``HigherOrderOperator``,
``torch._C._dispatch_get_all_op_names``, ``torch._C._nn`` (as a module name), ``UntypedStorage._cdata``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket


def is_operator(target: Any) -> bool:
    """Whether a call target is a dispatcher operator: one overload, or the packet of all its overloads."""
    return isinstance(target, OpOverload | OpOverloadPacket)


def is_higher_order(target: Any) -> bool:
    """Whether a call target is an operator that takes graphs, such as ``torch.cond``."""
    return isinstance(target, HigherOrderOperator)


def overload_of(target: Any) -> OpOverload | None:
    """The overload that a target stands for; None when a packet has several."""
    if isinstance(target, OpOverload):
        return target
    if isinstance(target, OpOverloadPacket):
        overloads = target.overloads()
        return getattr(target, overloads[0]) if len(overloads) == 1 else None
    return None


def operator_names(target: Any) -> tuple[str, ...]:
    """``ns::op`` and, where one overload is meant, ``ns::op.overload``."""
    overload = overload_of(target)
    if overload is not None:
        base = overload._schema.name
        return (base, f"{base}.{overload._overloadname}")
    namespace, _, name = target._qualified_op_name.partition("::")
    return (f"{namespace}::{name}",)


def written_arguments(target: Any) -> tuple[tuple[int, str], ...] | None:
    """(position, name) of the arguments that an operator writes to; None when its schema does not say."""
    overloads = (
        [target]
        if isinstance(target, OpOverload)
        else [getattr(target, name) for name in target.overloads()]
    )
    found: dict[tuple[int, str], None] = {}
    for overload in overloads:
        for position, argument in enumerate(overload._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                found[position, argument.name] = None
    return tuple(found)


def registered_names() -> frozenset[str]:
    """Every operator of the dispatcher, as ``ns::op`` and ``ns::op.overload``."""
    names = torch._C._dispatch_get_all_op_names()
    return frozenset(names) | {name.partition(".")[0] for name in names}


def public_functions() -> dict[int, str]:
    """id of a function -> its public torch path; the shortest path wins.

    A Dynamo graph holds ``torch._C._nn.linear`` where the user wrote ``torch.nn.functional.linear``: they are one object.
    """
    return dict(_public_functions())


@lru_cache(maxsize=1)
def _public_functions() -> tuple[tuple[int, str], ...]:
    found: dict[int, str] = {}
    namespaces: list[tuple[str, Any]] = [
        ("torch", torch),
        ("torch.nn.functional", torch.nn.functional),
        ("torch.linalg", torch.linalg),
        ("torch.special", torch.special),
        ("torch.fft", torch.fft),
    ]
    for path, namespace in namespaces:
        for name in dir(namespace):
            if name.startswith("_"):
                continue
            value = getattr(namespace, name)
            if isinstance(value, Callable) and not isinstance(value, type):  # type: ignore[arg-type]
                found.setdefault(id(value), f"{path}.{name}")
    return tuple(found.items())


def storage_id(tensor: torch.Tensor) -> int:
    """Equal for two tensors, fake ones too, that share memory."""
    return tensor.untyped_storage()._cdata

