"""A session in, what its model answers beside the model as it is out: one Check per size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch

from explorer.artifacts import RunRecord
from explorer.errors import ExplorerError, InputError
from explorer.example_inputs import copied
from explorer.model_state import ModelState
from explorer.probe import inputs_at, sizes_to_compare
from explorer.report.wording import range_text, shortened, with_short_paths
from explorer.session import Session
from explorer.stages import inputs

TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float64: 1e-7,
    torch.complex128: 1e-7,
    torch.float32: 1e-4,
    torch.complex64: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 2e-2,
}
"""Element type -> how far equal results may lie apart, relative and absolute; others not at all."""


class Outcome(Enum):
    """What a comparison at one size came to."""

    EQUAL = "equal"
    """The same within the tolerance of the element types."""
    DIFFERENT = "different"
    """Another result, or an error where the model as it is has none."""
    REFUSED = "refused"
    """The compiled model said that it is not right there."""
    EAGER_FAILS = "eager fails too"
    """The model as it is has no result there."""


@dataclass(frozen=True)
class Check:
    """One size at which the compiled model was compared with the model as it is.

    Attributes:
        sizes: size name -> value.
        outcome: what it came to.
        max_abs_difference: largest difference of two elements; None when there was nothing to
            compare.
        served_by: the range that served the call.
        problem: what went wrong, in words; empty when nothing did.
    """

    sizes: Mapping[str, int]
    outcome: Outcome
    max_abs_difference: float | None = None
    served_by: str = ""
    problem: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the compiled model gave another result than the model as it is."""
        return self.outcome is Outcome.DIFFERENT

    @property
    def sizes_text(self) -> str:
        """``n = 17``; ``the example`` when nothing is dynamic."""
        return ", ".join(f"{name} = {size}" for name, size in self.sizes.items()) or "the example"

    def row(self) -> dict[str, Any]:
        """Plain data: ``sizes result difference served_by``."""
        known = self.max_abs_difference
        return {
            "sizes": self.sizes_text,
            "result": f"{self.outcome.value}: {self.problem}"
            if self.problem
            else self.outcome.value,
            "difference": None if known is None else f"{known:.2g}",
            "served_by": self.served_by,
        }


def compare_with_eager(
    session: Session,
    sizes: Sequence[Mapping[str, int]] | None = None,
    *,
    on_check: Callable[[Check], None] | None = None,
) -> tuple[Check, ...]:
    """Runs the latest compilation and the model as it is, from equal states, and compares.

    Args:
        session: with the compilation.
        sizes: where; None chooses with ``sizes_to_compare``.
        on_check: told each result as it comes.
    """
    checks = []
    for each in sizes if sizes is not None else sizes_to_compare(session.compilation):
        checks.append(_check(session, dict(each)))
        if on_check is not None:
            on_check(checks[-1])
    return tuple(checks)


def _check(session: Session, sizes: dict[str, int]) -> Check:
    compiled = session.model()
    model = compiled.compilation.captured.model
    try:
        args, kwargs = inputs_at(session, sizes)
    except InputError as error:
        return Check(sizes, Outcome.EAGER_FAILS, problem=_said(error))
    (args, kwargs), (other_args, other_kwargs) = copied(args, kwargs), copied(args, kwargs)
    state = ModelState(model)
    try:
        expected = _seen(model, args, kwargs, state)
    except Exception as error:  # whatever the user's model raises
        state.restore()
        return Check(sizes, Outcome.EAGER_FAILS, problem=_said(error))
    state.restore()
    with compiled.record() as record:
        try:
            given = _seen(compiled, other_args, other_kwargs, state)
        except ExplorerError as error:
            return Check(sizes, Outcome.REFUSED, problem=_said(error))
        except Exception as error:  # eager had a result, so this is a fault
            return Check(sizes, Outcome.DIFFERENT, problem=_said(error))
        finally:
            state.restore()
    return _judged(sizes, expected, given, _served_by(record))


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    text = lines[0] if isinstance(error, ExplorerError) else f"{type(error).__name__}: {lines[0]}"
    return shortened(with_short_paths(text), 600)


def _served_by(record: RunRecord) -> str:
    if record.variant is None:
        return "the model as it is"
    return "the one artifact" if record.size_range is None else range_text(record.size_range)


@dataclass(frozen=True, eq=False)
class _Seen:
    """All that one call shows: the kind of its output, and every tensor that it made or wrote."""

    kind: str
    tensors: Mapping[str, torch.Tensor]


def _seen(
    run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], state: ModelState
) -> _Seen:
    """Runs once, with a random state that is the same each time."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        output = run(*args, **kwargs)
    tensors = {leaf.path: leaf.tensor for leaf in inputs.tensor_leaves({"output": output})}
    given = inputs.tensor_leaves({"args": args, "kwargs": dict(kwargs)})
    tensors |= {f"input {leaf.path}": leaf.tensor for leaf in given}
    return _Seen(_kind(output), tensors | state.now())


def _kind(output: Any) -> str:
    if isinstance(output, bool | int | float | str | None):
        return f"{type(output).__name__} {output!r}"
    return type(output).__name__


def _judged(sizes: Mapping[str, int], expected: _Seen, given: _Seen, served_by: str) -> Check:
    different = Check(sizes, Outcome.DIFFERENT, served_by=served_by)
    if expected.kind != given.kind:
        problem = f"the output is {given.kind} instead of {expected.kind}"
        return replace(different, problem=problem)
    if list(expected.tensors) != list(given.tensors):
        return replace(different, problem="the output has other tensors in it")
    largest: float | None = None
    problems = []
    for name, wanted in expected.tensors.items():
        difference, problem = _difference(wanted, given.tensors[name])
        if difference is not None:
            largest = difference if largest is None else max(largest, difference)
        if problem:
            problems.append(f"{name} {problem}")
    outcome = Outcome.DIFFERENT if problems else Outcome.EQUAL
    return Check(sizes, outcome, largest, served_by, "; ".join(problems[:3]))


def _difference(expected: torch.Tensor, given: torch.Tensor) -> tuple[float | None, str]:
    """The largest difference of two elements, and what is wrong in words, if anything."""
    for what in ("dtype", "shape", "device"):
        wanted, got = getattr(expected, what), getattr(given, what)
        if wanted != got:
            return None, f"has {what} {got} instead of {wanted}"
    if expected.numel() == 0:
        return 0.0, ""
    wide = torch.complex128 if expected.is_complex() else torch.float64
    wanted, got = expected.to(wide), given.to(wide)
    same = (wanted == got) | (wanted.isnan() & got.isnan())
    apart = (wanted - got).abs().masked_fill(same, 0.0)
    largest = float(apart.nan_to_num(nan=float("inf")).max())
    tolerance = TOLERANCES.get(expected.dtype, 0.0)
    allowed = same | (apart <= tolerance + tolerance * wanted.abs())
    count = int((~allowed).sum())
    return largest, f"differs in {count:,} of {expected.numel():,} elements" if count else ""
