"""A model in, whether a compiled one would be right at every size out: for CI and for tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from explorer.artifacts import NormalisedGraph, SourceLocation
from explorer.artifacts.audited import GuardAudit
from explorer.artifacts.covered import Coverage
from explorer.artifacts.diagnosed import Diagnosis, FixTrial
from explorer.config import CompilationConfig, GuardPolicy, OutOfRange
from explorer.errors import ExplorerError, SpecializedDim, VariantsLimit
from explorer.guards.allowed import matching, names_of_place
from explorer.guards.answers import LARGEST_ANSWERED_SIZE
from explorer.guards.diagnosis import Wishes, diagnose_graph, patient_of
from explorer.guards.fix_text import trial_lines
from explorer.guards.intervals_text import counted_intervals, point_text
from explorer.guards.lines import WIDTH, one_line, wrapped
from explorer.guards.trials import Patient, timed, try_authors_version, try_variants
from explorer.guards.variants import capture_general, sizes_of_call
from explorer.report.wording import clean, counted, place_text, range_text
from explorer.session import Session, session_of
from explorer.size_range import SizeRange
from explorer.stages.capture import CaptureRequest, named_dims
from explorer.stages.compile_plan import dispatch_size
from explorer.target import CompileTarget


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What a check found.

    Attributes:
        name: of the model.
        diagnosis: of the captured graph; None when there is none.
        fixed_dim: why there is no graph: the model made a dynamic dim a constant.
        coverage: which graphs serve which sizes, under VARIANTS.
        limit: why not every graph was made: it would have been more than ``variants_limit``.
        beyond: which sizes the configuration refuses, as they are above ``max_size``; else empty.
        trials: fixes that were tried although there is no graph.
        allowed: whether the fixed dim is what the author allows.
        unmatched: what the author allows and was not found, where there is no graph.
        seconds: wall seconds.
    """

    name: str
    diagnosis: Diagnosis | None = None
    fixed_dim: SpecializedDim | None = None
    coverage: Coverage | None = None
    limit: VariantsLimit | None = None
    beyond: str = ""
    trials: tuple[FixTrial, ...] = ()
    allowed: bool = False
    unmatched: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every size is covered, and nothing was specialized that is not allowed."""
        if self.fixed_dim is not None:
            return self.allowed
        if self.limit is not None or self.beyond:
            return False
        if self.coverage is not None:
            return self.coverage.is_complete
        return self.diagnosis is not None and self.diagnosis.is_clean

    def report(self) -> str:
        """The result in words, the verdict last."""
        lines = []
        if self.fixed_dim is not None:
            lines += _fixed_lines(self, self.fixed_dim)
        if self.diagnosis is not None:
            lines.append(self.diagnosis.report())
        if self.coverage is not None:
            lines += ["", f"VARIANTS    {self.coverage.summary()}", *_region_lines(self.coverage)]
        if self.limit is not None:
            lines += ["", *wrapped(f"VARIANTS    {self.limit}", indent="", hanging=" " * 12)]
        if self.beyond:
            lines += ["", *wrapped(f"REFUSED     {self.beyond}", indent="", hanging=" " * 12)]
        verdict = "passed" if self.passed else "FAILED: see above"
        return "\n".join([*lines, "", f"{clean(self.name)}: {verdict}"])


def _fixed_lines(result: CheckResult, error: SpecializedDim) -> list[str]:
    """Why there is no graph, and what helped."""
    place = error.location if isinstance(error.location, SourceLocation) else None
    allowed = " (allowed)" if result.allowed else ""
    head, code = f"FIXED DIM{allowed}   {place_text(place)}", place.text if place else ""
    lines = [one_line(f"{head}   {code}".rstrip(), 10 * WIDTH)]
    if len(lines[0]) > WIDTH:  # the path is long
        lines = [one_line(head), f"  {one_line(code, WIDTH - 2)}"]
    lines += wrapped(str(error))
    if result.trials:
        lines += ["", "FIX", *(line for each in result.trials for line in trial_lines(each))]
    for token in result.unmatched:
        lines += wrapped(f"Allowed, but nothing of that name was found: {token}")
    return lines


def _region_lines(coverage: Coverage) -> list[str]:
    lines = []
    for region in coverage.regions:
        same = "" if region.same_graph_as is None else f", as graph {region.same_graph_as}"
        where = counted(region.points, "point")
        if region.intervals:
            where = counted_intervals(region.intervals)
        text = f"{region.variant}: {where}, captured at {point_text(region.example)}{same}"
        lines += wrapped(text, hanging="   ")
    for point in coverage.uncovered:
        lines += wrapped(f"not covered: {point_text(point.sizes)}: {point.reason}", hanging="   ")
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
        result = _fixed(session.request, config, error, wishes=wishes, fix=fix)
    else:
        result = _checked(session, unique.split.normalised, config, wishes=wishes, fix=fix)
    return replace(result, name=target.name, seconds=time.perf_counter() - started)


def _checked(
    session: Session,
    normalised: NormalisedGraph,
    config: CompilationConfig,
    *,
    wishes: Wishes,
    fix: CompileTarget | None,
) -> CheckResult:
    """The diagnosis of a graph; under VARIANTS the other graphs as well."""
    is_variants = config.guard_policy is GuardPolicy.VARIANTS
    # Under VARIANTS the other graphs are made, so there is nothing to be tried for.
    asked = replace(wishes, try_fixes=wishes.try_fixes and not is_variants)
    diagnosis = diagnose_graph(normalised, config, asked)
    if fix is not None:
        patient = patient_of(diagnosis.audit, normalised.captured, config, diagnosis.findings)
        trial = _authors(patient, fix, config)
        diagnosis = replace(diagnosis, trials=(trial, *diagnosis.trials))
    result = CheckResult("", diagnosis, beyond=_beyond(diagnosis.audit, normalised, config))
    if not is_variants:
        return result
    model = session.model()
    try:
        coverage = model.cover(wishes.domain, progress=wishes.progress, cancel=wishes.cancel)
    except VariantsLimit as error:
        return replace(result, limit=error)
    return replace(result, coverage=coverage)


def _beyond(audit: GuardAudit, normalised: NormalisedGraph, config: CompilationConfig) -> str:
    """The dispatch sizes of the domain at which every call raises, in a sentence."""
    dispatch = dispatch_size(normalised.captured, config)
    if dispatch is None or config.out_of_range is OutOfRange.EAGER:
        return ""
    first, last = audit.domain[dispatch.name]
    if last <= config.max_size:
        return ""
    sizes = SizeRange(max(first, config.max_size + 1), last)
    return (
        f"{dispatch.name} = {range_text(sizes)}: a call raises SizeOutOfRange, as max_size is "
        f"{config.max_size}. Raise max_size, or set out_of_range=OutOfRange.EAGER."
    )


def _authors(patient: Patient, fix: CompileTarget, config: CompilationConfig) -> FixTrial:
    own = fix.compilation_config().replace(backend=config.backend, max_size=config.max_size)
    return try_authors_version(patient, session_of(fix, own).request, own)


def _fixed(
    request: CaptureRequest,
    config: CompilationConfig,
    error: SpecializedDim,
    *,
    wishes: Wishes,
    fix: CompileTarget | None,
) -> CheckResult:
    """The model fixes a dim at the example's size: VARIANTS is what may help."""
    used = matching(_names_of_dim(request, error), wishes.allow)
    trials: tuple[FixTrial, ...] = ()
    patient = _patient_without_graph(request, config) if wishes.try_fixes or fix else None
    if patient is not None:
        trials = (_authors(patient, fix, config),) if fix is not None else ()
        trials += (timed(try_variants, patient),) if wishes.try_fixes and not used else ()
    unmatched = tuple(each for each in wishes.allow if each not in used)
    return CheckResult("", fixed_dim=error, trials=trials, allowed=bool(used), unmatched=unmatched)


