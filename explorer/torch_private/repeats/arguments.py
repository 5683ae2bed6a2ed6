"""The arguments of a traced call, described so that two calls can be compared.

Two calls with equal descriptions differ by the values of tensors and by the modules that they are
about, and by nothing else that a trace could see.

Private names used (torch 2.13.0): the classes of ``torch._dynamo.variables`` for tensors, sizes,
constants, modules, tuples, lists and dicts, with ``source``, ``as_proxy``, ``class_type``,
``sym_num``, ``value``, ``items``; ``LazyVariableTracker`` with ``unwrap``, ``is_realized`` and
``realize``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch._dynamo.variables.constant import ConstantVariable
from torch._dynamo.variables.dicts import ConstDictVariable
from torch._dynamo.variables.lazy import LazyVariableTracker
from torch._dynamo.variables.lists import ListVariable, SizeVariable, TupleVariable
from torch._dynamo.variables.nn_module import UnspecializedNNModuleVariable
from torch._dynamo.variables.tensor import SymNodeVariable, TensorVariable

from explorer.torch_private.graph_codec import STORAGE
from explorer.torch_private.ops import storage_id

UNUSED = ("unused",)
"""Describes an argument that the call never looked at."""


_CONTAINERS = (TupleVariable, ListVariable, SizeVariable, ConstDictVariable)


class NotComparableError(Exception):
    """An argument, or a result, of which it is not known when two are alike."""


@dataclass(eq=False)
class Arguments:
    """What one call is given.

    Attributes:
        positional: Dynamo's own objects, the module first.
        by_name: the same by parameter name.
        nodes: the graph's nodes among them, each once, in order.
        holders: for each of these Dynamo's object.
        modules: Dynamo's source and the module itself, in order.
        containers: ids of the lists and dicts among them.
        description: hashable; equal for calls that a trace could not tell apart.
    """

    positional: Sequence[Any]
    by_name: Mapping[str, Any]
    nodes: list[fx.Node] = field(default_factory=list)
    holders: list[Any] = field(default_factory=list)
    modules: list[tuple[Any, torch.nn.Module]] = field(default_factory=list)
    containers: set[int] = field(default_factory=set)
    description: Any = None

    def described(self, like: Any = None) -> Arguments:
        """Itself with its description.

        Args:
            like: another call's description; what that one never looked at is not looked at here.

        Raises:
            NotComparableError: some argument cannot be described.
        """
        values = [*self.positional, *self.by_name.values()]
        found = tuple(self._items(values, None if like is None else like[1]))
        self.description = (tuple(self.by_name), found, self._sharing())
        return self

    def _sharing(self) -> tuple[int, ...]:
        """Which of the tensors share memory: for each the first one that it shares with."""
        keys = [storage_key(node) for node in self.nodes]
        return tuple(keys.index(key) for key in keys)

    def _items(self, items: Sequence[Any], like: Sequence[Any] | None) -> list[Any]:
        known = like if like is not None and len(like) == len(items) else [None] * len(items)
        return [self._of(item, each) for item, each in zip(items, known, strict=True)]

    def _of(self, value: Any, like: Any) -> Any:
        if like == UNUSED:
            return UNUSED
        if isinstance(value, LazyVariableTracker):
            if not value.is_realized() and like is None:
                return UNUSED
            value = value.realize()
        kind = type(value)
        if kind in _CONTAINERS:
            return self._of_container(value, like)
        if kind is ConstantVariable:
            return ("constant", type(value.value), repr(value.value))
        if kind is TensorVariable:
            return ("tensor", self._node(value), value.source, value.class_type, tensor_key(value))
        if kind is SymNodeVariable:
            return ("size", self._node(value), value.source, _plain(value.sym_num))
        if value.source is None:
            raise NotComparableError(kind.__name__)
        if isinstance(value, UnspecializedNNModuleVariable) and isinstance(value.value, nn.Module):
            self.modules.append((value.source, value.value))
            return ("module", type(value.value), self._first(len(self.modules) - 1))
        return ("object", kind, value.source)

    def _of_container(self, value: Any, like: Any) -> Any:
        self.containers.add(id(value))
        inner = like[2:] if isinstance(like, tuple) and like[0] == "container" else None
        if type(value) is ConstDictVariable:
            names = tuple(_constant(key.vt) for key in value.items)
            items = self._items(list(value.items.values()), inner)
            return ("container", (ConstDictVariable, names), *items)
        return ("container", type(value), *self._items(value.items, inner))

    def _first(self, at: int) -> int:
        """The first of the modules that is the same object."""
        module = self.modules[at][1]
        return next(i for i, (_, each) in enumerate(self.modules) if each is module)

    def _node(self, value: Any) -> int:
        node = value.as_proxy().node
        if node not in self.nodes:
            self.nodes.append(node)
            self.holders.append(value)
        return self.nodes.index(node)


def tensor_key(value: Any) -> Any:
    """What a trace sees of a tensor, but for its content; sizes as expressions."""
    example = value.as_proxy().node.meta.get("example_value")
    if not isinstance(example, torch.Tensor):
        raise NotComparableError("a tensor without an example")
    return example_key(example)


def example_key(example: torch.Tensor) -> Any:
    """The same for an example value."""
    if example.layout is not torch.strided:
        raise NotComparableError(f"a tensor of layout {example.layout}")
    return (
        type(example),
        example.dtype,
        example.device,
        tuple(map(_plain, example.shape)),
        tuple(map(_plain, example.stride())),
        _plain(example.storage_offset()),
        example.requires_grad,
        example.is_conj(),
        example.is_neg(),
    )


def is_like(before: Any, after: Any) -> bool:
    """Whether a description says the same, but for what was looked at meanwhile."""
    if before in (UNUSED, after):
        return True
    if not (isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after)):
        return False
    return all(map(is_like, before, after))


def storage_key(node: fx.Node) -> Any:
    """Tells the memory of two tensors apart; for anything else the node itself."""
    example = node.meta.get("example_value")
    if not isinstance(example, torch.Tensor):
        return node
    return node.meta.get(STORAGE, storage_id(example))


def _plain(size: Any) -> Any:
    symbolic = (torch.SymInt, torch.SymFloat, torch.SymBool)
    return size.node.expr if isinstance(size, symbolic) else size


def _constant(key: Any) -> Any:
    if type(key) is not ConstantVariable:
        raise NotComparableError("a dict whose keys are no constants")
    return key.value


__all__ = [
    "UNUSED",
    "Arguments",
    "NotComparableError",
    "example_key",
    "is_like",
    "storage_key",
    "tensor_key",
]
