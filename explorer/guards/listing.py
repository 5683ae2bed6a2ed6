"""A compilation in, all that it relies on out, and what happens to each condition at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.artifacts import Enforcement, GuardOrigin, GuardRecord, UserTensor
from explorer.config import CompilationConfig, GuardPolicy

if TYPE_CHECKING:
    from explorer.compilation import Compilation


def all_guards(compilation: Compilation) -> tuple[GuardRecord, ...]:
    """Every condition: on sizes, in the graph, on values, on static dims, and the compiler's."""
    captured = compilation.captured
    static = [record for tensor in captured.user_inputs for record in _static_dims(tensor)]
    added = [each for artifact in compilation.artifacts for each in artifact.guard_records]
    return (
        *captured.guards,
        *captured.runtime_asserts,
        *captured.value_guards,
        *static,
        *dict.fromkeys(added),
    )


def _static_dims(tensor: UserTensor) -> list[GuardRecord]:
    return [
        GuardRecord(
            None,
            f"{tensor.path}.size({dim}) == {size}",
            GuardOrigin.STATIC_DIM,
            sources=(f"{tensor.path}.size({dim})",),
            value=size,
        )
        for dim, size in enumerate(tensor.shape)
        if isinstance(size, int)
    ]


def enforcement_of(guard: GuardRecord, config: CompilationConfig) -> Enforcement:
    """What happens to a call that does not fulfil a condition."""
    if guard.origin is GuardOrigin.INDUCTOR:
        return Enforcement.ROUTED
    if guard.runtime_assert:
        return Enforcement.RUNTIME_ASSERT
    if config.guard_policy is GuardPolicy.VARIANTS:
        return Enforcement.ROUTED
    if config.guard_policy is GuardPolicy.CHECK and not config.dynamic_shapes.evaluate_guards:
        return Enforcement.CHECKED
    if _is_checked_with_inputs(guard):
        return Enforcement.CHECKED
    is_shape = guard.origin is not GuardOrigin.VALUE and not guard.is_bound
    if config.dynamic_shapes.evaluate_guards and is_shape:
        return Enforcement.CHECKED
    return Enforcement.DROPPED


def _is_checked_with_inputs(guard: GuardRecord) -> bool:
    """Static dims, dtypes and devices of the call's tensors are looked at under every policy."""
    if guard.origin is GuardOrigin.STATIC_DIM:
        return True
    is_layout = guard.sources and guard.sources[0].endswith((".dtype", ".device"))
    return guard.origin is GuardOrigin.VALUE and bool(is_layout) and guard.location is None
