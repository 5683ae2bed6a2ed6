"""A session in, what its model answers beside the model as it is out: one Check per size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from explorer.artifacts import RunRecord
from explorer.as_it_is import as_it_is
from explorer.errors import ExplorerError, InputError
from explorer.example_inputs import copied
from explorer.model_state import ModelState
from explorer.probe import inputs_at, sizes_to_compare
from explorer.report.wording import range_text, shortened, with_short_paths
from explorer.results import judge, see
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
        return Check(sizes, Outcome.EAGER_FAILS, problem=said(error))
    (args, kwargs), (other_args, other_kwargs) = copied(args, kwargs), copied(args, kwargs)
    state = ModelState(model)
    try:
        expected = see(as_it_is(model), args, kwargs, state)
    except Exception as error:  # whatever the user's model raises
        state.restore()
        return Check(sizes, Outcome.EAGER_FAILS, problem=said(error))
    state.restore()
    with compiled.record() as record:
        try:
            given = see(compiled, other_args, other_kwargs, state)
        except ExplorerError as error:
            return Check(sizes, Outcome.REFUSED, problem=said(error))
        except Exception as error:  # eager had a result, so this is a fault
            return Check(sizes, Outcome.DIFFERENT, problem=said(error))
        finally:
            state.restore()
    found = judge(expected, given)
    outcome = Outcome.EQUAL if found.is_equal else Outcome.DIFFERENT
    return Check(sizes, outcome, found.largest, served_by(record), found.problem)


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
