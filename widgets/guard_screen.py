"""The Guards tab: audits, tries of sizes, fixes, variants, each beside the main thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from explorer import Compilation, Coverage
from explorer.trying import try_size
from widgets.domain_text import parse_domain, sizes_of
from widgets.findings import Findings
from widgets.guard_view import MOST_TRIALS, GuardView
from widgets.looking import Look
from widgets.screens import Screen
from widgets.view import View


class GuardScreen(Screen):
    """At which sizes the graph is right, why not, and what helps."""

    name = "Guards"

    def make(self) -> View:
        """A widget without data."""
        return GuardView()

    def draw(self, compilation: Compilation, found: Findings) -> None:
        """The axis, the tests in the source, and what was found out."""
        view = self._view
        view.show(compilation, found.diagnosis)
        view.set_trials(found.trials)
        if found.coverage is not None:
            view.set_coverage(found.coverage)

    @property
    def _view(self) -> GuardView:
        view = self.widget
        assert isinstance(view, GuardView)
        return view

    def opened(self, compilation: Compilation, found: Findings) -> None:
        """Audits, where nobody has yet."""
        if found.diagnosis is None:
            self.audit(compilation, found)

    def on_intent(self, name: str, details: Mapping[str, Any]) -> None:
        """Audits, tries a size, tries fixes, or covers a domain."""
        compilation = self.viewer.compilation
        assert compilation is not None
        found = self.viewer.findings[compilation]
        if name == "audit":
            self.audit(compilation, found, str(details.get("domain") or ""))
        elif name == "fixes":
            self.audit(compilation, found, try_fixes=True)
        elif name == "try":
            self.try_sizes(compilation, found, details.get("sizes"))
        elif name == "cover":
            self.cover(compilation, found, str(details.get("domain") or ""))

    def audit(
        self, compilation: Compilation, found: Findings, text: str = "", *, try_fixes: bool = False
    ) -> None:
        """Finds out where the graph is right, and with ``try_fixes`` what helps.

        Raises:
            ConfigError: the text is no domain.
        """
        domain = parse_domain(text, self._view.names)
        what = "trying fixes" if try_fixes else "auditing the guards"

        def look(look: Look) -> None:
            diagnosis = compilation.diagnose(domain, try_fixes=try_fixes)
            look.cancel.raise_if_cancelled()
            found.diagnosis = diagnosis

        self._look(what, look, compilation)

    def try_sizes(self, compilation: Compilation, found: Findings, sizes: object) -> None:
        """Runs the model and the compiled model at one point.

        Raises:
            ConfigError: these are no sizes, or the compilation cannot be run.
        """
        point = sizes_of(sizes)
        session = self.viewer.running_session()

        def look(look: Look) -> None:
            trial = try_size(session, point)
            look.cancel.raise_if_cancelled()
            found.trials = [*found.trials, trial][-MOST_TRIALS:]
            self.viewer.status.say(f"last call {trial.sizes_text}: {trial.policy}")

        text = ", ".join(f"{name} = {value}" for name, value in point.items())
        self._look(f"trying {text}", look, compilation)

    def cover(self, compilation: Compilation, found: Findings, text: str) -> None:
        """Captures the variants that a domain needs; the axis fills as they come.

        Raises:
            ConfigError: the text is no domain, or the policy captures no variants.
        """
        domain = parse_domain(text, self._view.names)
        session = self.viewer.running_session()

        def fills(coverage: Coverage) -> None:
            found.coverage = coverage
            if self.viewer.compilation is compilation:
                self._view.set_coverage(coverage)

        def look(look: Look) -> None:
            fills(
                session.model().cover(
                    domain, progress=look.progress, cancel=look.cancel, partial=fills
                )
            )

        self._look("covering", look, compilation)

    def _look(self, what: str, look: Callable[[Look], None], compilation: Compilation) -> None:
        """Starts a look; the view says that it goes on, and what went wrong."""

        def shown(given: Look) -> None:
            view = self._view
            view.busy, view.problem = what, ""
            try:
                look(given)
            except Exception as error:
                view.set_problem(error)
                raise
            finally:
                view.busy = ""

        self.viewer.look(what, shown, key=f"{self.name} {what}", compilation=compilation)
