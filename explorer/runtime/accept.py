"""The check of one call's tensors.

It is a generated predicate for the fast path, and words for when it says no.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch

from explorer.artifacts import CapturedGraph, GuardRecord, InputKind, Size, UserTensor
from explorer.artifacts.common import Expression
from explorer.errors import GuardViolation, InputError
from explorer.guards.expression import SCALAR_FUNCTIONS, UnknownExpression, python_source
from explorer.guards.valid import sizes_text, valid_sizes
from explorer.size_range import SizeRange
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


def write_predicate(
    captured: CapturedGraph, dispatch: Size | None, *, check_guards: bool
) -> tuple[Callable[[tuple[Any, ...]], int], str]:
    """A function of the flat inputs that returns the dispatch size or ``NOT_ACCEPTED``.

    It returns 0 when nothing is dynamic. It accepts only plain cases: every dynamic size at least 2
    and every condition true. The rest is told apart by ``refuse`` and its neighbours, at leisure.

    Args:
        captured: what the graph relies on.
        dispatch: the size to return.
        check_guards: whether to test the conditions that the trace made.

    Returns:
        The function and its source.
    """
    scope: dict[str, Any] = dict(SCALAR_FUNCTIONS)
    names: dict[Expression, str] = {}
    lines = ["def accepted_size(values):"]
    tests: list[str] = []
    for number, (name, (position, dim)) in enumerate(size_readers(captured).items()):
        size = next(each for each in captured.sizes if each.name == name)
        names[size.symbol] = f"size_{number}"
        tests.append(f"size_{number} >= {max(2, size.low)}")
        if size.high is not None:
            tests.append(f"size_{number} <= {size.high}")
        # The rank is tested first: a wrong one must not end in an IndexError.
        lines.append(f"    if values[{position}].dim() <= {dim}: return {NOT_ACCEPTED}")
        lines.append(f"    size_{number} = values[{position}].shape[{dim}]")
    for number, each in enumerate(tensors_of(captured)):
        tests += _tensor_tests(number, each, names, scope)
    if check_guards:
        for guard in captured.guards:
            if not guard.is_bound:
                tests.append(_guard_test(guard, names))
    joined = "\n        and ".join(tests) or "True"
    result = names[dispatch.symbol] if dispatch is not None else "0"
    lines.append(f"    if (\n        {joined}\n    ):\n        return {result}")
    lines.append(f"    return {NOT_ACCEPTED}")
    source = "\n".join(lines) + "\n"
    # The text holds names made here, numbers, and operators.
    exec(compile(source, "<accepted_size>", "exec"), scope)
    return scope["accepted_size"], source


def _guard_test(guard: GuardRecord, names: Mapping[Expression, str]) -> str:
    try:
        return python_source(guard.expression, names)
    except UnknownExpression:
        return "False"  # what cannot be evaluated is refused, never passed over


def _tensor_tests(
    number: int, each: TensorAt, names: Mapping[Expression, str], scope: dict[str, Any]
) -> list[str]:
    value = f"values[{each.position}]"
    expected = each.expected
    scope[f"dtype_{number}"] = expected.dtype
    scope[f"device_{number}"] = expected.device
    scope["plain_tensors"] = frozenset(inputs.PLAIN_TENSORS)
    tests = [f"type({value}) in plain_tensors", f"{value}.dtype is dtype_{number}"]
    tests += [f"{value}.device == device_{number}", f"not {value}.is_neg()"]
    if expected.dtype.is_complex:
        tests.append(f"not {value}.is_conj()")
    shape = ", ".join(_dim_source(dim, names) for dim in expected.shape)
    comma = "," if len(expected.shape) == 1 else ""
    tests.append(f"{value}.shape == ({shape}{comma})")
    if is_contiguous_layout(expected):
        tests.append(f"{value}.is_contiguous()")
    else:
        stride = ", ".join(_dim_source(dim, names) for dim in expected.stride)
        comma = "," if len(expected.stride) == 1 else ""
        tests.append(f"{value}.stride() == ({stride}{comma})")
    return tests


def _dim_source(dim: Any, names: Mapping[Expression, str]) -> str:
    return repr(dim) if isinstance(dim, int) else python_source(dim, names)


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


# ----------------------------------------------------------------------- when the predicate says no


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
    """Refuses what stands where a tensor was at capture: another type, or a tensor of another rank.

    Args:
        captured: what the graph relies on.
        scope: parameter name -> value, as the call bound them.

    Raises:
        InputError: something else than a tensor.
        GuardViolation: a tensor of another rank.
    """
    for expected in captured.user_inputs:
        try:
            # Dynamo's own name of the input, such as L['batch']['ids'].
            value = eval(expected.source, {"__builtins__": {}}, {"L": scope})
        except Exception:  # a name with helpers of Dynamo's, or a container of another form
            continue
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"{expected.path} is a {type(value).__name__}, but was a tensor at capture: pass a "
                "tensor."
            )
        if value.dim() != len(expected.shape):
            raise _rank_violation(expected, value)


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
        dispatch: the size to list in the text.
        branches_only: leave out the bounds that torch gives a symbol, such as n >= 2.

    Raises:
        GuardViolation: naming the condition, the line that made it, the sizes it is right for, and
            fixes.
    """
    points = _numbers({size.symbol: sizes[size.name] for size in captured.sizes})
    for guard in captured.guards:
        if branches_only and guard.is_bound:
            continue
        if not guard.expression.free_symbols <= set(points):
            raise _guard_violation(captured, guard, sizes, domain, dispatch)
        if guard.expression.xreplace(points) != sympy.true:
            raise _guard_violation(captured, guard, sizes, domain, dispatch)


def _guard_violation(
    captured: CapturedGraph,
    guard: GuardRecord,
    sizes: Mapping[str, int],
    domain: SizeRange,
    dispatch: Size | None,
) -> GuardViolation:
    given = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    accepted = "unknown"
    if dispatch is not None:
        accepted = (
            f"{dispatch.name} in {sizes_text(valid_sizes(captured, dispatch, domain, sizes))}"
        )
    place = f" ({guard.location}: {guard.location.text})" if guard.location else ""
    return GuardViolation(
        f"The captured graph is not right for {given}: it holds only where {guard.text}{place}. It "
        f"is right for {accepted}. Compile with an example of this size as well, write the test "
        "with torch.cond, or accept wrong results with guard_policy=GuardPolicy.DROP.",
        guard=guard.text,
        source_line=str(guard.location) if guard.location else None,
        given=given,
        accepted=accepted,
    )
