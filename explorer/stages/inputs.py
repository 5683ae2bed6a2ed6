"""The inputs of one call.

Here they are bound as eager would, the tensors in them found, copied, and their sizes changed.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch

from explorer.errors import InputError
from explorer.intermediate_tensors import IntermediateTensors

SMALLEST_CAPTURE_SIZE = 2
_GROWN_SIZE = 8
PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


@dataclass(frozen=True, eq=False)
class TensorLeaf:
    """One tensor in the arguments of a call.

    Attributes:
        path: where it is, as the user writes it: ``x``, ``batch['ids']``, ``pair[0]``,
            ``record.field``.
        tensor: the tensor.
    """

    path: str
    tensor: torch.Tensor


@dataclass(frozen=True)
class DynamicDim:
    """One dim that the user wants dynamic.

    Attributes:
        path: the tensor's path.
        dim: non-negative.
        name: the user's name for the size, or None.
        unbacked: marked so whatever the configuration says.
    """

    path: str
    dim: int
    name: str | None
    unbacked: bool = False


def bind_arguments(
    function: FunctionType, receiver: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameter name -> value, defaults filled in, as a call would bind them.

    Raises:
        InputError: the call does not fit the signature.
    """
    signature = inspect.signature(function)
    first = () if receiver is None else (receiver,)
    try:
        bound = signature.bind(*first, *args, **kwargs)
    except TypeError as error:
        shown = signature
        if receiver is not None:
            shown = signature.replace(parameters=list(signature.parameters.values())[1:])
        raise InputError(
            f"The example inputs do not fit the signature {function.__qualname__}{shown}: {error}."
        ) from error
    bound.apply_defaults()
    return dict(bound.arguments)


def user_arguments(bound: Mapping[str, Any], receiver: Any) -> dict[str, Any]:
    """The bound arguments without the receiver."""
    if receiver is None:
        return dict(bound)
    return dict(list(bound.items())[1:])


def tensor_leaves(arguments: Mapping[str, Any]) -> list[TensorLeaf]:
    """Every tensor in the arguments and the containers in them, in signature order.

    The containers are dicts, lists, tuples, named tuples, dataclasses and ``IntermediateTensors``.
    """
    return [
        TensorLeaf(path, value)
        for path, value in values_by_path(arguments)
        if isinstance(value, torch.Tensor)
    ]


