"""Objects, dicts and tensors in; one cheap call out that says whether anything about them changed.

A dict is compared by its version, which every write of another object changes. So the answer is
exact, and too strict only where a write did not matter.

Dynamo has a shortcut for models whose guards are all about dicts ("recursive dict tags"): it notes
the version of every dict that it meets below a root, and later compares those alone, in one loop of
about 1 ns a dict. Here all dicts are put below such a root, at no path at all. An object takes 15
ns and a tensor 60.

Private names used (torch 2.13.0): ``torch._C._dynamo.guards.RootGuardManager`` with
``tuple_getitem_manager``, ``dict_getitem_manager``, ``get_generic_dict_manager``,
``add_dict_version_guard``, ``mark_tag_safe``, ``mark_tag_safe_root`` and ``check``,
``torch._C._dynamo.guards.TensorGuards``, ``torch._dynamo.guards.GuardManagerType`` and
``torch._C._is_any_autocast_enabled``. Of CPython (3.11 to 3.14): that the last two fields of a list
are the address of its items and how many fit there.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._C._dynamo.guards import RootGuardManager, TensorGuards
from torch._dynamo.guards import GuardManagerType

_PLAIN = GuardManagerType.GUARD_MANAGER
_NOTE = ["watched"]

any_autocast: Callable[[], bool] = torch._C._is_any_autocast_enabled
"""Whether autocast is on in this thread, for any kind of device."""


@dataclass(frozen=True, eq=False)
class Watched:
    """What has to stay as it is.

    Attributes:
        objects: by class and by attributes; of an attribute, only which object it is. For each,
            ``is_listed`` must say yes.
        dicts: by keys, and by which objects the values are.
        tensors: by class, dtype, device, dispatch keys, shape and strides; not by content. None may
            occur twice.
    """

    objects: tuple[Any, ...] = ()
    dicts: tuple[dict[Any, Any], ...] = ()
    tensors: tuple[torch.Tensor, ...] = ()


def watch(watched: Watched) -> Callable[[], bool]:
    """A function of nothing: whether all of these are still as they are now.

    It has to be made and called under the same grad mode, inference mode and autocast, on which the
    comparison of tensors depends.
    """
    checks = [_watch_dicts((*watched.dicts, *[each.__dict__ for each in watched.objects]))]
    if watched.objects:
        checks.append(_watch_objects(watched.objects))
    if watched.tensors:
        checks.append(_watch_tensors(watched.tensors))
    first, second, third = (checks + [_nothing] * 2)[:3]
    return lambda: first() and second() and third()


def _nothing() -> bool:
    return True


class _Holder:
    """What the dicts are put below."""

    def __init__(self, dicts: tuple[dict[Any, Any], ...]) -> None:
        self.dicts = dicts


def _watch_dicts(dicts: tuple[dict[Any, Any], ...]) -> Callable[[], bool]:
    holder = _Holder(dicts)
    values = (holder,)
    root = RootGuardManager()
    node = root.tuple_getitem_manager(0, "holder", holder, _PLAIN)
    attributes = node.get_generic_dict_manager("attributes", holder.__dict__, _PLAIN)
    all_dicts = attributes.dict_getitem_manager("dicts", "dicts", holder.dicts, _PLAIN)
    for place, value in enumerate(dicts):
        each = all_dicts.tuple_getitem_manager(place, "dict", value, _PLAIN)
        # Where the shortcut is not taken, this guard compares the version as well.
        each.add_dict_version_guard(value, _NOTE, None)
        each.mark_tag_safe()
    for safe in (all_dicts, attributes, node):
        safe.mark_tag_safe()
    node.mark_tag_safe_root()
    root.check(values)  # notes the versions
    return functools.partial(root.check, values)


def is_listed(value: Any) -> bool:
    """Whether the garbage collector lists class and attributes of an object, as ``watch`` needs."""
    wanted = (type(value), vars(value))  # asking for attributes may make their dict
    found = gc.get_referents(value)
    return all(any(each is one for each in found) for one in wanted)


def _watch_objects(objects: tuple[Any, ...]) -> Callable[[], bool]:
    """Whether each has the class that it had, and the same dict of attributes.

    The garbage collector lists both, in one call for all. Dynamo's guards take 25 ns an object.
    """
    referents, addresses = gc.get_referents, _addresses
    held = referents(*objects)  # an address is another object's only after the first one is gone
    expected = addresses(held)

    def same(_held: list[Any] = held) -> bool:
        return bool(addresses(referents(*objects)) == expected)

    return same


_ITEMS_AT = list.__basicsize__ - 2 * struct.calcsize("P")
"""Where a list has the address of its items, in bytes from its own."""


def _addresses_in_memory(values: list[Any]) -> Any:
    start = ctypes.c_void_p.from_address(id(values) + _ITEMS_AT).value
    return ctypes.string_at(start or 0, len(values) * struct.calcsize("P"))


def _addresses_one_by_one(values: list[Any]) -> Any:
    return struct.pack(f"{len(values)}P", *map(id, values))


def _are_equal(values: list[Any]) -> bool:
    return bool(_addresses_in_memory(values) == _addresses_one_by_one(values))


# Equality of lists would do but for equal values that are not the same, 1 and True. Comparing
# addresses one by one takes ten times as long as reading them where the list has them.
_addresses = _addresses_in_memory if _are_equal([1, "a", list]) else _addresses_one_by_one


def _watch_tensors(tensors: tuple[torch.Tensor, ...]) -> Callable[[], bool]:
    # Torch annotates one list of sizes where it takes one list per tensor.
    sizes: Any = [list(each.shape) for each in tensors]
    strides: Any = [list(each.stride()) for each in tensors]
    check = TensorGuards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check
    # A partial function would copy the arguments twice.
    return lambda: check(*tensors)


__all__ = ["Watched", "any_autocast", "is_listed", "watch"]
