"""A model in, the first step of the ladder whose result is not eager's out.

Each rung does one thing more than the one before: ``torch.compile``; one captured graph; the graph
cut into pieces, which run uncompiled; the pieces compiled; the pieces loaded from the artifact
store. Where a piecewise rung is the first one, the pieces are run one by one beside the uncut
graph, and the first that differs is named.

Only the last rung goes by the store. The others would find in it what they are compared with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.artifacts import ArtifactOrigin, CapturedGraph
from explorer.as_it_is import as_it_is
from explorer.comparison import Outcome
from explorer.compilation import Compilation
from explorer.config import CompilationConfig, CompilationMode, StoreConfig
from explorer.counters import Counts, counters
from explorer.errors import ExplorerError
from explorer.example_inputs import Inputs, at, copied
from explorer.model_state import ModelState
from explorer.piece_store import why_not_kept
from explorer.piecewise_steps import PieceDifference, first_difference
from explorer.probe import sizes_to_compare
from explorer.progress import CancelToken, Progress, ProgressCallback
from explorer.random_state import random_state_kept
from explorer.report.wording import counted, listed, range_text, with_short_paths
from explorer.results import Seen, judge, see
from explorer.session import Session, session_of
from explorer.stages.backends import KeepingBackend
from explorer.stages.capture import checked_model
from explorer.store.artifact_store import open_store
from explorer.target import CompileTarget

EAGER = "eager, once more"
STOCK = "stock torch.compile"
TRACE_ONCE = "trace once, eager"
PIECEWISE_EAGER = "piecewise, eager"
CACHED = "cached"


@dataclass(frozen=True)
class RungCheck:
    """One rung at one size.

    Attributes:
        sizes: size name -> value; empty for the example.
        outcome: what the comparison with eager came to.
        largest: largest difference of two elements; None when there was nothing to compare.
        problem: what went wrong, in words; empty when nothing did.
    """

    sizes: Mapping[str, int]
    outcome: Outcome
    largest: float | None = None
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the rung did what eager does, or eager has no result either."""
        return self.outcome in (Outcome.EQUAL, Outcome.EAGER_FAILS)

    @property
    def sizes_text(self) -> str:
        """``n = 17``; ``the example`` when no size was asked for."""
        return ", ".join(f"{name} = {size}" for name, size in self.sizes.items()) or "the example"


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    Attributes:
        name: what it does.
        checks: one per size; none when the rung could not be made.
        failure: why it could not be made; empty when it could.
        piece: where a piecewise rung first differs; None when no piece does, or none was looked at.
        skipped: why nothing was compared, where that is no fault; empty when something was.
        note: what was compared, where the name does not say it; may be empty.
    """

    name: str
    checks: tuple[RungCheck, ...]
    failure: str = ""
    piece: PieceDifference | None = None
    skipped: str = ""
    note: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it is eager's equal at every size, or was skipped."""
        return not self.failure and all(check.is_good for check in self.checks)

    @property
    def first_bad(self) -> RungCheck | None:
        """The first size at which it is not eager's equal."""
        return next((check for check in self.checks if not check.is_good), None)


@dataclass(frozen=True)
class Bisection:
    """What the ladder showed.

    Attributes:
        name: of the model.
        rungs: in order.
    """

    name: str
    rungs: tuple[Rung, ...]

    @property
    def first(self) -> Rung | None:
        """The first rung that is not eager's equal; None when all are."""
        return next((rung for rung in self.rungs if not rung.is_good), None)


