"""A model in, whether a compiled one would be right at every size out: for CI and for tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from explorer.artifacts import SourceLocation
from explorer.artifacts.covered import Coverage
from explorer.artifacts.diagnosed import Diagnosis, FixTrial
from explorer.config import CompilationConfig, GuardPolicy
from explorer.errors import ExplorerError, SpecializedDim
from explorer.guards.diagnosis import Wishes, diagnose_graph, names_of_place, patient_of
from explorer.guards.intervals_text import counted_intervals, point_text
from explorer.guards.trials import Patient, try_authors_version, try_variants
from explorer.guards.variants import capture_general, sizes_of_call
from explorer.report.wording import clean, with_short_paths
from explorer.session import Session
from explorer.stages.capture import CaptureRequest
from explorer.target import CompileTarget


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What a check found.

    Attributes:
        name: of the model.
        diagnosis: of the captured graph; None when there is none.
        fixed_dim: why there is no graph: the model made a dynamic dim a constant.
        coverage: which graphs serve which sizes, under VARIANTS.
        trials: fixes that were tried although there is no graph.
        allowed: whether what was found is what the author allows.
        seconds: wall seconds.
    """

    name: str
    diagnosis: Diagnosis | None = None
    fixed_dim: SpecializedDim | None = None
    coverage: Coverage | None = None
    trials: tuple[FixTrial, ...] = ()
    allowed: bool = False
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every size is covered, and nothing was specialized that is not allowed."""
        if self.fixed_dim is not None:
            return self.allowed
        if self.coverage is not None:
            return self.coverage.is_complete
        return self.diagnosis is not None and self.diagnosis.is_clean

    def report(self) -> str:
        """The result in words, the verdict last."""
        lines = []
        if self.fixed_dim is not None:
            lines.append(f"FIXED DIM   {clean(with_short_paths(str(self.fixed_dim)))}")
            for trial in self.trials:
                points = "; ".join(point_text(each) for each in trial.compared)
                lines.append(
                    f"  {trial.fix}: {trial.outcome.value}: {clean(trial.text)} ({points})"
                )
        if self.diagnosis is not None:
            lines.append(self.diagnosis.report())
        if self.coverage is not None:
            lines += ["", f"VARIANTS    {self.coverage.summary()}", *_region_lines(self.coverage)]
        verdict = "passed" if self.passed else "FAILED: see above"
        return "\n".join([*lines, "", f"{clean(self.name)}: {verdict}"])


def _region_lines(coverage: Coverage) -> list[str]:
    lines = []
    for region in coverage.regions:
        same = "" if region.same_graph_as is None else f", the program of {region.same_graph_as}"
        where = f"{region.points:,} points"
        if region.intervals:
            where = counted_intervals(region.intervals)
        lines.append(f"  {region.variant}: {where}, captured at {point_text(region.example)}{same}")
    for point in coverage.uncovered:
        lines.append(f"  not covered: {point_text(point.sizes)}: {clean(point.reason)}")
    return lines


def check_target(
    target: CompileTarget,
    config: CompilationConfig,
    wishes: Wishes,
    *,
    fix: CompileTarget | None = None,
) -> CheckResult:
    """Checks one model.

    Args:
        target: the model with its example.
        config: how it is to be compiled; nothing is, but for fixes that are tried and variants.
        wishes: the domain, what is allowed, whether to try fixes.
        fix: the author's own version, to be tried like a fix.

    Raises:
        ExplorerError: the model cannot be captured at all, or a domain does not fit.
    """
    started = time.perf_counter()
    session = session_of(target, config)
    try:
        unique = session.plan().unique
    except SpecializedDim as error:
        result = _fixed(session.request, config, error, wishes)
    else:
        normalised = unique.split.normalised
        diagnosis = diagnose_graph(normalised, config, wishes)
        coverage = None
        if config.guard_policy is GuardPolicy.VARIANTS:
            coverage = session.model().cover(
                wishes.domain, progress=wishes.progress, cancel=wishes.cancel
            )
        if fix is not None:
            wrong = [each for each in diagnosis.findings if not each.is_allowed]
            patient = patient_of(diagnosis.audit, normalised.captured, config, wrong)
            trial = try_authors_version(
                patient, session_of(fix, config).request, fix.compilation_config()
            )
            diagnosis = replace(diagnosis, trials=(trial, *diagnosis.trials))
        result = CheckResult(target.name, diagnosis, coverage=coverage)
    return replace(result, name=target.name, seconds=time.perf_counter() - started)


def session_of(target: CompileTarget, config: CompilationConfig) -> Session:
    """A session on a target's model; nothing is captured yet."""
    return Session(
        target.model,
        target.example_inputs,
        example_kwargs=target.example_kwargs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        make_inputs=target.make_inputs,
        config=config,
        name=target.name,
    )


def _fixed(
    request: CaptureRequest, config: CompilationConfig, error: SpecializedDim, wishes: Wishes
) -> CheckResult:
    """The model fixes a dim at the example's size: VARIANTS is what may help."""
    names = {f"{error.path}.size({error.dim})"}
    if isinstance(error.location, SourceLocation):
        names |= names_of_place(error.location)
    allowed = any(token in names for token in wishes.allow)
    trials: tuple[FixTrial, ...] = ()
    if wishes.try_fixes:
        variants = config.replace(guard_policy=GuardPolicy.VARIANTS)
        try:
            captured = capture_general(request, variants)
        except ExplorerError:
            captured = None
        if captured is not None:
            points = _points_around(sizes_of_call(request), config.max_size)
            trials = (try_variants(Patient(captured, variants, points, ())),)
    return CheckResult("", fixed_dim=error, trials=trials, allowed=allowed)


def _points_around(sizes: Mapping[str, int], largest: int) -> list[dict[str, int]]:
    """The example, and points beside it where it is another size."""
    near = [{name: size + step for name, size in sizes.items()} for step in (0, -1, 1)]
    near.append({name: 2 * size + 1 for name, size in sizes.items()})
    return [each for each in near if all(0 < size <= largest for size in each.values())]


def as_json(result: CheckResult) -> dict[str, Any]:
    """The result as plain data, for machines; ``explorer check --json`` prints it."""
    from explorer.report.check_view import check_view

    return check_view(result)