def _names_of_dim(request: CaptureRequest, error: SpecializedDim) -> set[str]:
    """What a fixed dim may be called: ``x.size(0)``, ``n``, ``n == 4``, ``file:line``."""
    _, dims = named_dims(request)
    names = {f"{error.path}.size({error.dim})"}
    names |= {str(d.name) for d in dims if (d.path, d.dim) == (error.path, error.dim)}
    names |= {f"{name} == {error.value}" for name in names}
    if isinstance(error.location, SourceLocation):
        names |= names_of_place(error.location)
    return names


def _patient_without_graph(request: CaptureRequest, config: CompilationConfig) -> Patient | None:
    """What to try fixes on: a graph of another size stands for the model; None without one."""
    shapes = replace(config.dynamic_shapes, evaluate_guards=False)
    variants = config.replace(guard_policy=GuardPolicy.VARIANTS, dynamic_shapes=shapes)
    try:
        captured = capture_general(request, variants)
    except ExplorerError:
        return None
    example = sizes_of_call(request)
    points = _points_around(example, min(config.max_size, LARGEST_ANSWERED_SIZE))
    return Patient(captured, variants, points, (), kept=(example,))


def _points_around(sizes: Mapping[str, int], largest: int) -> list[dict[str, int]]:
    """Points where every size is another one: beside the example, and powers of two."""
    powers: list[int] = [2**exponent for exponent in range(1, largest.bit_length())]
    near: list[dict[str, int]] = []
    near += [{name: size + step for name, size in sizes.items()} for step in (-1, 1, 2)]
    near += [{name: 2 * size + 1 for name, size in sizes.items()}]
    near += [dict.fromkeys(sizes, power) for power in powers if power not in sizes.values()]
    unique = {tuple(each.items()): each for each in near}
    return [
        each
        for each in unique.values()
        if all(0 < size <= largest and size != sizes[name] for name, size in each.items())
    ]


def as_json(result: CheckResult) -> dict[str, Any]:
    """The result as plain data, for machines; ``explorer check --json`` prints it."""
    from explorer.report.check_view import check_view

    return check_view(result)
