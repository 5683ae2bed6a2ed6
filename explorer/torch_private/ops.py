"""The dispatcher's operators: names, schemas, and whether two fake tensors share memory.

Private names used (torch 2.13.0): ``torch._ops.OpOverload``, ``OpOverloadPacket``,
``HigherOrderOperator`` and ``_higher_order_ops``, ``torch._C._dispatch_get_all_op_names``,
``torch._C._parse_dispatch_key``,
``torch._C._nn`` (as a module name), ``UntypedStorage._cdata``, ``_enter_autocast`` and
``_exit_autocast`` of ``torch.amp.autocast_mode``, ``_enter_inference_mode`` and
``_exit_inference_mode`` of ``torch.autograd.grad_mode``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import BuiltinFunctionType, MappingProxyType
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket, _higher_order_ops
from torch.amp.autocast_mode import _enter_autocast, _exit_autocast
from torch.autograd.grad_mode import _enter_inference_mode, _exit_inference_mode
from torch.nn import functional

from explorer.torch_private.transforms import unwrapped

_EXIT_OF_REGION = {_enter_autocast: _exit_autocast, _enter_inference_mode: _exit_inference_mode}


def is_operator(target: Any) -> bool:
    """Whether a call target is a dispatcher operator: one overload, or all under one name."""
    return isinstance(target, OpOverload | OpOverloadPacket)


def is_higher_order(target: Any) -> bool:
    """Whether a call target is an operator that takes graphs, such as ``torch.cond``."""
    return isinstance(target, HigherOrderOperator)


def region_exit(target: Any) -> Callable[[Any], None] | None:
    """What ends the region (autocast, inference mode) that a call target opens, or None."""
    return _EXIT_OF_REGION.get(target) if callable(target) else None


def is_region_exit(target: Any) -> bool:
    """Whether a call target ends a region; its argument is the node that opened it."""
    return target in _EXIT_OF_REGION.values()


def higher_order_name(target: Any) -> str:
    """``cond`` of ``torch.ops.higher_order.cond``."""
    return str(target.__name__)


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
    """(position, name) of what an operator writes to; None when its schema does not say."""
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
    default = {f"{name}.default" for name in names if "." not in name}
    higher_order = {f"higher_order::{name}" for name in _higher_order_ops}
    return frozenset(names) | {name.partition(".")[0] for name in names} | default | higher_order


def is_dispatch_key(name: str) -> bool:
    """Whether the dispatcher has a key of this name, such as ``CPU``."""
    return torch._C._parse_dispatch_key(name) is not None


@lru_cache(maxsize=1)
def public_paths() -> Mapping[int, tuple[str, ...]]:
    """The id of a function -> its public torch paths, the preferred one first.

    A Dynamo graph holds ``torch._C._nn.linear`` where the user wrote
    ``torch.nn.functional.linear``: they are one object. And ``torch.conv1d`` is
    ``torch.nn.functional.conv1d``: that one has two paths.
    """
    found: dict[int, list[str]] = {}
    namespaces: list[tuple[str, Any]] = [
        ("torch", torch),
        ("torch.nn.functional", torch.nn.functional),
        ("torch.linalg", torch.linalg),
        ("torch.special", torch.special),
        ("torch.fft", torch.fft),
    ]
    for path, namespace in namespaces:
        for name in dir(namespace):
            value = getattr(namespace, name)
            if name.startswith("_") or isinstance(value, type) or not callable(value):
                continue
            found.setdefault(id(value), []).append(f"{path}.{name}")
    return MappingProxyType({key: tuple(paths) for key, paths in found.items()})


def paths_of(target: Any) -> tuple[str, ...]:
    """The public torch paths of a call target, the preferred one first; empty when it has none.

    Dynamo looks into ``torch.nn.functional.pad`` and puts the ``torch._C._nn.pad`` that it calls.
    """
    found = public_paths().get(id(target))
    if found is not None:
        return found
    name = getattr(target, "__name__", "")
    inner = getattr(target, "__module__", "") == "torch._C._nn"
    return (f"torch.nn.functional.{name}",) if inner and hasattr(functional, name) else ()


def is_torch_builtin(target: Any) -> bool:
    """Whether a call target is C++ code of torch or Python.

    If so, its name tells what it writes.
    """
    if not isinstance(target, BuiltinFunctionType):
        return False
    module = str(getattr(target, "__module__", None) or "torch")
    return module.partition(".")[0] in ("torch", "builtins", "math", "_operator")


def is_torch_function(target: Any) -> bool:
    """Whether a call target belongs to torch or Python, so that there is one of its name."""
    if is_operator(target) or is_higher_order(target) or is_torch_builtin(target):
        return True
    module = str(getattr(target, "__module__", None))
    return id(target) in public_paths() or module.partition(".")[0] == "torch"


def storage_id(tensor: torch.Tensor) -> int:
    """Equal for two tensors, fake ones too, that share memory."""
    return unwrapped(tensor).untyped_storage()._cdata
