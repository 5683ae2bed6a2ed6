"""A capture and the points at which it is wrong in, fixes that were compiled and compared out."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch

from explorer.artifacts import CapturedGraph, SourceLocation
from explorer.artifacts.diagnosed import Answer, AnswerKind, FixTrial, TrialOutcome
from explorer.config import CompilationConfig, DynamicShapesType, GuardPolicy, StoreConfig
from explorer.errors import CaptureError, ExplorerError
from explorer.guards.answers import EagerResult, answer_of, said
from explorer.guards.eager import quiet_run
from explorer.guards.function_diff import diff_of_function
from explorer.guards.intervals_text import point_text
from explorer.guards.rewrite import Refusal, Rewrite, applied, function_at, rewrite_to_cond
from explorer.progress import CancelToken, Progress, ProgressCallback
from explorer.report.wording import counted, shortened
from explorer.stages.capture import CaptureRequest, capture

if TYPE_CHECKING:
    from explorer.runtime.compiled_model import CompiledModel

_LONGEST_PROBLEM = 240

Points = Sequence[Mapping[str, int]]


@dataclasses.dataclass(frozen=True, eq=False)
class Patient:
    """What the fixes are tried on.

    Attributes:
        captured: the capture that is not right everywhere.
        config: how it is compiled.
        points: where a fix has to give eager's result: one or more for each signature.
        branches: the lines of the branches that are wrong.
        kept: where the graph is right already, and has to stay so.
    """

    captured: CapturedGraph
    config: CompilationConfig
    points: Points
    branches: tuple[SourceLocation, ...]
    kept: Points = ()

    @property
    def every(self) -> Points:
        """Where a fix is compared with eager: where it has to help, then where nothing is wrong."""
        return [*self.points, *(each for each in self.kept if each not in self.points)]

    @property
    def request(self) -> CaptureRequest:
        """What the capture was asked for."""
        return self.captured.request


def try_fixes(
    patient: Patient,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> tuple[FixTrial, ...]:
    """Tries what can be tried without the author: VARIANTS, UNBACKED, and torch.cond.

    Args:
        patient: what they are tried on.
        progress: told which fix is being tried.
        cancel: looked at between fixes.

    Raises:
        Cancelled: somebody asked to stop.
    """
    trials: list[tuple[str, Callable[[Patient], FixTrial]]] = [
        ("variants", try_variants),
        ("unbacked", try_unbacked),
    ]
    if patient.branches:
        trials.insert(0, ("torch.cond", try_cond))
    found = []
    for number, (name, attempt) in enumerate(trials):
        if cancel is not None:
            cancel.raise_if_cancelled()
        if progress is not None:
            progress(Progress(number, len(trials), f"trying {name}"))
        found.append(timed(attempt, patient))
    if progress is not None:
        progress(Progress(len(trials), len(trials), "tried"))
    return tuple(found)


def timed(attempt: Callable[[Patient], FixTrial], patient: Patient) -> FixTrial:
    """Tries one fix: only what it comes to is shown, and the random state stays as it was."""
    started = time.perf_counter()
    with quiet_run():
        trial = attempt(patient)
    return dataclasses.replace(trial, seconds=time.perf_counter() - started)


def try_variants(patient: Patient) -> FixTrial:
    """Compiles under VARIANTS and calls it at every point."""
    config = patient.config.replace(
        guard_policy=GuardPolicy.VARIANTS,
        dynamic_shapes=dataclasses.replace(patient.config.dynamic_shapes, evaluate_guards=False),
    )
    try:
        model = _compiled(patient.request, config)
        answers = [answer_of(patient.captured, model, sizes) for sizes in patient.every]
    except ExplorerError as error:
        return FixTrial("variants", TrialOutcome.FAILS, str(error))
    count = len(model.variants)
    text = f"{counted(count, 'graph')} picked by a table of sizes"
    return _compared("variants", answers, text, patient=patient)


def try_unbacked(patient: Patient) -> FixTrial:
    """Captures with every dynamic dim unbacked: a test on a size is then an error."""
    shapes = dataclasses.replace(
        patient.config.dynamic_shapes, type=DynamicShapesType.UNBACKED, evaluate_guards=False
    )
    config = patient.config.replace(dynamic_shapes=shapes, guard_policy=GuardPolicy.CHECK)
    try:
        capture(patient.request, config)
    except CaptureError as error:
        said_first = str(error).partition(" Use ")[0]  # the fixes stand beside it
        text = f"the capture fails instead: {said_first}"
        return FixTrial("unbacked", TrialOutcome.LOUD, text)
    except Exception as error:  # the model itself
        return FixTrial("unbacked", TrialOutcome.FAILS, said(error))
    try:
        model = _compiled(patient.request, config)
    except ExplorerError as error:
        return FixTrial("unbacked", TrialOutcome.FAILS, str(error))
    answers = [answer_of(patient.captured, model, sizes) for sizes in patient.every]
    return _compared("unbacked", answers, "one graph for all sizes", patient=patient)


def try_cond(patient: Patient) -> FixTrial:
    """Rewrites the branches with torch.cond, compiles that, and calls it at every point."""
    rewrites = _rewrites(patient)
    if isinstance(rewrites, str):
        return FixTrial("torch.cond", TrialOutcome.NOT_APPLICABLE, rewrites)
    diff = "\n".join(diff_of_function(rewrite) for rewrite in rewrites)
    config = patient.config.replace(guard_policy=GuardPolicy.CHECK)
    # What eager gives has to be there first: inside the context the model is the rewritten one.
    expected = [EagerResult(patient.captured, sizes) for sizes in patient.every]
    try:
        with contextlib.ExitStack() as stack:
            model: Callable[..., Any] = patient.request.model
            for rewrite in rewrites:
                model = stack.enter_context(applied(rewrite, model))
            request = dataclasses.replace(patient.request, model=model)
            fixed = _compiled(request, config)
            answers = [each.beside(fixed) for each in expected]
    except ExplorerError as error:
        return FixTrial("torch.cond", TrialOutcome.FAILS, str(error), diff=diff)
    text = "one graph with both sides"
    return _compared("torch.cond", answers, text, patient=patient, diff=diff)


def _rewrites(patient: Patient) -> list[Rewrite] | str:
    """One rewrite per function with a branch, or why there is none."""
    places: dict[FunctionType, list[SourceLocation]] = {}
    for location in patient.branches:
        function = function_at(patient.request.model, location)
        if function is None:
            return f"the function of {location} was not found from the model"
        places.setdefault(function, []).append(location)
    found = []
    for function, (first, *others) in places.items():
        rewrite = rewrite_to_cond(function, first, also=others)
        if isinstance(rewrite, Refusal):
            return str(rewrite)
        found.append(rewrite)
    return found


def try_authors_version(
    patient: Patient, fixed: CaptureRequest, config: CompilationConfig
) -> FixTrial:
    """Compiles the author's own version and compares it with the model, at every point.

    Both are run with the weights of the model where their names are the same.

    Args:
        patient: what it is to replace.
        fixed: the author's version with its example.
        config: how it is compiled.
    """
    return timed(lambda each: _authors(each, fixed, config), patient)


def _authors(patient: Patient, fixed: CaptureRequest, config: CompilationConfig) -> FixTrial:
    _share_weights(patient.request.model, fixed.model)
    try:
        compiled = _compiled(fixed, config.replace(guard_policy=GuardPolicy.CHECK))
    except ExplorerError as error:
        return FixTrial("author", TrialOutcome.FAILS, str(error))
    answers = [answer_of(patient.captured, compiled, sizes) for sizes in patient.every]
    return _compared("author", answers, "the version that was given", patient=patient)


def _share_weights(model: Any, fixed: Any) -> None:
    both = isinstance(model, torch.nn.Module) and isinstance(fixed, torch.nn.Module)
    if both and model is not fixed:
        own, other = model.state_dict(), fixed.state_dict()
        same = {k: v for k, v in own.items() if k in other and other[k].shape == v.shape}
        fixed.load_state_dict(same, strict=False)


def _compiled(request: CaptureRequest, config: CompilationConfig) -> CompiledModel:
    # Not at the top: a session imports what a compilation is made of, and that its diagnosis.
    from explorer.session import compile_model

    return compile_model(
        request.model,
        request.args,
        example_kwargs=request.kwargs,
        dynamic_arg_dims=request.dynamic_arg_dims,
        mark_unbacked_dims=request.mark_unbacked_dims,
        make_inputs=request.make_inputs,
        # A trial is none of the user's compilations: the store has nothing to say of it.
        config=config.replace(store=StoreConfig(enabled=False)),
    )


def _compared(
    fix: str, answers: Sequence[Answer], what: str, *, patient: Patient, diff: str = ""
) -> FixTrial:
    """What the comparison at each point says of a fix."""
    known = [
        each for each in answers if each.kind not in (AnswerKind.EAGER_FAILS, AnswerKind.NOT_KNOWN)
    ]
    wrong = [each for each in known if each.kind is not AnswerKind.SAME]
    compared = tuple(each.sizes for each in known)
    if wrong:
        text = _wrong_text(wrong[0]) + _right_elsewhere(len(known) - len(wrong))
        return FixTrial(fix, TrialOutcome.WRONG, text, compared, len(wrong), diff)
    if not known or (patient.points and not any(each in patient.points for each in compared)):
        text = f"{what}: it compiles, but it could not be compared where the graph is wrong"
        return FixTrial(fix, TrialOutcome.NOT_APPLICABLE, text, compared, 0, diff)
    return FixTrial(fix, TrialOutcome.WORKS, what, compared, 0, diff)


def _wrong_text(answer: Answer) -> str:
    at = point_text(answer.sizes) if answer.sizes else "the example"
    problem = shortened(answer.problem, _LONGEST_PROBLEM)
    if answer.kind is AnswerKind.RAISES:
        return f"it fails at {at}: {problem}"
    return f"not equal to eager at {at}: {problem}"


def _right_elsewhere(count: int) -> str:
    return f"; equal to eager at {counted(count, 'other point')}" if count else ""
