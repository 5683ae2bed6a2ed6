"""A point in, what the captured graph returns there when nothing checks the call."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from explorer.artifacts import CapturedGraph
from explorer.artifacts.diagnosed import Answer, AnswerKind
from explorer.as_it_is import as_it_is
from explorer.errors import ExplorerError
from explorer.guards.eager import inputs_at_point, quiet_run
from explorer.results import Judgement, Seen, judge, seen_or_error
from explorer.stages.graphs import module_of

LARGEST_ANSWERED_SIZE = 8192
"""At larger sizes nothing is run: eager attention needs gigabytes there."""


def answer_of_graph(captured: CapturedGraph, sizes: Mapping[str, int]) -> Answer:
    """Runs the captured graph, uncompiled, beside the model at one point.

    Args:
        captured: the graph.
        sizes: name of a size or of an int argument -> value.
    """
    run = unchecked(captured)
    if run is None:
        return Answer(sizes, AnswerKind.NOT_KNOWN, "the graph runs no operation")
    return answer_of(captured, run, sizes)


def unchecked(captured: CapturedGraph) -> Callable[..., Any] | None:
    """Runs the captured graph, uncompiled, whatever the call has; None when it runs no operation.

    Args:
        captured: the graph.
    """
    raw = captured.raw
    if raw.is_empty:
        return None
    bound = raw.bind(module_of(captured.graph).forward)
    first = () if raw.receiver is None else (raw.receiver,)
    return lambda *args, **kwargs: bound(*first, *args, **kwargs)


def answer_of(captured: CapturedGraph, run: Callable[..., Any], sizes: Mapping[str, int]) -> Answer:
    """Runs something beside the model at one point, from equal states.

    Args:
        captured: knows the model and its example.
        run: what is compared with it.
        sizes: name of a size or of an int argument -> value.
    """
    return EagerResult(captured, sizes).beside(run)


class EagerResult:
    """What the model as it is showed at one point, to compare others with later.

    Args:
        captured: knows the model and its example.
        sizes: name of a size or of an int argument -> value.
    """

    def __init__(self, captured: CapturedGraph, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._captured = captured
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self._seen: Seen | None = None
        self._without: Answer | None = self._run()

    @property
    def is_there(self) -> bool:
        """Whether the model has a result at this point."""
        return self._without is None

    def _run(self) -> Answer | None:
        """Runs the model; what to answer when it has no result."""
        largest = max(self.sizes.values(), default=0)
        if largest > LARGEST_ANSWERED_SIZE:
            reason = f"sizes above {LARGEST_ANSWERED_SIZE} are not run"
            return Answer(self.sizes, AnswerKind.NOT_KNOWN, reason)
        if self._captured.request is None:
            return Answer(self.sizes, AnswerKind.NOT_KNOWN, "the capture was made by hand")
        try:
            with quiet_run():
                self._inputs = inputs_at_point(self._captured, self.sizes)
        except ExplorerError as error:
            return Answer(self.sizes, AnswerKind.NOT_KNOWN, str(error))
        model = self._captured.model
        with quiet_run():
            seen = seen_or_error(as_it_is(model), self._inputs, model)
        if isinstance(seen, Exception):
            return Answer(self.sizes, AnswerKind.EAGER_FAILS, said(seen))
        self._seen = seen
        return None

    def beside(self, run: Callable[..., Any]) -> Answer:
        """Runs something else on the same inputs, from the same state.

        Args:
            run: what is compared with the model.
        """
        if self._without is not None:
            return self._without
        assert self._seen is not None
        with quiet_run():
            given = seen_or_error(run, self._inputs, self._captured.model)
        if isinstance(given, Exception):  # the model has a result, so this one is wrong
            return Answer(self.sizes, AnswerKind.RAISES, said(given))
        found = judge(self._seen, given)
        kind = AnswerKind.SAME if found.is_equal else AnswerKind.WRONG
        return Answer(self.sizes, kind, found.problem, _largest(found))


def _largest(found: Judgement) -> float | None:
    """The largest difference; a number beside an infinity is infinitely far from it."""
    if found.largest is None or found.largest < sys.float_info.max:
        return found.largest
    return math.inf


def said(error: Exception) -> str:
    """The kind and the first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
