"""One graph per region of sizes and values: captured for one call, right where its conditions hold.

A dim that the model fixes at the sizes of the call becomes a constant of that graph.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from explorer import example_inputs
from explorer.artifacts import (
    CapturedGraph,
    SourceLocation,
    Specialization,
    SpecializationReason,
)
from explorer.config import CompilationConfig
from explorer.errors import ConfigError, ExplorerError, InputError, SpecializedDim
from explorer.guards.conditions import Conditions
from explorer.guards.domain import Dimension, known_dimensions
from explorer.intermediate_tensors import IntermediateTensors
from explorer.stages.capture import CaptureRequest, capture, checked_model, named_dims
from explorer.stages.inputs import items_in
from explorer.torch_private.capture import traced_function

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def capture_general(request: CaptureRequest, config: CompilationConfig) -> CapturedGraph:
    """A graph with as many dynamic sizes as the model allows.

    Where the model fixes a dim at the example's size, a larger size is tried first; the size of the
    example then gets a graph of its own when it is called.

    Raises:
        CaptureError: the model does not trace into one graph.
    """
    try:
        return capture(request, config)
    except SpecializedDim as error:
        larger = _at_a_larger_size(request, error)
        if larger is not None:
            try:
                return dataclasses.replace(capture(larger, config), request=request)
            except ExplorerError:
                pass  # it is fixed there as well, or the model fails
    return capture_fixing(request, config)


def _at_a_larger_size(request: CaptureRequest, error: SpecializedDim) -> CaptureRequest | None:
    leaves, dims = named_dims(request)
    shapes = {leaf.path: leaf.tensor.shape for leaf in leaves}
    name = next((d.name for d in dims if (d.path, d.dim) == (error.path, error.dim)), None)
    if name is None or error.path is None or error.dim is None:
        return None
    size = 2 * shapes[error.path][error.dim] + 1
    try:
        args, kwargs = example_inputs.at(request, {name: size})
    except ExplorerError:
        return None
    return dataclasses.replace(request, args=args, kwargs=kwargs)


def capture_fixing(request: CaptureRequest, config: CompilationConfig) -> CapturedGraph:
    """A graph for the example's sizes; each dim that the model fixes there becomes a constant.

    Raises:
        CaptureError: the model does not trace into one graph.
    """
    leaves, dims = named_dims(request)
    shapes = {leaf.path: leaf.tensor.shape for leaf in leaves}
    fixed = dict(request.fixed_dims)
    made: list[Specialization] = []
    while True:
        try:
            captured = capture(dataclasses.replace(request, fixed_dims=dict(fixed)), config)
        except SpecializedDim as error:
            name = next((d.name for d in dims if (d.path, d.dim) == (error.path, error.dim)), None)
            more = {
                (each.path, each.dim): shapes[each.path][each.dim]
                for each in dims
                if each.name == name and (each.path, each.dim) not in fixed
            }
            if not more:
                raise
            fixed |= more
            made.append(_fixed_by(error, more))
        else:
            known = (*captured.specializations, *made)
            return dataclasses.replace(captured, specializations=known)


def _fixed_by(error: SpecializedDim, dims: Mapping[tuple[str, int], int]) -> Specialization:
    place = error.location if isinstance(error.location, SourceLocation) else None
    source, size = f"{error.path}.size({error.dim})", next(iter(dims.values()))
    return Specialization(source, size, SpecializationReason.FIXED, location=place)


def request_of_call(
    request: CaptureRequest, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> CaptureRequest:
    """What to capture for one call: its own inputs, with dims of size 1 as constants.

    Raises:
        InputError: the call does not fit the signature, or lacks a dim that is wanted dynamic.
    """
    called = dataclasses.replace(
        request, args=tuple(args), kwargs=dict(kwargs), make_inputs=None, fixed_dims={}
    )
    try:
        leaves, dims = named_dims(called)
    except ConfigError as error:  # the names are those of the example
        raise InputError(f"This call lacks a dim that is wanted dynamic. {error}") from error
    shapes = {leaf.path: leaf.tensor.shape for leaf in leaves}
    ones = {(each.path, each.dim): 1 for each in dims if shapes[each.path][each.dim] == 1}
    return dataclasses.replace(called, fixed_dims=ones)


def sizes_of_call(request: CaptureRequest) -> dict[str, int]:
    """Name of each dim that is wanted dynamic -> its size in the request's inputs."""
    leaves, dims = named_dims(request)
    shapes = {leaf.path: leaf.tensor.shape for leaf in leaves}
    return {str(each.name): int(shapes[each.path][each.dim]) for each in dims}


def fixed_sizes(captured: CapturedGraph) -> dict[str, int]:
    """Name -> value of the sizes that are constants of a captured graph."""
    request = captured.request
    if request is None or not request.fixed_dims:
        return {}
    _, dims = named_dims(request)
    return {
        str(each.name): request.fixed_dims[each.path, each.dim]
        for each in dims
        if (each.path, each.dim) in request.fixed_dims
    }


def dimensions_of(captured: CapturedGraph) -> tuple[Dimension, ...]:
    """What calls may vary: the sizes and ints of a graph, and the sizes that it has fixed."""
    known = known_dimensions(captured)
    names = {each.name for each in known}
    fixed = {k: v for k, v in fixed_sizes(captured).items() if k not in names}
    return (*known, *(Dimension(name, (), True, size) for name, size in fixed.items()))


def plain_values(request: CaptureRequest) -> tuple[tuple[str, Any], ...]:
    """The arguments of a request that are no tensors, as (name, value): graphs depend on them.

    A dict, list, tuple or ``IntermediateTensors`` counts as what is in it, any other object as the
    one that it is.
    """
    function, receiver = traced_function(checked_model(request.model))
    first = () if receiver is None else (receiver,)
    bound = inspect.signature(function).bind(*first, *request.args, **request.kwargs)
    bound.apply_defaults()
    values = [(name, value) for name, value in bound.arguments.items() if value is not receiver]
    return tuple((name, _plain(value)) for name, value in values if not hasattr(value, "shape"))


def _plain(value: Any) -> Any:
    """What stands for one value: equal for two values that a graph cannot tell apart."""
    if isinstance(value, torch.Tensor):
        return torch.Tensor
    if isinstance(value, _PLAIN):
        return type(value), value
    if type(value) is IntermediateTensors:
        return type(value), _plain(vars(value))  # somebody may have given it an attribute
    if type(value) in (dict, list, tuple):
        return type(value), [(step, _plain(item)) for step, item in items_in(value)]
    return id(value)


def region_mask(
    captured: CapturedGraph, points: Mapping[str, np.ndarray], count: int
) -> np.ndarray:
    """The points at which a captured graph is right, by its conditions; sizes 0 and 1 left out.

    Args:
        captured: the graph.
        points: name of a size or an int argument -> one value per point.
        count: how many points.
    """
    conditions = Conditions.of(captured)
    fixed = fixed_sizes(captured)
    truth = conditions.truth({k: v for k, v in points.items() if k not in fixed}, (count,))
    mask: np.ndarray = np.all(truth.holds, axis=0)
    if truth.unknown or captured.unknown:
        # Trust only the point that was traced.
        for name, values in points.items():
            if name in captured.hints:
                mask &= values == captured.hints[name]
    for name, value in fixed.items():
        if name in points:
            mask &= points[name] == value
    for size in captured.sizes:
        if size.name in points:
            mask &= points[size.name] >= 2
    return mask