def bisect(
    target: CompileTarget,
    config: CompilationConfig,
    *,
    sizes: Sequence[Mapping[str, int]] | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> Bisection:
    """Walks the ladder and compares each rung with eager.

    Args:
        target: the model and its example.
        config: of the last rung; the others have the same in another mode or backend, and without
            the store. What the last one compiles is stored, unless ``store.require_hit`` is set.
        sizes: where to compare, as size name -> value; None takes the sizes at which a fault would
            show.
        progress: told before each rung.
        cancel: looked at between rungs.

    Raises:
        ConfigError: a size of another name.
        InputError: the example does not fit.
        Cancelled: somebody asked to stop.
    """
    ladder = _Ladder(target, config, sizes)
    configs = dict(_rung_configs(config))
    rungs = []
    for number, name in enumerate((EAGER, *configs)):
        if cancel is not None:
            cancel.raise_if_cancelled()
        if progress is not None:
            progress(Progress(number, len(configs) + 1, name))
        if name == EAGER:
            rungs.append(ladder.eager())
        elif name == CACHED:
            rungs.append(ladder.cached(configs[name]))
        else:
            rungs.append(ladder.rung(name, configs[name]))
    if progress is not None:
        progress(Progress(len(configs) + 1, len(configs) + 1, "compared"))
    return Bisection(target.name, tuple(rungs))


def _rung_configs(config: CompilationConfig) -> Iterator[tuple[str, CompilationConfig]]:
    afresh = config.replace(store=StoreConfig(enabled=False))
    if isinstance(config.backend, str):
        yield STOCK, afresh.replace(mode=CompilationMode.STOCK_TORCH_COMPILE)
    uncompiled = afresh.replace(backend="eager", inductor_config={})
    yield TRACE_ONCE, uncompiled.replace(mode=CompilationMode.DYNAMO_TRACE_ONCE)
    yield PIECEWISE_EAGER, uncompiled.replace(mode=CompilationMode.PIECEWISE)
    if config.backend != "eager":
        name = config.backend if isinstance(config.backend, str) else config.backend.name
        yield f"piecewise, {name}", afresh.replace(mode=CompilationMode.PIECEWISE)
    keeps = config.backend == "inductor" or isinstance(config.backend, KeepingBackend)
    if keeps and config.store.enabled:
        yield CACHED, config.replace(mode=CompilationMode.PIECEWISE)


class _Ladder:
    """The rungs of one model, and what eager showed at each size."""

    def __init__(
        self,
        target: CompileTarget,
        config: CompilationConfig,
        sizes: Sequence[Mapping[str, int]] | None,
    ) -> None:
        self.target = target
        self.session = session_of(target, config)
        self.model = checked_model(target.model)
        self.captured: CapturedGraph | None = None
        probe = session_of(target, dict(_rung_configs(config))[PIECEWISE_EAGER])
        try:
            self.captured = probe.compilation.captured
        except ExplorerError:
            self.sizes = [dict(each) for each in sizes or [{}]]  # the rungs say why
        else:
            chosen = sizes_to_compare(probe.compilation) if sizes is None else sizes
            self.sizes = [dict(each) for each in chosen]
        self.seen: dict[int, Seen | str] = {
            number: self._expected(each) for number, each in enumerate(self.sizes)
        }

    def _inputs(self, sizes: Mapping[str, int]) -> Inputs:
        if not sizes:
            return copied(self.session.request.args, dict(self.session.request.kwargs))
        return copied(*at(self.session.request, sizes, captured=self.captured))

    def _run(self, run: Any, sizes: Mapping[str, int]) -> Seen:
        state = ModelState(self.model)
        try:
            return see(run, *self._inputs(sizes), state)
        finally:
            state.restore()

    def _expected(self, sizes: Mapping[str, int]) -> Seen | str:
        self._inputs(sizes)  # a wrong name is an error of the question, not of the model
        try:
            return self._run(as_it_is(self.model), sizes)
        except Exception as error:  # whatever the user's model raises
            return _said(error)

    def eager(self) -> Rung:
        """The model as it is, run again: where that differs, nothing can be compared."""
        return Rung(EAGER, tuple(self._check(as_it_is(self.model), n) for n in self.seen))

    def rung(self, name: str, config: CompilationConfig) -> Rung:
        """One way to run the model, compared at every size."""
        return self._compared(name, session_of(self.target, config))

    def cached(self, config: CompilationConfig) -> Rung:
        """The pieces as the store hands them out; what it lacks is stored before."""
        stored, counts = Counts(), Counts()
        with counters.also_for(stored):
            self._fill(config)
        session = session_of(self.target, config)
        with counters.also_for(counts):
            rung = self._compared(CACHED, session)
        if rung.failure:
            return rung
        again = _made_again(session.model().variants)
        if counts.saved:
            names = listed((name for name, reason in again.items() if not reason), 3)
            failure = f"what was stored cannot be loaded: {names or 'an artifact of a first call'}"
            return Rung(CACHED, (), failure=failure)
        reasons = [f"{name} ({reason or 'see the warnings'})" for name, reason in again.items()]
        root = open_store(config.store.root).root
        if not counts.loaded:
            why = listed(reasons, 3) or "nothing is compiled"
            return Rung(CACHED, (), skipped="; ".join(filter(None, (why, root.note))))
        note = f"{counted(counts.loaded, 'artifact')} loaded from {root.path}"
        note += f", {stored.saved} stored just now" if stored.saved else ""
        note += f"; made again: {listed(reasons, 3)}" if reasons else ""
        return dataclasses.replace(rung, note="; ".join(filter(None, (note, root.note))))

    def _fill(self, config: CompilationConfig) -> None:
        """Stores what a run at these sizes needs: some is compiled at the first call only.

        With ``require_hit`` nothing is.
        """
        try:
            model = session_of(self.target, config.replace(debug_dump_path=None)).model()
        except ExplorerError:  # the rung says why
            return
        for number in self.seen:
            self._check(model, number)

    def _compared(self, name: str, session: Session) -> Rung:
        try:
            model = session.model()
        except ExplorerError as error:
            return Rung(name, (), failure=_said(error))
        checks = tuple(self._check(model, number) for number in self.seen)
        bad = next((check for check in checks if check.outcome is Outcome.DIFFERENT), None)
        is_cut = session.config.mode is CompilationMode.PIECEWISE
        piece = self._piece(session, bad.sizes) if bad is not None and is_cut else None
        return Rung(name, checks, piece=piece)

    def _check(self, run: Any, number: int) -> RungCheck:
        sizes, expected = self.sizes[number], self.seen[number]
        if isinstance(expected, str):
            return RungCheck(sizes, Outcome.EAGER_FAILS, problem=expected)
        try:
            given = self._run(run, sizes)
        except ExplorerError as error:
            return RungCheck(sizes, Outcome.REFUSED, problem=_said(error))
        except Exception as error:  # eager has a result, so this is a fault
            return RungCheck(sizes, Outcome.DIFFERENT, problem=_said(error))
        found = judge(expected, given)
        outcome = Outcome.EQUAL if found.is_equal else Outcome.DIFFERENT
        return RungCheck(sizes, outcome, found.largest, found.problem)

    def _piece(self, session: Session, sizes: Mapping[str, int]) -> PieceDifference | None:
        state = ModelState(self.model)
        try:
            with random_state_kept():
                return first_difference(session.compilation, *self._inputs(sizes))
        except Exception:  # the rung has said what went wrong
            return None
        finally:
            state.restore()


def _made_again(compilations: Sequence[Compilation]) -> dict[str, str]:
    """The artifacts that do not come from the store, each with why it cannot be kept if known."""
    found: dict[str, str] = {}
    for compilation in compilations:
        for each in compilation.artifacts:
            if each.origin is not ArtifactOrigin.STORE:
                label = f"{each.unique_id} {range_text(each.requested_range)}"
                found[label] = found.get(label) or why_not_kept(each)
    return found


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["without a message"]
    text = lines[0] if isinstance(error, ExplorerError) else f"{type(error).__name__}: {lines[0]}"
    return with_short_paths(text)
