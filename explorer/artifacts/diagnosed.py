"""Diagnosis: why a capture is not right everywhere, what it returns there, what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from explorer.artifacts.audited import AuditStatus, GuardAudit, Violation
from explorer.artifacts.common import SourceLocation
from explorer.artifacts.guards import BranchSite, Specialization


class AnswerKind(Enum):
    """What the captured graph does at a point, beside the model as it is."""

    SAME = "same"
    WRONG = "wrong"
    """It returns something else, without an error."""
    RAISES = "raises"
    """It fails, and the model does not."""
    EAGER_FAILS = "eager fails"
    NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Answer:
    """What the captured graph returns at one point when nothing checks the call.

    Attributes:
        sizes: name of a size or an int argument -> value.
        kind: what it came to.
        problem: the difference, or the error, in words.
        largest: largest difference of two elements, where there is one.
    """

    sizes: Mapping[str, int]
    kind: AnswerKind
    problem: str = ""
    largest: float | None = None


class FindingKind(Enum):
    """What kind of assumption does not hold everywhere."""

    BRANCH = "baked branch"
    LOOP = "unrolled loop"
    INT = "baked number"
    OPERATOR = "assumption of an operator"
    CHECK = "declared limit"
    FRAMEWORK = "assumption of the framework"
    VALUE = "baked value"
    OTHER = "condition"


@dataclass(frozen=True, eq=False)
class Finding:
    """One line of the model, or one assumption, that is wrong at some sizes.

    Attributes:
        kind: what it is.
        violations: the conditions that it made, one for a plain branch, several for a loop.
        site: the test in the source, where there is one.
        location: the line, where known.
        frozen: what the graph does there, as ``returns `x + 1```; empty when it is not known.
        other: what the other side does.
        points: how many points of the domain are wrong because of it.
        answers: what the graph returns at some of them, wrong answers first; where several tests
            went another way, those at which this one was the first.
        hidden: tests on the side that was not taken.
        is_allowed: whether the author said that it is meant to be so.
    """

    kind: FindingKind
    violations: tuple[Violation, ...]
    site: BranchSite | None
    location: SourceLocation | None
    frozen: str
    other: str
    points: int
    answers: tuple[Answer, ...]
    hidden: tuple[BranchSite, ...] = ()
    is_allowed: bool = False


class TrialOutcome(Enum):
    """What trying a fix came to."""

    WORKS = "works"
    """Compiled, and equal to eager at every probe."""
    LOUD = "loud"
    """The silent case is an error now."""
    WRONG = "wrong"
    """Compiled, and not equal to eager at some probe."""
    FAILS = "fails"
    """It could not be compiled."""
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class FixTrial:
    """A fix that was tried on this model.

    Attributes:
        fix: id of the fix in ``explorer.guards.fixes``, or ``author`` for the author's own version.
        outcome: what it came to.
        text: what was seen, in a sentence.
        compared: points at which it was compared with eager.
        mismatches: at how many of them it was not equal.
        diff: what it changes in the source, as a unified diff; empty when nothing.
        seconds: wall seconds.
    """

    fix: str
    outcome: TrialOutcome
    text: str
    compared: tuple[Mapping[str, int], ...] = ()
    mismatches: int = 0
    diff: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What is wrong with one capture, at which sizes, and what helps.

    Attributes:
        audit: for which sizes the graph is right.
        policy: the guard policy, which says what happens at the others.
        hints: size name -> size of the example that was traced.
        findings: what is wrong where, the largest first.
        specializations: inputs that became constants, allowed ones left out.
        traps: other things in the source that will go wrong, one sentence each.
        trials: the fixes that were tried; empty when none was.
        checked: points at which the graph was found equal to eager although nothing checked it.
        mismatches: points that the audit calls right where it was not.
        allowed: what the author allowed.
        unmatched: what the author allowed and was not found.
        evaluates_guards: whether ``dynamic_shapes.evaluate_guards`` is on, which fails a call at a
            size that a test does not hold for, whatever the policy.
    """

    audit: GuardAudit
    policy: str
    hints: Mapping[str, int]
    findings: tuple[Finding, ...]
    specializations: tuple[Specialization, ...]
    traps: tuple[str, ...]
    trials: tuple[FixTrial, ...]
    checked: tuple[Mapping[str, int], ...]
    mismatches: tuple[Answer, ...]
    allowed: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    evaluates_guards: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong that the author did not allow."""
        known = self.audit.status is not AuditStatus.UNKNOWN
        wrong = [each for each in self.findings if not each.is_allowed]
        return known and not wrong and not self.specializations and not self.mismatches

    def report(self) -> str:
        """The diagnosis in words."""
        from explorer.guards import diagnose

        return diagnose.diagnosis_text(self)

    def _repr_html_(self) -> str:
        from explorer.report import guard_html

        return guard_html.diagnosis_html(self)