def values_by_path(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every argument and everything in its containers, with paths, a container before its items."""
    for name, value in arguments.items():
        yield from _walk(value, name)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if not isinstance(value, torch.Tensor):
        for key, item in items_in(value):
            yield from _walk(item, f"{path}{key}")


def items_in(value: Any) -> Iterable[tuple[str, Any]]:
    """What is in a container, each with the step that leads to it: ``['ids']``, ``[0]``, ``.x``.

    A value that is no container holds nothing.
    """
    if isinstance(value, dict | IntermediateTensors):
        return [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields: tuple[str, ...] = getattr(value, "_fields", ())
        return [(f".{name}", item) for name, item in zip(fields, value, strict=True)]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [
            (f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)
        ]
    return []


def map_tensors(value: Any, change: Callable[[torch.Tensor, str], torch.Tensor], path: str) -> Any:
    """The same structure with every tensor replaced by ``change(tensor, path)``.

    Containers are new objects.
    """
    if isinstance(value, torch.Tensor):
        return change(value, path)
    children = [(key, map_tensors(item, change, f"{path}{key}")) for key, item in items_in(value)]
    if not children:
        return value
    items = [item for _, item in children]
    if isinstance(value, dict | IntermediateTensors):
        changed = copy.copy(value)
        for key, item in zip(value, items, strict=True):
            changed[key] = item  # a ModelOutput refuses update()
        return changed
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*items)
    if isinstance(value, list | tuple):
        return type(value)(items)
    changed = copy.copy(value)
    for field, item in zip(dataclasses.fields(value), items, strict=True):
        object.__setattr__(changed, field.name, item)  # a frozen dataclass too
    return changed


# ------------------------------------------------------------------------------ copies, other sizes


def check_tensors(leaves: Iterable[TensorLeaf]) -> None:
    """Refuses by name what a captured graph cannot take.

    Raises:
        InputError: a subclass, a sparse, quantised, meta or fake tensor.
    """
    for leaf in leaves:
        tensor = leaf.tensor
        if type(tensor) not in PLAIN_TENSORS:
            raise InputError(
                f"{leaf.path} is a {type(tensor).__name__}, a tensor subclass, which is not "
                "supported: pass a plain torch.Tensor."
            )
        if tensor.layout is not torch.strided:
            raise InputError(f"{leaf.path} has layout {tensor.layout}: pass a dense tensor.")
        if tensor.is_quantized:
            raise InputError(f"{leaf.path} is quantised: pass a dequantised tensor.")
        if tensor.device.type == "meta":
            raise InputError(f"{leaf.path} is on the meta device: pass a tensor with data.")


def replace_tensors(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], new_of: Mapping[int, torch.Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same call with tensors exchanged by identity; containers are new objects.

    Args:
        args: positional arguments.
        kwargs: keyword arguments.
        new_of: id of a tensor -> the tensor in its place.
    """

    def change(tensor: torch.Tensor, path: str) -> torch.Tensor:
        return new_of.get(id(tensor), tensor)

    changed = {name: map_tensors(value, change, name) for name, value in kwargs.items()}
    return tuple(map_tensors(value, change, "") for value in args), changed


def capture_copies(
    leaves: Iterable[TensorLeaf], dynamic_paths: frozenset[str]
) -> dict[int, torch.Tensor]:
    """New tensor objects over the same data, so that marks stay off the user's.

    Equal objects stay equal. A tensor with dynamic dims that is not contiguous becomes a contiguous
    copy: its strides would otherwise be symbols.

    Returns:
        id of the user's tensor -> its copy.
    """
    leaves = list(leaves)
    dynamic = {id(leaf.tensor) for leaf in leaves if leaf.path in dynamic_paths}
    return {
        id(leaf.tensor): _plain_copy(leaf.tensor, id(leaf.tensor) in dynamic) for leaf in leaves
    }


def _plain_copy(tensor: torch.Tensor, dynamic: bool) -> torch.Tensor:
    fresh = tensor.detach()
    if fresh.is_inference():
        fresh = fresh.clone()
    if dynamic and not fresh.is_contiguous():
        fresh = fresh.contiguous()
    return fresh


def resized_tensors(
    leaves: Iterable[TensorLeaf], sizes: Mapping[tuple[str, int], int]
) -> dict[int, torch.Tensor]:
    """Tensors of the example at other sizes: repeated or sliced along the dim.

    Args:
        leaves: tensors of the example.
        sizes: (path, dim) -> wanted size.

    Returns:
        id of the example's tensor -> the tensor at the wanted sizes, for those that change.
    """
    changed: dict[int, torch.Tensor] = {}
    for leaf in leaves:
        tensor = leaf.tensor
        for dim in range(tensor.dim()):
            if (leaf.path, dim) in sizes:
                tensor = _resized(tensor, dim, sizes[leaf.path, dim])
        if tensor is not leaf.tensor:
            changed[id(leaf.tensor)] = tensor
    return changed


def _resized(tensor: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    have = tensor.shape[dim]
    if have == size:
        return tensor
    if have == 0:
        shape = list(tensor.shape)
        shape[dim] = size
        return torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)
    repeats = [1] * tensor.dim()
    repeats[dim] = -(-size // have)
    return tensor.detach().repeat(repeats).narrow(dim, 0, size).contiguous()


def capture_sizes(
    leaves: list[TensorLeaf], dims: Iterable[DynamicDim]
) -> dict[tuple[str, int], int]:
    """(path, dim) -> size to capture at, for dims whose example is 0 or 1; others are left out.

    Torch gives a size of 0 or 1 no symbol and traces a static graph without an error.
    """
    tensors = {leaf.path: leaf.tensor for leaf in leaves}
    return {
        (each.path, each.dim): _GROWN_SIZE
        for each in dims
        if tensors[each.path].shape[each.dim] < SMALLEST_CAPTURE_SIZE
    }
