"""For people's own tests: a compiled model would be right at the sizes that matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any, TypeAlias

from explorer.artifacts.audited import AuditStatus, GuardAudit
from explorer.artifacts.diagnosed import AnswerKind, Diagnosis
from explorer.check import CheckResult, check_target
from explorer.config import CompilationConfig
from explorer.errors import ConfigError
from explorer.guards.answers import answer_of_graph
from explorer.guards.diagnosis import Wishes
from explorer.size_range import SizeRange
from explorer.target import CompileTarget, MakeInputs

_MOST_POINTS = 4096
"""Listed points that are looked at one by one."""

SizesOfOne: TypeAlias = SizeRange | Iterable[int]
"""A range, or the sizes one by one."""

Sizes: TypeAlias = SizesOfOne | Mapping[str, SizesOfOne]
"""Sizes of the one dynamic dim, or of several by their names."""


def assert_covers(
    model: Callable[..., Any],
    example_inputs: tuple[Any, ...],
    *,
    sizes: Sizes | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_arg_dims: Mapping[str, Any] | None = None,
    make_inputs: MakeInputs | None = None,
    config: CompilationConfig | None = None,
    allow: Iterable[str] = (),
) -> GuardAudit | None:
    """Asserts that one capture of a model is right at every one of some sizes.

    Nothing is compiled, but for the graphs of ``guard_policy=GuardPolicy.VARIANTS``. A size at
    which the model itself fails does not count.

    Args:
        model: a module, function or method.
        example_inputs: positional arguments of one call.
        sizes: the sizes that have to be covered: a ``SizeRange``, several sizes, or name -> one of
            both; None means 1..min(max_size, 65536).
        example_kwargs: keyword arguments of that call.
        dynamic_arg_dims: as for ``compile_model``.
        make_inputs: as for ``compile_model``.
        config: as for ``compile_model``.
        allow: what is meant to be so: a condition (``n != 4``), an input (``k``), or ``file:line``.

    Returns:
        The audit of the capture; None when a dim is fixed and that is allowed.

    Raises:
        AssertionError: with the diagnosis: line, sizes, what the graph returns there, fixes.
        ExplorerError: the model cannot be captured, or a size or name does not fit.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test and the diagnosis
    name = getattr(model, "__name__", None) or type(model).__name__
    target = CompileTarget(
        name,
        model,
        example_inputs,
        dict(example_kwargs or {}),
        dynamic_arg_dims,
        make_inputs=make_inputs,
        config=config or CompilationConfig(),
    )
    domain, chosen = _domain_of(sizes)
    result = check_target(target, target.config, Wishes(domain, tuple(allow)))
    if result.passed or (result.diagnosis is not None and _covers(result, chosen)):
        return None if result.diagnosis is None else result.diagnosis.audit
    raise AssertionError(f"{name} is not covered at all sizes.\n\n{result.report()}")


def _domain_of(
    sizes: Sizes | None,
) -> tuple[SizeRange | Mapping[str, SizeRange] | None, Mapping[str, frozenset[int]]]:
    """The smallest ranges around the sizes, and the sizes that count where they were listed."""
    if sizes is None or isinstance(sizes, SizeRange):
        return sizes, {}
    if isinstance(sizes, Mapping):
        named: dict[str, Any] = {str(name): values for name, values in sizes.items()}
        listed = {k: frozenset(v) for k, v in named.items() if not isinstance(v, SizeRange)}
        ranges = {
            k: v if isinstance(v, SizeRange) else _range_around(listed[k]) for k, v in named.items()
        }
        return ranges, listed
    chosen: frozenset[int] = frozenset(sizes)
    return _range_around(chosen), {"": chosen}


def _range_around(sizes: frozenset[int]) -> SizeRange:
    if not sizes:
        raise ConfigError("sizes is empty: name at least one size.")
    return SizeRange(min(sizes), max(sizes))


def _covers(result: CheckResult, chosen: Mapping[str, frozenset[int]]) -> bool:
    """Whether what is wrong lies at sizes that were not asked for."""
    diagnosis = result.diagnosis
    if not chosen or diagnosis is None or diagnosis.specializations or diagnosis.mismatches:
        return False
    audit = diagnosis.audit
    if audit.status is AuditStatus.UNKNOWN or result.coverage is not None:
        return False
    axes = [
        sorted(chosen.get(name, chosen.get("", frozenset())) or _every(audit, name))
        for name in audit.dimensions
    ]
    if math.prod(len(axis) for axis in axes) > _MOST_POINTS:
        return False
    points = (dict(zip(audit.dimensions, values, strict=True)) for values in product(*axes))
    return all(_is_covered(diagnosis, each) for each in points)


def _every(audit: GuardAudit, name: str) -> range:
    first, last = audit.domain[name]
    return range(first, last + 1)


def _is_covered(diagnosis: Diagnosis, sizes: Mapping[str, int]) -> bool:
    audit = diagnosis.audit
    if audit.is_valid(**sizes) or _is_allowed(diagnosis, sizes):
        return True
    judge: Any = audit.judge
    return answer_of_graph(judge.captured, sizes).kind is AnswerKind.EAGER_FAILS


def _is_allowed(diagnosis: Diagnosis, sizes: Mapping[str, int]) -> bool:
    """Whether only conditions that the author allows to fail do not hold at some sizes."""
    allowed = {v.index for each in diagnosis.findings if each.is_allowed for v in each.violations}
    if len(sizes) != 1 or not allowed:
        return False
    (size,) = sizes.values()
    signatures = [
        group.signature
        for group in diagnosis.audit.groups
        if any(first <= size <= last for first, last in group.intervals)
    ]
    return bool(signatures) and all(set(each) <= allowed for each in signatures)


__all__ = ["Sizes", "SizesOfOne", "assert_covers"]
