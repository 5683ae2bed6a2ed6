"""What a capture was asked for and sizes in, inputs of those sizes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from explorer.artifacts import CapturedGraph
from explorer.errors import InputError
from explorer.stages import inputs
from explorer.stages.capture import CaptureRequest, call_make_inputs, named_dims

Inputs: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


def at(
    request: CaptureRequest,
    sizes: Mapping[str, int],
    *,
    captured: CapturedGraph | None = None,
) -> Inputs:
    """Inputs of other sizes: from the user's ``make_inputs``, else the example repeated or sliced.

    Args:
        request: the model and its example call.
        sizes: size name -> wanted size; one that is left out is as in the example.
        captured: what came of the request; it knows which dims the model made one size.

    Returns:
        Positional and keyword arguments; a tensor whose size does not change is the example's own.

    Raises:
        InputError: there is no size of that name, or ``make_inputs`` failed.
    """
    leaves, dims = named_dims(request)
    tensors = {leaf.path: leaf.tensor for leaf in leaves}
    own_name = {(each.path, each.dim): str(each.name) for each in dims}
    name_of = own_name | _names_in(captured)
    _check_names(sizes, {*own_name.values(), *name_of.values()})
    wanted = {
        place: sizes.get(name, sizes.get(own_name[place], tensors[place[0]].shape[place[1]]))
        for place, name in name_of.items()
    }
    if request.make_inputs is not None:
        return call_make_inputs(
            request.make_inputs, {own_name[place]: size for place, size in wanted.items()}
        )
    changed = inputs.resized_tensors(leaves, wanted)
    return inputs.replace_tensors(request.args, request.kwargs, changed)


def size_names(request: CaptureRequest) -> set[str]:
    """Names of the dims that are wanted dynamic."""
    return {str(each.name) for each in named_dims(request)[1]}


def copied(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Inputs:
    """The same inputs in other memory, since a model may write to them."""
    found: list[inputs.TensorLeaf] = inputs.tensor_leaves({"args": args, "kwargs": dict(kwargs)})
    return inputs.replace_tensors(
        args, kwargs, {id(leaf.tensor): leaf.tensor.detach().clone() for leaf in found}
    )


def _names_in(captured: CapturedGraph | None) -> dict[tuple[str, int], str]:
    """(path, dim) -> the name of its size, after the model made some dims one size."""
    if captured is None:
        return {}
    return {place: size.name for size in captured.sizes for place in size.sources}


def _check_names(sizes: Mapping[str, int], known: set[str]) -> None:
    for name in sizes:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InputError(f"There is no size named {name!r}; the sizes are {listed}.")
