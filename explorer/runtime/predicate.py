"""What a call's tensors must be, as lines of Python for the fast path.

The lines accept plain cases only: every dynamic size at least 2, every condition true, the layout
of the capture. ``accept`` tells the rest apart, at leisure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy

from explorer.artifacts import CapturedGraph, GuardRecord, InputKind, Size, UserTensor
from explorer.artifacts.common import Expression
from explorer.guards.expression import SCALAR_FUNCTIONS, UnknownExpression, python_source
from explorer.guards.valid import checked_guards
from explorer.stages import inputs

NOT_ACCEPTED = -1


@dataclass(frozen=True, eq=False)
class TensorAt:
    """A tensor of the call and its position among the flat inputs."""

    position: int
    expected: UserTensor


def tensors_of(captured: CapturedGraph) -> tuple[TensorAt, ...]:
    """The user's tensors with their positions."""
    positions = [i for i, each in enumerate(captured.inputs) if each.kind is InputKind.USER]
    pairs = zip(positions, captured.user_inputs, strict=True)
    return tuple(TensorAt(position, expected) for position, expected in pairs)


def size_readers(captured: CapturedGraph) -> dict[str, tuple[int, int]]:
    """Size name -> (position, dim) to read it from.

    The position is among the flat inputs, then the tensors outside the graph.
    """
    paths = [*(each.path for each in captured.inputs), *captured.outside]
    position_of = {path: position for position, path in reversed(list(enumerate(paths)))}
    return {
        size.name: (position_of[size.sources[0][0]], size.sources[0][1]) for size in captured.sizes
    }


@dataclass(frozen=True, eq=False)
class SameSize:
    """A dim of a tensor outside the graph that the capture took for a size of another tensor.

    The shapes of tensors that the graph takes are tested anyway.
    """

    position: int
    dim: int
    path: str
    size: Size


def same_sizes_outside(captured: CapturedGraph) -> tuple[SameSize, ...]:
    """The dims that nothing else compares with the size that they were."""
    first = len(captured.inputs)
    position_of = {path: first + index for index, path in enumerate(captured.outside)}
    return tuple(
        SameSize(position_of[path], dim, path, size)
        for size in captured.sizes
        for path, dim in size.sources[1:]
        if path in position_of
    )


@dataclass(frozen=True, eq=False)
class TensorTests:
    """What must hold of a call's tensors, as text.

    Attributes:
        types: expressions that say that each is a plain tensor.
        readings: (position, dim, name) of each size; the rank has to be tested before it is read.
        tests: expressions over the tensors and the names of sizes.
        size_names: size name -> its name in the text.
        scope: what the text refers to.
    """

    types: tuple[str, ...]
    readings: tuple[tuple[int, int, str], ...]
    tests: tuple[str, ...]
    size_names: Mapping[str, str]
    scope: Mapping[str, Any]


def tensor_tests(
    captured: CapturedGraph, value_of: Callable[[int], str], *, check_guards: bool
) -> TensorTests:
    """The tests of one captured graph.

    Args:
        captured: what the graph relies on.
        value_of: position of a tensor -> its text.
        check_guards: whether to test the conditions that the trace made.
    """
    scope: dict[str, Any] = dict(SCALAR_FUNCTIONS)
    scope["plain_tensors"] = frozenset(inputs.PLAIN_TENSORS)
    names: dict[Expression, str] = {}
    readings: list[tuple[int, int, str]] = []
    tests: list[str] = []
    readers = size_readers(captured)
    for number, size in enumerate(captured.sizes):
        name = names[size.symbol] = f"size_{number}"
        readings.append((*readers[size.name], name))
        tests.append(f"{name} >= {max(2, size.low)}")
        if size.high is not None:
            tests.append(f"{name} <= {size.high}")
    for number, each in enumerate(same_sizes_outside(captured)):
        readings.append((each.position, each.dim, f"same_{number}"))
        tests.append(f"same_{number} == {names[each.size.symbol]}")
    tensors = tensors_of(captured)
    for number, each in enumerate(tensors):
        value = value_of(each.position)
        scope[f"dtype_{number}"] = each.expected.dtype
        scope[f"device_{number}"] = each.expected.device
        tests += [f"{value}.dtype is dtype_{number}", f"{value}.device == device_{number}"]
        tests += _layout_tests(value, each.expected, names)
    if check_guards:
        tests += [
            _guard_test(guard, names) for guard in checked_guards(captured) if not guard.is_bound
        ]
    types = tuple(f"type({value_of(each.position)}) in plain_tensors" for each in tensors)
    of_name = {size.name: names[size.symbol] for size in captured.sizes}
    return TensorTests(types, tuple(readings), tuple(tests), of_name, scope)


def write_predicate(
    captured: CapturedGraph, dispatch: Size | None, *, check_guards: bool
) -> tuple[Callable[[tuple[Any, ...]], int], str]:
    """A function of the flat inputs that returns the dispatch size or ``NOT_ACCEPTED``.

    It returns 0 when nothing is dynamic.

    Args:
        captured: what the graph relies on.
        dispatch: the size to return.
        check_guards: whether to test the conditions that the trace made.

    Returns:
        The function and its source.
    """
    text = tensor_tests(captured, lambda position: f"values[{position}]", check_guards=check_guards)
    lines = ["def accepted_size(values):"]
    for position, dim, name in text.readings:
        # The rank is tested first: a wrong one must not end in an IndexError.
        lines.append(f"    if values[{position}].dim() <= {dim}: return {NOT_ACCEPTED}")
        lines.append(f"    {name} = values[{position}].shape[{dim}]")
    joined = "\n        and ".join((*text.types, *text.tests)) or "True"
    result = text.size_names[dispatch.name] if dispatch is not None else "0"
    lines.append(f"    if (\n        {joined}\n    ):\n        return {result}")
    lines.append(f"    return {NOT_ACCEPTED}")
    source = "\n".join(lines) + "\n"
    scope = dict(text.scope)
    # The text holds names made here, numbers, and operators.
    exec(compile(source, "<accepted_size>", "exec"), scope)
    return scope["accepted_size"], source


def _guard_test(guard: GuardRecord, names: Mapping[Expression, str]) -> str:
    try:
        return python_source(guard.expression, names)
    except UnknownExpression:
        return "False"  # what cannot be evaluated is refused, never passed over


def _layout_tests(value: str, expected: UserTensor, names: Mapping[Expression, str]) -> list[str]:
    tests = [f"not {value}.is_neg()"]
    if expected.dtype.is_complex:
        tests.append(f"not {value}.is_conj()")
    tests.append(f"{value}.shape == {_dims_source(expected.shape, names)}")
    if is_contiguous_layout(expected) and not expected.needs_these_strides:
        tests.append(f"{value}.is_contiguous()")
    else:
        tests.append(f"{value}.stride() == {_dims_source(expected.stride, names)}")
    return tests


def _dims_source(dims: tuple[int | Expression, ...], names: Mapping[Expression, str]) -> str:
    texts = [repr(dim) if isinstance(dim, int) else python_source(dim, names) for dim in dims]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def is_contiguous_layout(expected: UserTensor) -> bool:
    """Whether the expected strides are those of a contiguous tensor, whatever the sizes."""
    stride: Any = 1
    for dim, found in zip(reversed(expected.shape), reversed(expected.stride), strict=True):
        if dim == 1:
            continue
        if sympy.simplify(sympy.sympify(found) - stride) != 0:
            return False
        stride = stride * dim
    return True
