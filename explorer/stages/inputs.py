"""The inputs of one call.

Here they are bound as eager would, the tensors in them found, copied, and their sizes changed.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import inspect
import keyword
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch

from explorer.errors import ConfigError, InputError

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
    """Every tensor in dicts, lists, tuples, named tuples and dataclasses, in signature order."""
    found: list[TensorLeaf] = []
    for name, value in arguments.items():
        _collect(value, name, found)
    return found


def _collect(value: Any, path: str, found: list[TensorLeaf]) -> None:
    if isinstance(value, torch.Tensor):
        found.append(TensorLeaf(path, value))
        return
    for key, item in _children(value):
        _collect(item, f"{path}{key}", found)


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
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
    children = [(key, map_tensors(item, change, f"{path}{key}")) for key, item in _children(value)]
    if not children:
        return value
    items = [item for _, item in children]
    if isinstance(value, dict):
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


# --------------------------------------------------------------------------- which dims are dynamic


def inferred_dims(function: Callable[..., Any], leaves: Iterable[TensorLeaf]) -> dict[str, int]:
    """Dim 0 of every argument annotated as a tensor.

    Without such annotations it is dim 0 of every tensor in the call.
    """
    try:
        hints = typing.get_type_hints(inspect.unwrap(function))
    except Exception:  # an annotation that names what only the type checker sees
        hints = {}
    annotated = {name for name, hint in hints.items() if name != "return" and _is_tensor_hint(hint)}
    return {
        leaf.path: 0
        for leaf in leaves
        if leaf.tensor.dim() > 0 and (not annotated or leaf.path in annotated)
    }


def _is_tensor_hint(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, torch.Tensor):
        return True
    if isinstance(hint, type) and hint.__module__ == "torch" and hint.__name__.endswith("Tensor"):
        return True  # torch.LongTensor and its like are no subclasses
    return any(_is_tensor_hint(part) for part in typing.get_args(hint))


def dynamic_dims(
    leaves: list[TensorLeaf],
    argument_names: Iterable[str],
    wanted: Mapping[str, Any],
    unbacked: Mapping[str, Any] | None,
) -> tuple[DynamicDim, ...]:
    """The user's ``dynamic_arg_dims`` and ``mark_unbacked_dims``, checked.

    They are checked against the tensors of the example.

    Args:
        leaves: tensors of the example call.
        argument_names: parameter names of the signature.
        wanted: path -> dim, list of dims, or {dim: name}.
        unbacked: the same form; these dims are marked unbacked in every mode.

    Raises:
        ConfigError: an unknown path, a path to something else than a tensor, a dim that the tensor
            has not.
        InputError: two dims of one name with different sizes.
    """
    names = list(argument_names)
    by_path = {_normal_path(leaf.path): leaf for leaf in leaves}
    found: dict[tuple[str, int], DynamicDim] = {}
    for field, table in (("dynamic_arg_dims", wanted), ("mark_unbacked_dims", unbacked or {})):
        if not isinstance(table, Mapping):
            raise ConfigError(f"{field} must be a dict of argument name -> dims, not {table!r}.")
        for path, dims in table.items():
            leaf = _leaf_at(field, path, by_path, names)
            if leaf is None:
                continue
            for dim, name in _dims_and_names(field, path, dims):
                index = _checked_dim(field, leaf, dim)
                before = found.get((leaf.path, index))
                name = name or (before.name if before else None)
                is_unbacked = field == "mark_unbacked_dims" or (
                    before.unbacked if before else False
                )
                found[leaf.path, index] = DynamicDim(leaf.path, index, name, is_unbacked)
    _check_named_sizes(found.values(), {leaf.path: leaf.tensor for leaf in leaves})
    return tuple(found.values())


def _normal_path(path: str) -> str:
    return re.sub(r'\["([^"]*)"\]', r"['\1']", path.replace(" ", ""))


def _leaf_at(
    field: str, path: object, by_path: Mapping[str, TensorLeaf], names: list[str]
) -> TensorLeaf | None:
    if not isinstance(path, str):
        raise ConfigError(f"{field} has the key {path!r}: keys are argument names or paths.")
    leaf = by_path.get(_normal_path(path))
    if leaf is not None:
        return leaf
    root = re.split(r"[\[.]", path, maxsplit=1)[0]
    known = [each.path for each in by_path.values()]
    inside = [each for each in known if each.startswith((f"{path}[", f"{path}."))]
    if inside:
        raise ConfigError(
            f"{field} names {path!r}, which is no tensor but holds {', '.join(inside[:6])}: name "
            "one of those."
        )
    if root in names and root == path:
        raise ConfigError(
            f"{field} names {path!r}, which holds no tensor in the example; tensors are at "
            f"{_listed(known)}."
        )
    near = difflib.get_close_matches(path, dict.fromkeys([*known, *names]), n=3, cutoff=0.3)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    raise ConfigError(
        f"{field} names {path!r}, which is no argument; tensors are at {_listed(known)}{hint}."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) or "no place: the example has none"


def _dims_and_names(field: str, path: str, dims: Any) -> list[tuple[Any, str | None]]:
    if isinstance(dims, Mapping):
        pairs = [(dim, getattr(name, "__name__", name)) for dim, name in dims.items()]
        for _, name in pairs:
            if name is not None and not _is_size_name(name):
                raise ConfigError(
                    f"{field}[{path!r}] names a size {name!r}: a size's name is a Python "
                    "identifier."
                )
        return pairs
    if isinstance(dims, list | tuple):
        return [(dim, None) for dim in dims]
    return [(dims, None)]


def _is_size_name(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def _checked_dim(field: str, leaf: TensorLeaf, dim: Any) -> int:
    rank = leaf.tensor.dim()
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ConfigError(f"{field}[{leaf.path!r}] holds {dim!r}: a dim is an int.")
    if not -rank <= dim < rank:
        raise ConfigError(
            f"{field}[{leaf.path!r}] asks for dim {dim}, but {leaf.path} has {rank} dims "
            f"(shape {tuple(leaf.tensor.shape)})."
        )
    return dim % rank


def _check_named_sizes(dims: Iterable[DynamicDim], tensors: Mapping[str, torch.Tensor]) -> None:
    first: dict[str, tuple[str, int]] = {}
    for each in dims:
        if each.name is None:
            continue
        size = tensors[each.path].shape[each.dim]
        label = f"{each.path}.size({each.dim})"
        known = first.setdefault(each.name, (label, size))
        if known[1] != size:
            raise InputError(
                f"One name is one size, but {each.name!r} is {known[1]} in {known[0]} and {size} "
                f"in {label}: give equal sizes, or two names."
            )


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
