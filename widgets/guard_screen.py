"""The Guards tab: audits, tries of sizes, fixes, variants, each beside the main thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer import Compilation, ConfigError
from explorer.trying import try_size
from widgets.findings import Findings
from widgets.looking import Look
from widgets.screens import Screen
from widgets.view import View

MOST_TRIALS = 8
"""Tries that are kept."""


class GuardScreen(Screen):
    """At which sizes the graph is right, why not, and what helps."""

    name = "Guards"

    def make(self) -> View:
        """A widget without data."""
        from widgets.guard_view import GuardView

        return GuardView()

    def draw(self, compilation: Compilation, found: Findings) -> None:
        """The axis, the tests in the source, and what was found out."""
        from widgets.guard_view import GuardView

        view = self.made
        assert isinstance(view, GuardView)
        view.show(compilation, found.diagnosis, coverage=found.coverage, trials=found.trials)

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
        domain = domain_of(compilation, text)
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
        if not isinstance(sizes, Mapping) or not all(
            isinstance(value, int) and not isinstance(value, bool) for value in sizes.values()
        ):
            raise ConfigError("Sizes to try are numbers by name, such as n = 4.")
        session = self.viewer.running_session()
        point = {str(name): value for name, value in sizes.items()}

        def look(look: Look) -> None:
            trial = try_size(session, point)
            look.cancel.raise_if_cancelled()
            found.trials = [*found.trials, trial][-MOST_TRIALS:]

        text = ", ".join(f"{name} = {value}" for name, value in point.items())
        self._look(f"trying {text}", look, compilation)

    def cover(self, compilation: Compilation, found: Findings, text: str) -> None:
        """Captures the variants that a domain needs; the axis fills as they come.

        Raises:
            ConfigError: the text is no domain, or the policy captures no variants.
        """
        domain = domain_of(compilation, text)
        session = self.viewer.running_session()

        def look(look: Look) -> None:
            found.coverage = session.model().cover(
                domain, progress=look.progress, cancel=look.cancel
            )

        self._look("covering", look, compilation)

    def _look(self, what: str, look: Any, compilation: Compilation) -> None:
        from widgets.guard_view import GuardView

        view = self.widget
        assert isinstance(view, GuardView)

        def shown(given: Look) -> None:
            view.busy, view.problem = what, ""
            try:
                look(given)
            finally:
                view.busy = ""

        self.viewer.look(what, shown, key=f"{self.name} {what}", compilation=compilation)
