"""Which dims of a call's tensors are dynamic: as the user asked, else by the annotations."""

from __future__ import annotations

import difflib
import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from explorer.errors import ConfigError, InputError
from explorer.intermediate_tensors import IntermediateTensors
from explorer.stages.annotations import tensor_parameters
from explorer.stages.inputs import DynamicDim, TensorLeaf, items_in, tensor_leaves, values_by_path

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_MOST_LISTED = 12


def inferred_dims(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, int]:
    """Dim 0 of every tensor in an argument that is annotated as tensors.

    Without such annotations it is dim 0 of every tensor in the call. An annotation that cannot be
    resolved, since only the type checker sees what it names, counts by the value of the argument.

    Args:
        function: the traced one.
        arguments: parameter name -> value of the example call.

    Returns:
        Path of a tensor -> 0.
    """
    known = tensor_parameters(function)
    annotated = list(_annotated(function, arguments, known.tensors | known.unresolved))
    leaves = annotated if annotated or known.tensors else tensor_leaves(arguments)
    return {leaf.path: 0 for leaf in leaves if leaf.tensor.dim() > 0}


def _annotated(
    function: Callable[..., Any], arguments: Mapping[str, Any], names: frozenset[str]
) -> Iterator[TensorLeaf]:
    """The tensors of some arguments that are a tensor or ``IntermediateTensors``."""
    parameters = inspect.signature(function).parameters
    for name in arguments:
        if name not in names:
            continue
        found = [(name, arguments[name])]
        if parameters[name].kind in _VARIADIC:  # the annotation is that of each item
            found = [(f"{name}{key}", item) for key, item in items_in(arguments[name])]
        for path, value in found:
            if isinstance(value, torch.Tensor | IntermediateTensors):
                yield from tensor_leaves({path: value})


def dynamic_dims(
    arguments: Mapping[str, Any],
    wanted: Mapping[str, Any],
    unbacked: Mapping[str, Any] | None,
) -> tuple[DynamicDim, ...]:
    """The user's ``dynamic_arg_dims`` and ``mark_unbacked_dims``, checked.

    They are checked against the tensors of the example.

    Args:
        arguments: parameter name -> value of the example call.
        wanted: path -> dim, list of dims, or {dim: name}. The path of an ``IntermediateTensors``
            stands for every tensor in it; one where the example has None is passed over.
        unbacked: the same form; these dims are marked unbacked in every mode.

    Raises:
        ConfigError: an unknown path, a path to something without dims, a dim that the tensor has
            not.
        InputError: two dims of one name with different sizes.
    """
    places = _Places(arguments)
    found: dict[tuple[str, int], DynamicDim] = {}
    for field, table in (("dynamic_arg_dims", wanted), ("mark_unbacked_dims", unbacked or {})):
        if not isinstance(table, Mapping):
            raise ConfigError(f"{field} must be a dict of argument name -> dims, not {table!r}.")
        for path, dims in table.items():
            for each in _asked(field, places.tensors_at(field, path, dims), path, dims):
                place = (each.path, each.dim)
                found[place] = _both(found[place], each) if place in found else each
    _check_named_sizes(found.values(), {leaf.path: leaf.tensor for leaf in places.leaves})
    return tuple(found.values())


def _asked(field: str, leaves: Iterable[TensorLeaf], path: str, dims: Any) -> Iterator[DynamicDim]:
    is_unbacked = field == "mark_unbacked_dims"
    for leaf in leaves:
        for dim, name in _dims_and_names(field, path, dims):
            yield DynamicDim(leaf.path, _checked_dim(field, leaf, dim), name, is_unbacked)


def _both(before: DynamicDim, now: DynamicDim) -> DynamicDim:
    """One dim that was asked for twice."""
    return DynamicDim(now.path, now.dim, now.name or before.name, now.unbacked or before.unbacked)


class _Places:
    """What is where in a call.

    Args:
        arguments: parameter name -> value.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.leaves = tensor_leaves(arguments)
        self._names = list(arguments)
        self._values = {_normal_path(path): value for path, value in values_by_path(arguments)}

    def tensors_at(self, field: str, path: object, dims: Any) -> list[TensorLeaf]:
        """The tensors that a key of the user's stands for.

        Raises:
            ConfigError: there is nothing of the kind.
        """
        if not isinstance(path, str):
            raise ConfigError(f"{field} has the key {path!r}: keys are argument names or paths.")
        normal = _normal_path(path)
        value = self._values.get(normal)
        if isinstance(value, torch.Tensor | IntermediateTensors):
            return [leaf for leaf in self.leaves if _is_in(_normal_path(leaf.path), normal)]
        if self._is_none(normal):
            return []
        if normal in self._values:
            raise ConfigError(self._unsupported(field, path, dims))
        raise ConfigError(self._unknown(field, path))

    def _is_none(self, path: str) -> bool:
        """Whether there is None at a path, or on the way to it: the argument is left out."""
        return any(value is None and _is_in(path, place) for place, value in self._values.items())

    def _unsupported(self, field: str, path: str, dims: Any) -> str:
        kind = type(self._values[_normal_path(path)]).__name__
        known = [leaf.path for leaf in self.leaves]
        inside = [each for each in known if _is_in(_normal_path(each), _normal_path(path))]
        if inside:
            reason = f"it is no tensor but holds {', '.join(inside[:6])}: name one of those"
        else:
            reason = (
                f"only tensors and IntermediateTensors have dims; tensors are at {_listed(known)}"
            )
        return (
            f"Unsupported dynamic dimensions {dims!r} for argument {path} with type {kind} in "
            f"{field}: {reason}."
        )

    def _unknown(self, field: str, path: str) -> str:
        known = [leaf.path for leaf in self.leaves]
        near = difflib.get_close_matches(
            path, dict.fromkeys([*known, *self._names]), n=3, cutoff=0.3
        )
        hint = f"; nearest: {', '.join(near)}" if near else ""
        return (
            f"{field} names {path!r}, which is no argument; tensors are at {_listed(known)}{hint}."
        )


def _normal_path(path: str) -> str:
    return re.sub(r'\["([^"]*)"\]', r"['\1']", path.replace(" ", ""))


def _is_in(path: str, container: str) -> bool:
    """Whether a path is that of the container or of something in it."""
    return path == container or path.startswith((f"{container}[", f"{container}."))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_LISTED]) or "no place: the example has none"


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
