"""Runs a model and its compiled form beside each other, and compares all that a caller can see."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from explorer import CompilationConfig, CompiledModel, compile_model

EAGER = CompilationConfig(backend="eager", max_size=256)
Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Seen:
    """What one call did.

    Attributes:
        output: the output's structure with a number for each tensor.
        values: inputs after the call, then outputs, as clones.
        layouts: (dtype, shape, strides, offset) of each of them.
        storages: per tensor the first one that it shares memory with.
        objects: per tensor the first one that is the same object.
    """

    output: Any
    values: tuple[torch.Tensor, ...]
    layouts: tuple[Any, ...]
    storages: tuple[int, ...]
    objects: tuple[int, ...]


def compiled(
    model: Any, *args: Any, config: CompilationConfig = EAGER, **rest: Any
) -> CompiledModel:
    """``compile_model`` with the eager backend."""
    return compile_model(model, args, config=config, **rest)


def call(*args: Any, **kwargs: Any) -> Call:
    """The arguments of one call."""
    return args, kwargs


def see(model: Callable[..., Any], arguments: Call) -> Seen:
    """Calls a model under no_grad and notes what a caller can see."""
    args, kwargs = arguments
    tensors: list[torch.Tensor] = []
    _plain((args, kwargs), tensors)
    with torch.no_grad():
        output = _plain(model(*args, **kwargs), tensors)
    layouts = [(t.dtype, tuple(t.shape), t.stride(), t.storage_offset()) for t in tensors]
    addresses = [(t.untyped_storage().data_ptr(), t.untyped_storage().nbytes()) for t in tensors]
    identities = [id(t) for t in tensors]
    return Seen(
        output,
        tuple(t.detach().clone() for t in tensors),
        tuple(layouts),
        tuple(addresses.index(a) if a[0] else -1 for a in addresses),
        tuple(identities.index(i) for i in identities),
    )


def _plain(value: Any, tensors: list[torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return ("tensor", len(tensors) - 1)
    if isinstance(value, Mapping):
        items = {key: _plain(item, tensors) for key, item in value.items()}
        return (type(value).__name__, items)
    if isinstance(value, tuple | list):
        return (type(value).__name__, [_plain(item, tensors) for item in value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        items = {name: _plain(getattr(value, name), tensors) for name in names}
        return (type(value).__name__, items)
    return (type(value).__name__, value)


def assert_same(expected: Seen, given: Seen, *, layouts: bool = True) -> None:
    """Bitwise equal values, NaN included, the same structure, aliasing and layouts."""
    assert given.output == expected.output
    assert given.objects == expected.objects
    assert given.storages == expected.storages
    if layouts:
        assert given.layouts == expected.layouts
    for number, (wanted, got) in enumerate(zip(expected.values, given.values, strict=True)):
        assert wanted.dtype == got.dtype
        assert torch.equal(torch.nan_to_num(wanted), torch.nan_to_num(got)), f"tensor {number}"
        assert torch.equal(wanted.isnan(), got.isnan()), f"tensor {number}"


def assert_like_eager(
    model: Any,
    make: Callable[[int], Call],
    sizes: tuple[int, ...] = (2, 3, 7, 16),
    *,
    example: int = 5,
    config: CompilationConfig = EAGER,
    **rest: Any,
) -> CompiledModel:
    """Compiles at one size and compares calls at others with a copy of the model that stays eager.

    Args:
        model: a module or function.
        make: size -> arguments; the same ones each time.
        sizes: of the calls, in order.
        example: size of the example.
        config: of the compilation.
        rest: for ``compile_model``.
    """
    twin = copy.deepcopy(model)
    args, kwargs = make(example)
    fast = compile_model(model, args, example_kwargs=kwargs, config=config, **rest)
    for size in sizes:
        assert_same(see(twin, make(size)), see(fast, make(size)))
        _assert_same_state(twin, model)
    return fast


def _assert_same_state(expected: Any, given: Any) -> None:
    if isinstance(expected, torch.nn.Module):
        wanted, got = expected.state_dict(), given.state_dict()
        assert list(wanted) == list(got)
        for name, value in wanted.items():
            assert torch.equal(value, got[name]), name


def filled(*shape: int) -> torch.Tensor:
    """A tensor of distinct values, the same for the same shape."""
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(count, dtype=torch.float32).reshape(shape) * 0.37 - 1.0).sin()
