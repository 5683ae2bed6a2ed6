"""A diagnosis in, what may help out: what was tried, what it came to, what is only advice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class FixNote:
    """What is known of one fix.

    Attributes:
        mark: ``ok`` it works, ``!!`` the silent case is an error now, ``--`` advice, ``no`` it does
            not help.
        title: of the fix.
        text: what was seen when it was tried, or what it does and what to look out for.
        diff: what it changes in the source, as a unified diff; empty when nothing.
        seconds: that trying took; None when it was not tried.
    """

    mark: str
    title: str
    text: str
    diff: str = ""
    seconds: float | None = None


def fix_lines(diagnosis: Diagnosis) -> list[str]:
    """What may help with what is not allowed; empty when nothing is wrong and nothing was tried."""
    notes = fix_notes(diagnosis)
    if not notes and not diagnosis.trials:
        return []
    untried = "   (none was tried here: `explorer check` does, without --no-try)"
    heading = "FIX" if diagnosis.trials else f"FIX{untried}"
    return [heading, *(line for each in notes for line in _note_lines(each))]


def fix_notes(diagnosis: Diagnosis) -> list[FixNote]:
    """What may help with what is not allowed, what works first."""
    tried = {each.fix: each for each in diagnosis.trials}
    open_kinds = {each.kind for each in diagnosis.findings if not each.is_allowed and each.points}
    if not tried and (not open_kinds or diagnosis.policy == "VARIANTS"):
        return []
    seen = [_note_of_trial(each) for each in tried.values()]
    seen.sort(key=lambda each: _RANKS[each.mark])
    untried = [each for each in _for_kinds(FIXES, open_kinds) if each.id not in tried]
    return [
        *(each for each in seen if each.mark in ("ok", "!!")),
        *(_advice(fix) for fix in untried if fix.helps),
        *(each for each in seen if each.mark in ("--", "no")),
        *(_advice(fix) for fix in untried if not fix.helps),
    ]


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
    return _note_lines(_note_of_trial(trial))


def _note_of_trial(trial: FixTrial) -> FixNote:
    title = "your own version" if trial.fix == "author" else fix_of(trial.fix).title
    text = trial.text
    if trial.outcome is TrialOutcome.WORKS:
        text += f"; compiled, and equal to eager at {points_text(trial.compared)}"
    mark = _MARKS[trial.outcome]
    return FixNote(mark, title, f"tried: {text}", trial.diff, trial.seconds)


def _advice(fix: Fix) -> FixNote:
    mark, state = ("--", "not tried: ") if fix.helps else ("no", "")
    return FixNote(mark, fix.title, f"{state}{fix.description} {fix.warnings[0]}")


def _note_lines(note: FixNote) -> list[str]:
    took = "" if note.seconds is None else f" ({note.seconds:.1f} s)"
    lines = [f"  {note.mark}  {note.title}", *wrapped(f"{note.text}{took}", indent=" " * 6)]
    return lines + [f"      {clean(line)}".rstrip() for line in note.diff.splitlines()]
