"""Named tensors that one pipeline stage hands to the next.

A model may take them, return them, or both; ``compile_model`` sees the tensors inside.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, final, overload

import torch

from explorer.torch_private.pytree import register_mapping

STEP_INSIDE = "._tensors_by_name"
"""Stands in Dynamo's name of a tensor inside one; what users write for it is nothing.

The attribute is called so that no other class has one of that name.
"""


@final
class IntermediateTensors:
    """Tensors by name; made from a dict, whose later changes it does not see.

    ``it["hidden"]`` is one tensor, ``it[:n]`` all of them sliced along dim 0.
    """

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes over the items of a dict.

        Raises:
            TypeError: it is no dict, a name is no text, or a value is no tensor.
        """
        if not isinstance(tensors, dict):
            raise TypeError(
                "IntermediateTensors is made from a dict of name -> tensor, but was given a value "
                f"of type {type(tensors).__name__}."
            )
        self._tensors_by_name: dict[str, torch.Tensor] = {}
        for name, tensor in tensors.items():
            self[name] = tensor

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Its own dict of name -> tensor."""
        return self._tensors_by_name

    @overload
    def __getitem__(self, key: str) -> torch.Tensor: ...

    @overload
    def __getitem__(self, key: slice) -> IntermediateTensors: ...

    def __getitem__(self, key: str | slice) -> torch.Tensor | IntermediateTensors:
        """The tensor of a name, or for a slice new ones with every tensor sliced along dim 0.

        Raises:
            KeyError: there is no tensor of that name.
            TypeError: something else than a name or a slice.
        """
        tensors = self._tensors_by_name
        if isinstance(key, slice):
            return holding({name: tensor[key] for name, tensor in tensors.items()})
        if not isinstance(key, str):
            raise TypeError(
                "IntermediateTensors takes a name or a slice in brackets, but was given "
                f"{key!r} of type {type(key).__name__}."
            )
        # Asked first, so that a captured graph knows that it relies on the name.
        if key not in tensors:
            known = ", ".join(repr(name) for name in tensors) or "none"
            raise KeyError(f"no tensor is named {key!r}; the names are {known}")
        return tensors[key]

    def __setitem__(self, name: str, tensor: torch.Tensor) -> None:
        """Puts a tensor under a name.

        Raises:
            TypeError: the name is no text, or the value is no tensor.
        """
        if not isinstance(name, str):
            raise TypeError(
                f"The name of a tensor in IntermediateTensors is a str, but {name!r} has type "
                f"{type(name).__name__}."
            )
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(
                f"IntermediateTensors holds tensors only, but {name!r} has type "
                f"{type(tensor).__name__}: leave it out."
            )
        self._tensors_by_name[name] = tensor

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._tensors_by_name

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which they were put in."""
        return iter(self._tensors_by_name)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._tensors_by_name)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._tensors_by_name.keys()

    def values(self) -> ValuesView[torch.Tensor]:
        """The tensors."""
        return self._tensors_by_name.values()

    def items(self) -> ItemsView[str, torch.Tensor]:
        """Pairs of name and tensor."""
        return self._tensors_by_name.items()

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same names, in any order, and equal tensors."""
        if not isinstance(other, IntermediateTensors):
            return NotImplemented
        left, right = self._tensors_by_name, other._tensors_by_name
        return left.keys() == right.keys() and all(
            _are_equal(tensor, right[name]) for name, tensor in left.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}: {_form(v)}" for k, v in self._tensors_by_name.items())
        return f"IntermediateTensors({shown})"

    def __copy__(self) -> IntermediateTensors:
        """Another one with the same tensors and a dict of its own."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._tensors_by_name = dict(self._tensors_by_name)
        return made


def holding(tensors: dict[str, Any]) -> IntermediateTensors:
    """One around a dict as it is.

    The values are not looked at: torch's tree functions put sizes or marks in place of tensors.
    """
    made = IntermediateTensors.__new__(IntermediateTensors)
    made._tensors_by_name = tensors
    return made


def _are_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    same_form = one.dtype == other.dtype and one.device == other.device
    return same_form and torch.equal(one, other)


def _form(value: Any) -> str:
    """The shape and element type of a tensor, never its content."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


register_mapping(
    IntermediateTensors,
    items_of=lambda value: value.tensors,
    made_of=holding,
    serialized_name="explorer.IntermediateTensors",
)

__all__ = ["IntermediateTensors"]
