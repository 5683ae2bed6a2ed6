"""For people's own tests: a compiled model would be right at the sizes that matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from explorer.artifacts.audited import GuardAudit
from explorer.check import CheckResult, check_target
from explorer.config import CompilationConfig
from explorer.errors import ConfigError
from explorer.guards.diagnosis import Wishes
from explorer.size_range import SizeRange
from explorer.target import CompileTarget, MakeInputs

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
    if len(audit.dimensions) != 1:
        return False
    name = audit.dimensions[0]
    wanted = chosen.get(name, chosen.get("", frozenset()))
    fails = {size for a, b in audit.eager_fails for size in range(a, b + 1)}
    return all(size in fails or audit.is_valid(**{name: size}) for size in wanted)


__all__ = ["Sizes", "SizesOfOne", "assert_covers"]
