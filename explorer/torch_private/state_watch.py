"""Objects, dicts and tensors in; one cheap call out that says whether anything about them changed.

A dict is compared by its version, which every write of another object changes. So the answer is
exact, and too strict only where a write did not matter.

Dynamo has a shortcut for models whose guards are all about dicts ("recursive dict tags"): it notes
the version of every dict that it meets below a root, and later compares those alone, in one loop of
about 1 ns a dict. Here all dicts are put below such a root, at no path at all. An object takes 25
ns, a module 15 and a tensor 60.

Private names used (torch 2.13.0): ``torch._C._dynamo.guards.RootGuardManager`` with
``tuple_getitem_manager``, ``dict_getitem_manager``, ``get_generic_dict_manager``,
``add_type_match_guard``, ``add_id_match_guard``, ``add_dict_version_guard``, ``mark_tag_safe``,
``mark_tag_safe_root`` and ``check``, ``torch._C._dynamo.guards.TensorGuards``,
``torch._dynamo.guards.GuardManagerType`` and ``torch._C._is_any_autocast_enabled``.
"""

from __future__ import annotations

import functools
import gc
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
        objects: by class and by attributes; of an attribute, only which object it is.
        modules: the same, for less; if all attributes at once were put into another dict, it is
            enough that they are equal.
        dicts: by keys, and by which objects the values are.
        tensors: by class, dtype, device, dispatch keys, shape and strides; not by content. None may
            occur twice.
    """

    objects: tuple[Any, ...] = ()
    modules: tuple[torch.nn.Module, ...] = ()
    dicts: tuple[dict[Any, Any], ...] = ()
    tensors: tuple[torch.Tensor, ...] = ()


def watch(watched: Watched) -> Callable[[], bool]:
    """A function of nothing: whether all of these are still as they are now.

    It has to be made and called under the same grad mode, inference mode and autocast, on which the
    comparison of tensors depends.
    """
    attributes = [each.__dict__ for each in (*watched.objects, *watched.modules)]
    # The dicts come first: where they are unchanged, little is compared by value below.
    checks = [_watch_dicts((*watched.dicts, *attributes))]
    if watched.objects:
        checks.append(_watch_objects(watched.objects))
    if watched.modules:
        checks.append(_watch_modules(watched.modules))
    if watched.tensors:
        checks.append(_watch_tensors(watched.tensors))
    first, second, third, fourth = (checks + [_nothing] * 3)[:4]
    if len(checks) <= 2:
        return lambda: first() and second()
    return lambda: first() and second() and third() and fourth()


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


def _watch_objects(objects: tuple[Any, ...]) -> Callable[[], bool]:
    """Whether each has the class that it had, and the same dict of attributes."""
    root = RootGuardManager()
    for place, value in enumerate(objects):
        node = root.tuple_getitem_manager(place, "object", value, _PLAIN)
        node.add_type_match_guard(id(type(value)), _NOTE, None)
        attributes = node.get_generic_dict_manager("attributes", value.__dict__, _PLAIN)
        attributes.add_id_match_guard(id(value.__dict__), _NOTE, None)
    return functools.partial(root.check, objects)


def _watch_modules(modules: tuple[torch.nn.Module, ...]) -> Callable[[], bool]:
    """The same in half the time: the garbage collector lists dict and class of each object.

    Lists are compared by identity first. Where a dict is another one, its content is compared.
    """
    referents = gc.get_referents
    expected = referents(*modules)

    def same() -> bool:
        try:
            return referents(*modules) == expected
        except Exception:  # of tensors that were compared, for example
            return False

    return same


def _watch_tensors(tensors: tuple[torch.Tensor, ...]) -> Callable[[], bool]:
    # Torch annotates one list of sizes where it takes one list per tensor.
    sizes: Any = [list(each.shape) for each in tensors]
    strides: Any = [list(each.stride()) for each in tensors]
    check = TensorGuards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check
    # A partial function would copy the arguments twice.
    return lambda: check(*tensors)


__all__ = ["Watched", "any_autocast", "watch"]
