"""Fresh symbolic environments, one per piece and size range.

So a compiler may use the range's bounds.

Private names used (torch 2.13.0): ``torch._subclasses.FakeTensorMode``,
``torch.fx.experimental.symbolic_shapes`` (``ShapeEnv.create_symbol``, ``var_to_range``,
``_update_version_counter``, ``evaluate_expr``, ``ShapeGuard.sloc.framework_loc``),
``torch._dynamo.source.ConstantSource``, ``torch.utils._sympy.value_ranges.ValueRanges``.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import sympy
import torch
from torch._dynamo.source import ConstantSource
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.utils._sympy.value_ranges import ValueRanges

from explorer.artifacts.common import Expression
from explorer.torch_private.beside import alone

_TORCH_FOLDER = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class Bounds:
    """What a compile may assume of one size: ``low <= size <= high``, with an example ``hint``.

    It is one value when they are equal.
    """

    low: int
    high: int
    hint: int

    @property
    def is_single_size(self) -> bool:
        """Whether the size is a constant."""
        return self.low == self.high


@dataclass(frozen=True, eq=False, repr=False)
class FreshInputs:
    """Fake inputs of one piece in an environment of their own.

    Attributes:
        values: fake tensors, SymInts and plain ints, in the piece's input order.
        fake_mode: their mode; None when every size is a constant.
        original_symbol: symbol of the new environment -> the capture's symbol.
        replayed_guard_count: how many guards the environment holds before anything is compiled.
    """

    values: tuple[Any, ...]
    fake_mode: Any
    original_symbol: Mapping[Expression, Expression]
    replayed_guard_count: int

    def added_guards(self) -> tuple[AddedGuard, ...]:
        """Conditions that were added since."""
        if self.fake_mode is None:
            return ()
        env, original = self.fake_mode.shape_env, dict(self.original_symbol)
        return tuple(
            AddedGuard(env.replace(guard.expr).xreplace(original), _place_of(guard.sloc))
            for guard in env.guards[self.replayed_guard_count :]
        )


@dataclass(frozen=True, eq=False)
class AddedGuard:
    """A condition that a compiler added.

    Attributes:
        expression: over the capture's symbols.
        framework: torch's own place, ``file:line in function``.
    """

    expression: Expression
    framework: str


def _place_of(place: Any) -> str:
    frame = getattr(place, "framework_loc", None)
    if not isinstance(frame, traceback.FrameSummary):
        return str(frame or "")
    file = frame.filename.removeprefix(_TORCH_FOLDER).lstrip("/")
    return f"{file}:{frame.lineno} in {frame.name}"


def fresh_inputs(
    examples: Iterable[Any],
    bounds: Mapping[Expression, Bounds],
    guards: Iterable[Expression],
    alias: Mapping[Expression, Expression],
) -> FreshInputs:
    """New fake values like the examples, with each size bounded or constant.

    Args:
        examples: the placeholders' fake values from the capture; sizes in them are over the
            capture's symbols.
        bounds: of every symbol that occurs in the examples.
        guards: conditions over those symbols that hold at the hints; compiled code may rely on
            them.
        alias: symbol -> the one that stands for it in ``bounds``, where the capture made several
            for one size.
    """
    shape_env = ShapeEnv()
    fake_mode = FakeTensorMode(shape_env=shape_env)
    new_of: dict[Expression, Expression] = {}
    hints: dict[Expression, Expression] = {}
    for symbol, bound in bounds.items():
        hints[symbol] = sympy.Integer(bound.hint)
        if bound.is_single_size:
            new_of[symbol] = sympy.Integer(bound.low)
        else:
            new_of[symbol] = _new_symbol(shape_env, str(symbol), bound)
    original = {new: old for old, new in new_of.items() if isinstance(new, sympy.Symbol)}
    for symbol, primary in alias.items():
        if primary in new_of:
            new_of[symbol], hints[symbol] = new_of[primary], hints[primary]

    def convert(value: Any) -> Any:
        if not isinstance(value, torch.SymInt):
            return value
        expression = value.node.expr.xreplace(new_of)
        if expression.is_number:
            return int(expression)
        hint = int(value.node.expr.xreplace(hints))
        return shape_env.create_symintnode(expression, hint=hint)

    # Alone, because torch 2.13 keeps the tracer of torch.export for the whole process, and symbols
    # of this thread would be handed to the trace of another one.
    with alone():
        for guard in guards:
            condition = guard.xreplace(new_of)
            if condition.free_symbols:
                shape_env.evaluate_expr(condition)
        values = _fake_values(examples, convert, fake_mode)
    return FreshInputs(
        values=values,
        fake_mode=fake_mode if original else None,
        original_symbol=original,
        replayed_guard_count=len(shape_env.guards),
    )


def _new_symbol(shape_env: ShapeEnv, name: str, bound: Bounds) -> Expression:
    source = ConstantSource(f"size_{name}")
    # Torch's annotation is wider: it knows of sizes that become a number.
    created = cast(
        sympy.Symbol,
        shape_env.create_symbol(
            bound.hint, source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None
        ),
    )
    shape_env.var_to_range[created] = ValueRanges(bound.low, bound.high)
    shape_env._update_version_counter()
    return created


def _fake_values(
    examples: Iterable[Any], convert: Any, fake_mode: FakeTensorMode
) -> tuple[Any, ...]:
    values = []
    with fake_mode:
        for value in examples:
            if isinstance(value, torch.Tensor):
                shape = [convert(size) for size in value.shape]
                strides = [convert(stride) for stride in value.stride()]
                values.append(
                    torch.empty_strided(shape, strides, dtype=value.dtype, device=value.device)
                )
            else:
                values.append(convert(value))
    return tuple(values)
