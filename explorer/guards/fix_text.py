"""A diagnosis in, what may help out: what was tried, what it came to, what is only advice."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.artifacts.diagnosed import Diagnosis, FindingKind, FixTrial, TrialOutcome
from explorer.guards.fixes import FIXES, Fix, Situation, fix_of
from explorer.guards.intervals_text import points_text
from explorer.guards.lines import wrapped
from explorer.report.wording import clean

_MARKS = {
    TrialOutcome.WORKS: "ok",
    TrialOutcome.LOUD: "!!",
    TrialOutcome.WRONG: "no",
    TrialOutcome.FAILS: "no",
    TrialOutcome.NOT_APPLICABLE: "--",
}
_RANKS = {"ok": 0, "!!": 1, "--": 2, "no": 3}
_TESTS = frozenset({FindingKind.BRANCH, FindingKind.LOOP, FindingKind.INT})
_ABOUT_TWO_SIDES = ("torch.cond", "torch.where")
_ABOUT_TESTS = (*_ABOUT_TWO_SIDES, "custom_op", "split_submodules", "specialize_on")


def fix_lines(diagnosis: Diagnosis) -> list[str]:
    """What may help with what is not allowed; empty when nothing is wrong and nothing was tried."""
    tried = {each.fix: each for each in diagnosis.trials}
    open_kinds = {each.kind for each in diagnosis.findings if not each.is_allowed and each.points}
    if not tried and (not open_kinds or diagnosis.policy == "VARIANTS"):
        return []
    lines = ["FIX" if tried else "FIX   (none was tried here: `explorer check` does)"]
    for trial in sorted(tried.values(), key=lambda each: _RANKS[_MARKS[each.outcome]]):
        if _MARKS[trial.outcome] in ("ok", "!!"):
            lines += trial_lines(trial)
    untried = [each for each in _for_kinds(FIXES, open_kinds) if each.id not in tried]
    lines += [line for fix in untried if fix.helps for line in _advice(fix)]
    for mark in ("--", "no"):
        lines += [
            line
            for trial in tried.values()
            if _MARKS[trial.outcome] == mark
            for line in trial_lines(trial)
        ]
    return lines + [line for fix in untried if not fix.helps for line in _advice(fix)]


def _for_kinds(fixes: Iterable[Fix], kinds: set[FindingKind]) -> list[Fix]:
    """Fixes that fit: a number has no two sides, and an operator's condition is no test to move."""
    left_out: tuple[str, ...] = ()
    if kinds == {FindingKind.VALUE}:
        left_out = (*_ABOUT_TESTS, "unbacked", "torch._check")
    elif not kinds & _TESTS:
        left_out = _ABOUT_TESTS
    elif FindingKind.BRANCH not in kinds:
        left_out = _ABOUT_TWO_SIDES
    return [
        each
        for each in fixes
        if kinds and each.id not in left_out and Situation.SIZE_TEST in each.situations
    ]


def trial_lines(trial: FixTrial) -> list[str]:
    """A fix that was tried, with its mark."""
    title = "your own version" if trial.fix == "author" else fix_of(trial.fix).title
    text = trial.text
    if trial.outcome is TrialOutcome.WORKS:
        text += f"; compiled, and equal to eager at {points_text(trial.compared)}"
    lines = [f"  {_MARKS[trial.outcome]}  {title}"]
    lines += wrapped(f"tried: {text} ({trial.seconds:.1f} s)", indent=" " * 6)
    return lines + [f"      {clean(line)}".rstrip() for line in trial.diff.splitlines()]


def _advice(fix: Fix) -> list[str]:
    mark, state = ("--", "not tried: ") if fix.helps else ("no", "")
    text = f"{state}{fix.description} {fix.warnings[0]}"
    return [f"  {mark}  {fix.title}", *wrapped(text, indent=" " * 6)]
