"""Sizes in, what the model and the compiled model return there out, side by side in short texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from explorer.artifacts import CapturedGraph
from explorer.comparison import Outcome, SideBySide, run_both, said, sizes_text
from explorer.config import GuardPolicy
from explorer.errors import ConfigError, ExplorerError, GuardViolation
from explorer.example_inputs import Inputs
from explorer.guards.answers import unchecked
from explorer.guards.domain import checked_point
from explorer.guards.eager import quiet_run
from explorer.guards.variants import dimensions_of
from explorer.probe import LARGEST_COMPARED_SIZE
from explorer.report.wording import clean, counted, listed, range_text, shortened
from explorer.results import Farthest, Seen, farthest, judge, seen_or_error
from explorer.runtime.compiled_model import CompiledModel
from explorer.session import Session

_MOST_VALUES = 4
_MOST_TENSORS = 3
_LONGEST_VALUE = 80
_LONGEST_ERROR = 600


@dataclass(frozen=True)
class Ran:
    """What one of the runs came to.

    Attributes:
        text: what it returned, in short, or its error.
        has_failed: whether it is an error.
        difference: how it differs from the model as it is, in words; empty for that one.
        largest: largest difference of two elements; None when there was nothing to compare.
    """

    text: str
    has_failed: bool = False
    difference: str = ""
    largest: float | None = None


@dataclass(frozen=True)
class Trial:
    """One size at which somebody looked at what the model and the compiled model return.

    Attributes:
        sizes: name of a size or of an int argument -> value; all of them.
        outcome: what the comparison came to.
        eager: the model as it is.
        compiled: the compiled model; None where the model as it is has no result.
        policy: what the guard policy did with the call, in a sentence.
        unchecked: the captured graph when nothing checks the call; None unless it was refused.
    """

    sizes: Mapping[str, int]
    outcome: Outcome
    eager: Ran
    compiled: Ran | None
    policy: str
    unchecked: Ran | None = None

    @property
    def sizes_text(self) -> str:
        """``n = 4``; ``the example`` when nothing varies."""
        return sizes_text(self.sizes)

    def __str__(self) -> str:
        lines = [f"{self.sizes_text}: {self.outcome.value}", f"  model      {self.eager.text}"]
        for name, ran in (("compiled", self.compiled), ("unchecked", self.unchecked)):
            if ran is not None:
                lines.append(f"  {name:<9}  {ran.text}")
                lines += [f"             {ran.difference}"] if ran.difference else []
        return "\n".join([*lines, f"  {self.policy}"])


def try_size(
    session: Session, sizes: Mapping[str, int], *, largest: int = LARGEST_COMPARED_SIZE
) -> Trial:
    """Runs the model as it is and the compiled model at the same inputs, from equal states.

    Both leave the model as it was. Under VARIANTS a call that no graph is right for captures one.

    Args:
        session: with the compilation.
        sizes: name of a size or of an int argument -> value; what is left out is as in the example.
        largest: value above which nothing is run.

    Raises:
        ConfigError: a name that is not there, or a value that is no size or too large to run.
        StoreMiss: the compilation was read from a file and can only be looked at.
    """
    compiled = session.model()
    captured = compiled.compilation.captured
    point = _point(captured, sizes, largest)
    graphs_before = len(compiled.runners())
    with quiet_run():
        both = run_both(session, point)
        is_refused = both.check.outcome is Outcome.REFUSED
        free = _unchecked(captured, both) if is_refused else None
    return Trial(
        sizes=point,
        outcome=both.check.outcome,
        eager=_ran(both.eager),
        compiled=None if both.compiled is None else _ran(both.compiled, both.eager),
        policy=_policy_text(compiled, both, graphs_before),
        unchecked=free,
    )


def _point(captured: CapturedGraph, sizes: Mapping[str, int], largest: int) -> dict[str, int]:
    """A value for everything that varies; what is not named is as in the example."""
    known = dimensions_of(captured)
    example = {each.name: each.hint for each in known if each.is_size}
    point = checked_point(known, {**example, **sizes})
    for each in known:
        if point[each.name] > max(largest, each.hint):
            raise ConfigError(
                f"{each.name} = {point[each.name]:,} is not run: above {largest:,} it may take "
                "more memory, or more time, than there is. Try a smaller one."
            )
    return point


def _unchecked(captured: CapturedGraph, both: SideBySide) -> Ran | None:
    """What the captured graph returns when nothing checks the call."""
    run = unchecked(captured)
    if run is None or both.given is None:
        return None
    given: Inputs = both.given
    return _ran(seen_or_error(run, given, captured.model), both.eager)


# ------------------------------------------------------------------------------------------- texts


def _ran(seen: Seen | Exception, eager: Seen | Exception | None = None) -> Ran:
    """One run in words, beside the model as it is where it is given."""
    if isinstance(seen, Exception):
        text = seen if isinstance(seen, GuardViolation) else said(seen)
        return Ran(shortened(clean(text), _LONGEST_ERROR), has_failed=True)
    if eager is None or isinstance(eager, Exception):
        return Ran(_output_text(seen))
    found = judge(eager, seen)
    return Ran(
        _output_text(seen),
        difference=_difference_text(eager, seen, found.problem, found.largest),
        largest=found.largest if found.is_equal or found.largest else None,
    )


def _difference_text(eager: Seen, seen: Seen, problem: str, largest: float | None) -> str:
    by = f"by up to {largest:.3g}" if largest else ""
    place = farthest(eager, seen)
    at = f"most at {_place_text(place)}" if place is not None else ""
    if problem:
        what = shortened(clean(problem), _LONGEST_ERROR)
        return f"Different: {', '.join(each for each in (what, by, at) if each)}."
    both_nan = _both_nan(eager, seen)
    nan = f" Both are NaN in {counted(both_nan, 'element')}." if both_nan else ""
    if largest:
        return f"Equal within the tolerance: apart {by}, {at}.{nan}"
    return f"Equal in every element.{nan}" if largest is not None else f"Equal.{nan}"


def _place_text(place: Farthest) -> str:
    index = f"[{', '.join(map(str, place.index))}]" if place.index else ""
    return (
        f"{clean(place.name)}{index}: {_number(place.given)} instead of {_number(place.expected)}"
    )


def _both_nan(eager: Seen, seen: Seen) -> int:
    pairs = [(each, seen.tensors.get(name)) for name, each in eager.tensors.items()]
    return sum(
        int((wanted.isnan() & got.isnan()).sum())
        for wanted, got in pairs
        if got is not None and wanted.shape == got.shape and wanted.is_floating_point()
    )


def _output_text(seen: Seen) -> str:
    """``float32 (4, 8): 0.51, -1.2, 0.33, 2, ...``, for each tensor of the output."""
    outputs = {k: v for k, v in seen.tensors.items() if k.partition("[")[0] == "output"}
    if not outputs:
        return shortened(clean(seen.kind), _LONGEST_VALUE)
    if len(outputs) == 1:
        return _tensor_text(next(iter(outputs.values())))
    texts = [f"{clean(name)} {_tensor_text(each)}" for name, each in outputs.items()]
    return f"{clean(seen.kind)} of {listed(texts, _MOST_TENSORS).replace(', output', '; output')}"


def _tensor_text(tensor: torch.Tensor) -> str:
    head = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
    if tensor.numel() == 0 or tensor.layout is not torch.strided:
        return head
    values = [_number(each) for each in tensor.flatten()[:_MOST_VALUES].tolist()]
    return f"{head}: {', '.join(values)}{', …' if tensor.numel() > _MOST_VALUES else ''}"


def _number(value: Any) -> str:
    """Enough digits to tell values apart that differ by more than a tolerance."""
    if isinstance(value, float):
        return "NaN" if value != value else f"{value:.5g}"
    return f"{value:.5g}" if isinstance(value, complex) else str(value)


def _policy_text(compiled: CompiledModel, both: SideBySide, graphs_before: int) -> str:
    """What happened to the call, in a sentence."""
    policy = compiled.compilation.config.guard_policy
    record, found = both.record, both.compiled
    if record is None or found is None:
        return "The compiled model was not called: the model itself has no result there."
    if isinstance(found, GuardViolation):
        return f"{policy.name} refused the call, as a condition of the graph does not hold."
    if isinstance(found, ExplorerError):
        return "The call was refused before a graph ran."
    if isinstance(found, Exception):
        return "The compiled model failed where the model does not."
    if record.variant is None:
        return "The model as it is served the call: no graph ran."
    served = _served_text(both)
    if policy is not GuardPolicy.VARIANTS:
        checked = "every condition holds" if policy is GuardPolicy.CHECK else "nothing was checked"
        return f"{policy.name}: {checked}; served by {served}."
    graphs = len(compiled.runners())
    new = "captured for this call" if graphs > graphs_before else f"one of {graphs}"
    return f"VARIANTS: graph #{record.variant}, {new}; served by {served}."


def _served_text(both: SideBySide) -> str:
    record = both.record
    assert record is not None
    letters = list(dict.fromkeys(each.unique_id for each in record.artifacts))
    name = "artifact" if len(letters) == 1 else "artifacts"
    sizes = f" for {range_text(record.size_range)}" if record.size_range is not None else ""
    return f"{name} {listed(letters, 8)}{sizes}" if letters else f"no artifact{sizes}"
