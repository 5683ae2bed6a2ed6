"""A call's tensors that the generated predicate did not accept: what is wrong, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy
import torch

from explorer.artifacts import CapturedGraph, GuardRecord, Size, UserTensor
from explorer.artifacts.common import Expression
from explorer.config import CompilationConfig
from explorer.errors import GuardViolation, InputError, NotATensor, SizeOutOfRange
from explorer.guards.valid import checked_guards, sizes_text, valid_sizes
from explorer.runtime.predicate import (
    SameSize,
    TensorAt,
    same_sizes_outside,
    size_readers,
    tensors_of,
)
from explorer.size_range import SizeRange, build_range_table, interval_text
from explorer.stages import inputs


def read_sizes(captured: CapturedGraph, values: tuple[Any, ...]) -> dict[str, int]:
    """The sizes of a call.

    Raises:
        GuardViolation: a tensor has too few dims to have the size.
    """
    found = {}
    for name, (position, dim) in size_readers(captured).items():
        tensor = values[position]
        if tensor.dim() <= dim:
            expected = next(t.expected for t in tensors_of(captured) if t.position == position)
            raise _rank_violation(expected, tensor)
        found[name] = int(tensor.shape[dim])
    return found


def check_tensors(
    captured: CapturedGraph, values: tuple[Any, ...], sizes: Mapping[str, int]
) -> tuple[TensorAt, ...]:
    """Refuses a tensor of another dtype, device or shape; returns those whose strides alone differ.

    Raises:
        GuardViolation: naming the input, what it is and what the graph is right for.
    """
    points = {size.symbol: sizes[size.name] for size in captured.sizes}
    for each in same_sizes_outside(captured):
        shape, wanted = values[each.position].shape, sizes[each.size.name]
        if len(shape) <= each.dim or shape[each.dim] != wanted:
            raise _same_size_violation(each, shape, wanted)
    restride = []
    for each in tensors_of(captured):
        tensor, expected = values[each.position], each.expected
        if tensor.dim() != len(expected.shape):
            raise _rank_violation(expected, tensor)
        for kind, given, accepted in (
            ("dtype", tensor.dtype, expected.dtype),
            ("device", tensor.device, expected.device),
        ):
            if given != accepted:
                raise _violation(expected.path, kind, str(given), str(accepted))
        for dim, size in enumerate(expected.shape):
            wanted = size if isinstance(size, int) else int(size.xreplace(_numbers(points)))
            if tensor.shape[dim] != wanted:
                raise _shape_violation(captured, expected, dim, int(tensor.shape[dim]), wanted)
        _refuse_special(tensor, expected.path)
        if not _strides_fit(tensor, expected, points):
            restride.append(each)
    return tuple(restride)


def _refuse_special(tensor: torch.Tensor, path: str) -> None:
    inputs.check_tensors([inputs.TensorLeaf(path, tensor)])
    if tensor.is_neg() or tensor.is_conj():
        name = "resolve_neg" if tensor.is_neg() else "resolve_conj"
        raise InputError(
            f"{path} is a view that is negated or conjugated when it is read: pass {path}.{name}()."
        )


def check_arguments(captured: CapturedGraph, scope: Mapping[str, Any]) -> None:
    """Refuses what stands where a tensor was at capture.

    That is nothing at all, something of another type, or a tensor of another rank.

    Args:
        captured: what the graph relies on.
        scope: parameter name -> value, as the call bound them.

    Raises:
        NotATensor: something else than a tensor.
        GuardViolation: nothing, or a tensor of another rank.
    """
    for expected in captured.user_inputs:
        try:
            # Dynamo's own name of the input, such as L['batch']['ids'].
            value = eval(expected.source, {"__builtins__": {}}, {"L": scope})
        except (AttributeError, IndexError, KeyError, TypeError):
            raise missing_violation(expected.path) from None
        except Exception:  # a name with helpers of Dynamo's
            continue
        if not isinstance(value, torch.Tensor):
            kind = f"a {type(value).__name__}"
            raise NotATensor(
                f"{expected.path} is {kind}, but was a tensor at capture: pass a tensor.",
                guard=f"{expected.path} is a tensor",
                given=kind,
                accepted="a tensor",
            )
        if value.dim() != len(expected.shape):
            raise _rank_violation(expected, value)


def missing_violation(path: str) -> GuardViolation:
    """The error for a call that has no tensor where one was at capture."""
    return GuardViolation(
        f"{path} is not in this call, but was a tensor at capture: pass it, or have a graph "
        "captured for calls without it with guard_policy=GuardPolicy.VARIANTS.",
        guard=f"{path} is a tensor",
        given="no value",
        accepted="a tensor",
    )


def out_of_range(dispatch: Size, size: int, config: CompilationConfig) -> SizeOutOfRange:
    """The error for a dispatch size above all ranges; it lists those that were asked for.

    Args:
        dispatch: the size that picks the range.
        size: its value in the call.
        config: what was asked for. One graph may serve fewer ranges than that.
    """
    table = build_range_table(config.compile_ranges_endpoints, config.exact_sizes, config.max_size)
    return SizeOutOfRange(
        f"{dispatch.name} = {size} ({dispatch.label}) is in no compiled range; the ranges are "
        f"{interval_text(sorted(table.all()))}. Raise max_size (now {config.max_size}), or set "
        "out_of_range=OutOfRange.EAGER."
    )


def _numbers(points: Mapping[Expression, int]) -> dict[Expression, Expression]:
    return {symbol: sympy.Integer(value) for symbol, value in points.items()}


def expected_stride(expected: UserTensor, points: Mapping[Expression, int]) -> tuple[int, ...]:
    """The strides that the graph relies on, at some sizes."""
    return tuple(
        stride if isinstance(stride, int) else int(stride.xreplace(_numbers(points)))
        for stride in expected.stride
    )


def _strides_fit(
    tensor: torch.Tensor, expected: UserTensor, points: Mapping[Expression, int]
) -> bool:
    wanted = expected_stride(expected, points)
    if expected.needs_these_strides:
        return tensor.stride() == wanted
    pairs = zip(tensor.shape, tensor.stride(), wanted, strict=True)
    return all(size == 1 or given == want for size, given, want in pairs)


def _violation(path: str, kind: str, given: str, accepted: str) -> GuardViolation:
    return GuardViolation(
        f"{path} has {kind} {given}, but the graph was captured with {accepted}: convert the "
        "input, or compile for it.",
        guard=f"{path}.{kind} == {accepted}",
        given=given,
        accepted=accepted,
    )


def _rank_violation(expected: UserTensor, tensor: torch.Tensor) -> GuardViolation:
    return _violation(
        expected.path,
        "rank",
        f"{tensor.dim()} (shape {tuple(tensor.shape)})",
        str(len(expected.shape)),
    )


def _shape_violation(
    captured: CapturedGraph, expected: UserTensor, dim: int, given: int, wanted: int
) -> GuardViolation:
    size = expected.shape[dim]
    label = f"{expected.path}.size({dim})"
    if isinstance(size, int):
        return GuardViolation(
            f"{label} is {given}, but that dim is static and was {wanted} at capture: name it in "
            "dynamic_arg_dims to let it vary.",
            guard=f"{label} == {wanted}",
            given=str(given),
            accepted=str(wanted),
        )
    names = {each.symbol: each for each in captured.sizes}
    known = names.get(size)
    why = f"it is the same size as {known.label}" if known else "it follows from other sizes"
    return GuardViolation(
        f"{label} is {given}, but must be {wanted}: {why}.",
        guard=f"{label} == {wanted}",
        given=str(given),
        accepted=str(wanted),
    )


def _same_size_violation(each: SameSize, shape: torch.Size, wanted: int) -> GuardViolation:
    label = f"{each.path}.size({each.dim})"
    given = str(shape[each.dim]) if len(shape) > each.dim else f"none of {len(shape)} dims"
    return GuardViolation(
        f"{label} is {given}, but must be {wanted}: it is the same size as {each.size.label}.",
        guard=f"{label} == {each.size.label}",
        given=given,
        accepted=str(wanted),
    )


def check_guards(
    captured: CapturedGraph,
    sizes: Mapping[str, int],
    domain: SizeRange,
    dispatch: Size | None,
    *,
    branches_only: bool = False,
) -> None:
    """Refuses sizes for which the graph took another branch.

    Args:
        captured: the graph's conditions.
        sizes: size name -> value.
        domain: sizes to look at for the text.
        dispatch: the size to list in the text where the condition reads it.
        branches_only: leave out the bounds that torch gives a symbol, such as n >= 2.

    Raises:
        GuardViolation: naming the condition, the line that made it, the sizes it is right for, and
            fixes.
    """
    points = _numbers({size.symbol: sizes[size.name] for size in captured.sizes})
    for guard in checked_guards(captured):
        expression = guard.expression
        if expression is None or (branches_only and guard.is_bound):
            continue
        if not expression.free_symbols <= set(points):
            raise _guard_violation(captured, guard, sizes, domain, dispatch)
        if expression.xreplace(points) != sympy.true:
            raise _guard_violation(captured, guard, sizes, domain, dispatch)


def _accepted(
    captured: CapturedGraph,
    guard: GuardRecord,
    sizes: Mapping[str, int],
    domain: SizeRange,
    dispatch: Size | None,
) -> str:
    """The values of one size for which the graph is right, the others being as in the call.

    It is a size of the condition; the dispatch size is preferred.
    """
    symbols = guard.expression.free_symbols if guard.expression is not None else set()
    read = [size for size in captured.sizes if size.symbol in symbols]
    read.sort(key=lambda size: dispatch is None or size.name != dispatch.name)
    if not read:
        return "unknown"
    for size in read:
        valid = valid_sizes(captured, size, domain, sizes)
        if len(valid):
            return f"{size.name} in {sizes_text(valid)}"
    others = " where the other sizes are as in this call" if len(sizes) > 1 else ""
    return f"no {' or '.join(size.name for size in read)}{others}"


def _guard_violation(
    captured: CapturedGraph,
    guard: GuardRecord,
    sizes: Mapping[str, int],
    domain: SizeRange,
    dispatch: Size | None,
) -> GuardViolation:
    given = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    accepted = _accepted(captured, guard, sizes, domain, dispatch)
    place = f" ({guard.location}: {guard.location.text})" if guard.location else ""
    return GuardViolation(
        f"The captured graph is not right for {given}: it holds only where {guard.text}{place}. It "
        f"is right for {accepted}. Let guard_policy=GuardPolicy.VARIANTS capture a graph for the "
        "others, write the test with torch.cond, or accept wrong results with GuardPolicy.DROP.",
        guard=guard.text,
        source_line=str(guard.location) if guard.location else None,
        given=given,
        accepted=accepted,
    )
