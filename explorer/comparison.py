"""A session in, what its model answers beside the model as it is out: one Check per size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from explorer.artifacts import CapturedGraph, RunRecord
from explorer.as_it_is import as_it_is
from explorer.errors import ExplorerError
from explorer.example_inputs import Inputs, size_names
from explorer.guards.eager import inputs_at_point
from explorer.probe import inputs_at, sizes_to_compare
from explorer.report.wording import range_text, shortened, with_short_paths
from explorer.results import Seen, judge, seen_or_error
from explorer.session import Session


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
        return sizes_text(self.sizes)

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


def sizes_text(sizes: Mapping[str, int]) -> str:
    """``n = 17``; ``the example`` when nothing is dynamic."""
    return ", ".join(f"{name} = {size}" for name, size in sizes.items()) or "the example"


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
        checks.append(run_both(session, dict(each)).check)
        if on_check is not None:
            on_check(checks[-1])
    return tuple(checks)


@dataclass(frozen=True, eq=False)
class SideBySide:
    """What the model as it is and the compiled one showed at one size.

    Attributes:
        check: what the comparison came to.
        eager: of the model as it is; its error where it has no result.
        compiled: the same of the compiled model; None when it was not called.
        record: of the compiled call; None when it was not called.
        given: the inputs of both; None when there are none of this size.
    """

    check: Check
    eager: Seen | Exception
    compiled: Seen | Exception | None = None
    record: RunRecord | None = None
    given: Inputs | None = None


def run_both(session: Session, sizes: Mapping[str, int]) -> SideBySide:
    """Runs the latest compilation and the model as it is at one size, from equal states.

    Args:
        session: with the compilation.
        sizes: size or int argument -> value; what is left out is as in the example.
    """
    compiled = session.model()
    captured = compiled.compilation.captured
    try:
        inputs = _inputs(session, captured, sizes)
    except ExplorerError as error:
        return SideBySide(Check(sizes, Outcome.EAGER_FAILS, problem=said(error)), error)
    expected = seen_or_error(as_it_is(captured.model), inputs, captured.model)
    if isinstance(expected, Exception):
        check = Check(sizes, Outcome.EAGER_FAILS, problem=said(expected))
        return SideBySide(check, expected, given=inputs)
    with compiled.record() as record:
        found = seen_or_error(compiled, inputs, captured.model)
    return SideBySide(_judged(sizes, expected, found, record), expected, found, record, inputs)


def _judged(
    sizes: Mapping[str, int], expected: Seen, given: Seen | Exception, record: RunRecord
) -> Check:
    if isinstance(given, Exception):  # eager had a result: said on purpose, or a fault
        outcome = Outcome.REFUSED if isinstance(given, ExplorerError) else Outcome.DIFFERENT
        return Check(sizes, outcome, problem=said(given))
    found = judge(expected, given)
    outcome = Outcome.EQUAL if found.is_equal else Outcome.DIFFERENT
    return Check(sizes, outcome, found.largest, served_by(record), found.problem)


def _inputs(session: Session, captured: CapturedGraph, sizes: Mapping[str, int]) -> Inputs:
    """Inputs of some sizes, with other values for int arguments where any are named.

    Raises:
        ExplorerError: there are no such inputs.
    """
    if size_names(session.request) >= set(sizes):
        return inputs_at(session, sizes)
    return inputs_at_point(captured, sizes)


def said(error: Exception) -> str:
    """The first line of an error, with short paths."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[0] if isinstance(error, ExplorerError) else f"{type(error).__name__}: {lines[0]}"
    return shortened(with_short_paths(text), 600)


def served_by(record: RunRecord) -> str:
    """The range that served a recorded call, in words."""
    if record.variant is None:
        return "the model as it is"
    return "the one artifact" if record.size_range is None else range_text(record.size_range)
