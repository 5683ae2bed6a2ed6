"""At which sizes the compiled model is wrong, why, and what helps; a person can try sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import traitlets

from explorer import Compilation, Coverage, Diagnosis
from explorer.report.guard_results_view import coverage_view, trial_view
from explorer.report.guard_view import guard_view
from explorer.report.wording import clean, counted, shortened
from explorer.trying import Trial
from widgets.status_view import LONGEST_MESSAGE
from widgets.view import View, script, style

MOST_TRIALS = 8
"""Trials that are kept; the oldest go first."""


class GuardView(View):
    """The axis of sizes, the lines that decide it, fixes, and boxes to try a size or cover all.

    It says what a person wants; who made it runs that and hands the results back. Its intents:

    - ``select`` with ``kind`` and ``key``: ``site``, ``guard``, ``line`` or ``none``;
    - ``audit`` with ``domain``, a text that ``parse_domain`` reads, empty for the default;
    - ``try`` with ``sizes``: name -> whole number; see ``sizes_of``;
    - ``fixes``: a diagnosis with ``try_fixes``;
    - ``cover`` with ``domain``, such a text.

    Attributes:
        trials: ``trial_view`` of each trial, oldest first.
        coverage: ``coverage_view``; empty before something was covered.
        busy: what is being done, in words; empty for nothing. Buttons wait for it.
        problem: what went wrong, in words; empty for nothing.
        names: what the domain of an audit may name.
    """

    _esm = script("guard_axis", "guard_parts", "guard_view")
    _css = style("guard_view")

    trials = traitlets.List().tag(sync=True)
    coverage = traitlets.Dict().tag(sync=True)
    busy = traitlets.Unicode().tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._compilation: Compilation | None = None

    def show(self, compilation: Compilation, diagnosis: Diagnosis | None = None) -> None:
        """Shows a compilation; what was tried with another one is forgotten.

        Args:
            compilation: what is looked at.
            diagnosis: of it, if there is one already.
        """
        with self.hold_sync():
            if compilation is not self._compilation:
                self.trials, self.coverage, self.problem = [], {}, ""
            self._compilation = compilation
            self.view = guard_view(compilation, diagnosis)

    def set_diagnosis(self, diagnosis: Diagnosis) -> None:
        """Shows what is known of the sizes now.

        Args:
            diagnosis: of the compilation that is shown.
        """
        if self._compilation is not None:
            self.view = guard_view(self._compilation, diagnosis)

    def set_trial(self, trial: Trial) -> None:
        """Adds the result of a trial."""
        self.trials = [*self.trials, trial_view(trial)][-MOST_TRIALS:]

    def set_trials(self, trials: Sequence[Trial]) -> None:
        """Shows these trials, oldest first, in the place of those before."""
        self.trials = [trial_view(each) for each in trials][-MOST_TRIALS:]

    def set_coverage(self, coverage: Coverage) -> None:
        """Shows which graph serves which sizes."""
        self.coverage = coverage_view(coverage)

    def set_problem(self, text: object) -> None:
        """Shows what went wrong.

        Args:
            text: an error, or its text; empty takes away what is shown.
        """
        self.problem = shortened(clean(text), LONGEST_MESSAGE)

    @property
    def names(self) -> tuple[str, ...]:
        """What varies, by the names that ``parse_domain`` and a trial know."""
        return tuple(each["key"] for each in self.view.get("inputs", ()))

    def forget(self) -> None:
        """Forgets the compilation."""
        self._compilation = None

    def __repr__(self) -> str:
        if not self.view:
            return "GuardView()"
        state = "audited" if self.view["audited"] else "not audited"
        findings = counted(len(self.view["findings"]), "finding")
        return f"GuardView({state}, {findings}, {counted(len(self.trials), 'trial')})"
