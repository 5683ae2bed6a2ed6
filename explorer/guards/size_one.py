"""Size 1: torch gives it no symbol, so a general graph is not proved for it.

Capture at 1 and compare.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from explorer import example_inputs
from explorer.artifacts import CapturedGraph, GuardRecord, NormalisedGraph
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.errors import CaptureError, InputError
from explorer.guards.graph_program import Program
from explorer.intermediate_tensors import IntermediateTensors
from explorer.stages.capture import call_at, capture
from explorer.stages.normalise import normalise


@dataclasses.dataclass(frozen=True, eq=False)
class Settled:
    """What a capture with some sizes at 1 came to.

    Attributes:
        difference: what differs from the general graph, in words; None when it is the same program.
        conditions: what the capture at 1 relies on, over the symbols of the general graph's sizes;
            None when there is none. Where they do not hold, the same program may be wrong:
            ``a + b > 3`` needs no condition where both are at least 2.
    """

    difference: str | None
    conditions: tuple[GuardRecord, ...] | None = None


def settle(
    normalised: NormalisedGraph, config: CompilationConfig, ones: Collection[str]
) -> str | None:
    """Captures at size 1 and compares with the general graph; see ``settle_with_conditions``.

    Returns:
        None when the general graph is the same program there, else what differs, in words.
    """
    return settle_with_conditions(normalised, config, ones).difference


def settle_with_conditions(
    normalised: NormalisedGraph,
    config: CompilationConfig,
    ones: Collection[str],
    *,
    others: Mapping[str, int] | None = None,
) -> Settled:
    """Captures at size 1 and compares with the general graph.

    Args:
        normalised: the general graph; its capture knows what it was asked for.
        config: as the capture reads it.
        ones: names of the sizes that are 1.
        others: values of the other sizes in that capture; those of the example where it is left
            out.
    """
    request = normalised.captured.request
    if request is None:
        return Settled("it was captured by hand, so it cannot be captured again")
    fixed = dict.fromkeys(sorted(ones), 1)
    dims = {
        source: 1
        for size in normalised.captured.sizes
        if size.name in fixed
        for source in size.sources
    }
    counters.add(captured=1)
    try:
        if others:
            args, kwargs = example_inputs.at(request, others, captured=normalised.captured)
            request = dataclasses.replace(request, args=args, kwargs=kwargs)
        special = capture(request, config, fixed_dims=dims)
    except (CaptureError, InputError) as error:
        return Settled(f"it cannot be captured there: {error}")
    difference = same_at(normalised, normalise(special), fixed, call_at(request, dims))
    return Settled(difference, _over_general_sizes(normalised.captured, special))


def _over_general_sizes(general: CapturedGraph, special: CapturedGraph) -> tuple[GuardRecord, ...]:
    """The conditions of a capture, over the symbols of another one's sizes of the same names."""
    symbol_of = {size.name: size.symbol for size in general.sizes}
    exchanged = {
        symbol: symbol_of[size.name]
        for size in special.sizes
        if size.name in symbol_of
        for symbol in (size.symbol, *size.torch_symbols)
    }
    return tuple(
        dataclasses.replace(guard, expression=guard.expression.xreplace(exchanged))
        for guard in special.guards
        if guard.expression is not None and not guard.is_bound
    )


def same_at(
    general: NormalisedGraph,
    special: NormalisedGraph,
    fixed: Mapping[str, int],
    call: tuple[tuple[Any, ...], Mapping[str, Any]],
) -> str | None:
    """Whether a general graph and one captured at some fixed sizes are the same program there.

    Args:
        general: captured with every size dynamic.
        special: captured with the ``fixed`` sizes as constants.
        fixed: size name -> value.
        call: arguments and keyword arguments of those sizes.

    Returns:
        None when they are the same, else what differs first, in words.
    """
    left, right = Program(general, fixed), Program(special, fixed)
    for one, other in zip(left.lines, right.lines, strict=False):
        if one != other:
            return f"{_shown(one)} against {_shown(other)}"
    if len(left.lines) != len(right.lines):
        return f"{len(left.lines)} operations against {len(right.lines)}"
    if left.outputs == right.outputs:
        return None
    return _different_results(general, special, (left, right), call)


def _different_results(
    general: NormalisedGraph,
    special: NormalisedGraph,
    programs: tuple[Program, Program],
    call: tuple[tuple[Any, ...], Mapping[str, Any]],
) -> str | None:
    """Compares what a call returns when the graphs return marks; a size is then a number in both.

    A capture at one size leaves numbers out of its graph's outputs, so these alone do not tell.
    """
    results = []
    for graph, program in zip((general, special), programs, strict=True):
        raw = graph.captured.raw
        if raw.has_side_effects():
            return f"outputs {program.outputs}"[:200]
        marks = tuple(_mark_of(value) for value in program.outputs)
        first = () if raw.receiver is None else (raw.receiver,)
        results.append(raw.bind(_returns(marks))(*first, *call[0], **call[1]))
    if _same_result(results[0], results[1]):
        return None
    return f"result {_shown_result(results[0])} against {_shown_result(results[1])}"


def _shown_result(result: Any) -> str:
    """The result on one line, without the content of tensors."""
    is_mapping = isinstance(result, Mapping | IntermediateTensors)
    values = list(result.values()) if is_mapping else result
    values = values if isinstance(values, list | tuple) else [values]
    texts = ["a tensor" if isinstance(v, torch.Tensor | _Mark) else repr(v) for v in values]
    return f"({', '.join(texts)})"[:100]


@dataclasses.dataclass(frozen=True)
class _Mark:
    """Stands for one value of a graph."""

    value: Any


def _mark_of(value: Any) -> Any:
    """A number for a size that is a number there, else a mark."""
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else _Mark(value)


def _returns(values: tuple[Any, ...]) -> Callable[..., Any]:
    return lambda *arguments: values


def _same_result(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return one is other
    if type(one) is not type(other):
        return False
    if isinstance(one, IntermediateTensors):
        return _same_result(one.tensors, other.tensors)
    if isinstance(one, Mapping):
        return list(one) == list(other) and _same_result(tuple(one.values()), tuple(other.values()))
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_same_result(a, b) for a, b in pairs)
    if dataclasses.is_dataclass(one) and not isinstance(one, _Mark):
        names = [field.name for field in dataclasses.fields(one)]
        return all(_same_result(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


def _shown(line: tuple[Any, ...]) -> str:
    return f"{line[0]} {line[1:]}"[:200]
