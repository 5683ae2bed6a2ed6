"""Pytrees: lets torch's tree functions look into a class of this package.

Private names used (torch 2.13.0): ``register_pytree_node`` and ``MappingKey`` of
``torch.utils._pytree``. The public ``torch.export.register_dataclass`` shows the fields of a class,
not the items of a mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from torch.utils import _pytree as pytree

T = TypeVar("T")


def register_mapping(
    cls: type[T],
    *,
    items_of: Callable[[T], Mapping[str, Any]],
    made_of: Callable[[dict[str, Any]], T],
    serialized_name: str,
) -> None:
    """Makes a class with named items a node; the key of an item is its name.

    Args:
        cls: the class.
        items_of: its items.
        made_of: an object with other items; these may be anything, since trees are mapped to sizes
            and marks as well.
        serialized_name: stands for the class in a saved tree, so it must never change.
    """

    def flatten(value: T) -> tuple[list[Any], list[str]]:
        items = items_of(value)
        return list(items.values()), list(items)

    def flatten_with_keys(value: T) -> tuple[list[tuple[Any, Any]], list[str]]:
        items = items_of(value)
        return [(pytree.MappingKey(name), item) for name, item in items.items()], list(items)

    def unflatten(values: Iterable[Any], names: Any) -> T:
        return made_of(dict(zip(names, values, strict=True)))

    pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=serialized_name,
        flatten_with_keys_fn=flatten_with_keys,
    )


__all__ = ["register_mapping"]
