"""Memory that stays: buffers that graphs read from, values padded into them, results taken out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


class StaticBuffers:
    """Memory by name; a smaller tensor of the same name lies in the memory of the larger one.

    No two of a name are in use at the same time.
    """

    def __init__(self) -> None:
        self._flat: dict[tuple[Any, ...], torch.Tensor] = {}

    def like(
        self, name: Any, tensor: torch.Tensor, shape: Sequence[int], stride: Sequence[int]
    ) -> torch.Tensor:
        """A tensor without a defined content.

        Args:
            name: of the memory.
            tensor: has the element type and device.
            shape: of the result.
            stride: of the result, in elements.
        """
        key = (name, tensor.dtype, tensor.device)
        needed = span(shape, stride)
        with torch.inference_mode(False):  # else nothing could be copied into it outside
            if key not in self._flat or self._flat[key].numel() < needed:
                self._flat[key] = torch.empty(needed, dtype=tensor.dtype, device=tensor.device)
            return self._flat[key].as_strided(tuple(shape), tuple(stride), 0)


def span(shape: Sequence[int], stride: Sequence[int]) -> int:
    """Elements from the first to the last one of a tensor, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def is_overlapping(tensor: torch.Tensor) -> bool:
    """Whether two elements may share memory, so that nothing can be copied into the tensor."""
    largest = 0
    pairs = zip(tensor.stride(), tensor.shape, strict=True)
    for stride, size in sorted((stride, size) for stride, size in pairs if size > 1):
        if stride <= largest:
            return True
        largest += (size - 1) * stride
    return False


class PaddedCopy:
    """Copies a smaller tensor into the corner of a larger one; the rest repeats its last rows.

    So all values are ones that the tensor really has.

    Args:
        target: the larger tensor.
        shape: of the smaller one.
    """

    def __init__(self, target: torch.Tensor, shape: Sequence[int]) -> None:
        self.corner = target[tuple(slice(size) for size in shape)]
        self._fills: list[tuple[torch.Tensor, torch.Tensor]] = []
        done = list(shape)
        for dim, (have, want) in enumerate(zip(shape, target.shape, strict=True)):
            if have < want and 0 not in done:
                part = target[tuple(slice(size) for size in (*done[:dim], want, *done[dim + 1 :]))]
                last = part.narrow(dim, have - 1, 1)
                rest = part.narrow(dim, have, want - have)
                self._fills.append((rest, last.expand_as(rest)))
                done[dim] = want

    def __call__(self, tensor: torch.Tensor) -> None:
        """Copies, then fills."""
        self.corner.copy_(tensor)
        for rest, last in self._fills:
            rest.copy_(last)


def resized(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A tensor at another shape: sliced, or with its last rows repeated."""
    for dim, want in enumerate(shape):
        have = tensor.shape[dim]
        if have > want:
            tensor = tensor.narrow(dim, 0, want)
        elif have < want:
            last = tensor.narrow(dim, have - 1, 1)
            sizes = [*tensor.shape]
            sizes[dim] = want - have
            tensor = torch.cat((tensor, last.expand(sizes)), dim)
    return tensor


@dataclass(frozen=True)
class Layout:
    """Shape and strides of one returned tensor at the sizes of a call, in elements."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]


def taken_out(outputs: Sequence[Any], kept: frozenset[int]) -> list[Any]:
    """What graphs returned, in memory of its own.

    Args:
        outputs: tensors and plain values.
        kept: addresses of memory that is the user's: tensors there are returned as they are.

    Returns:
        Copies; those that share memory still do, and what was one object still is.
    """
    groups: dict[int, list[torch.Tensor]] = {}
    for value in outputs:
        if isinstance(value, torch.Tensor):
            group = groups.setdefault(value.untyped_storage().data_ptr(), [])
            if not any(each is value for each in group):
                group.append(value)
    copies: dict[int, torch.Tensor] = {}
    for address, group in groups.items():
        if address not in kept:
            copies |= _copies(group)
    return [copies.get(id(value), value) for value in outputs]


def _copies(group: list[torch.Tensor]) -> dict[int, torch.Tensor]:
    """Id of a tensor -> its copy, for tensors that share memory."""
    first = group[0]
    plain = len(group) == 1 and first.is_contiguous()
    if plain or any(each.dtype is not first.dtype for each in group) or not first.numel():
        return {id(each): each.clone() for each in group}
    filled = [each for each in group if each.numel()]
    start = min(each.storage_offset() for each in filled)
    end = max(each.storage_offset() + span(each.shape, each.stride()) for each in filled)
    memory = first.as_strided((end - start,), (1,), start).clone()
    return {
        id(each): memory.as_strided(
            each.shape, each.stride(), max(each.storage_offset() - start, 0)
        )
        for each in group
    }


def cut_to(outputs: Sequence[Any], layouts: Sequence[Any], kept: frozenset[int]) -> list[Any]:
    """What a padded call returned, without the rows that were added, in memory of its own.

    Args:
        outputs: tensors and plain values of the larger size.
        layouts: per output a ``Layout``, or the plain value at the sizes of the call.
        kept: addresses of memory that is the user's: tensors there are returned as they are.
    """
    found = []
    for value, layout in zip(outputs, layouts, strict=True):
        if not isinstance(value, torch.Tensor):
            found.append(layout)
            continue
        if value.untyped_storage().data_ptr() in kept:
            found.append(value)
            continue
        wanted = value.new_empty_strided(layout.shape, layout.stride)
        found.append(wanted.copy_(value[tuple(slice(size) for size in layout.shape)]))
    return found


def storages(tensors: Iterable[Any]) -> frozenset[int]:
    """Addresses of the memory behind some tensors."""
    return frozenset(
        each.untyped_storage().data_ptr() for each in tensors if isinstance(each, torch.Tensor)
    )


class Written:
    """The content of tensors that a run writes to, to put it back.

    Args:
        tensors: name -> tensor.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        self._before = self.now()

    def now(self) -> dict[str, torch.Tensor]:
        """Name -> what is in it now, as copies."""
        return {name: tensor.clone() for name, tensor in self._tensors.items()}

    def restore(self) -> None:
        """Puts back what was in them."""
        for name, content in self._before.items():
            self._tensors[name].copy_(content)


__all__ = [
    "Layout",
    "PaddedCopy",
    "StaticBuffers",
    "Written",
    "cut_to",
    "is_overlapping",
    "resized",
    "span",
    "storages",
    "taken_out",
]
