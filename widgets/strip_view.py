"""The pieces of a model in a row: what is the same has one colour, what splits is hatched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from explorer import Compilation
from explorer.artifacts import UniquePieces
from explorer.planned_compilation import PlannedCompilation
from explorer.report.strip_view import strip_view
from explorer.report.wording import duration_text, label_of
from widgets.view import View, script, style

_LONGEST_MARK = 200


class StripView(View):
    """The strip: always in sight, above the other views.

    Attributes:
        view: see ``explorer.report.strip_view.strip_view``.
        microseconds: of each piece in one call, None where it was not measured; empty when nothing
            was.
        times: the same in words.
        marks: piece index -> what is wrong there: a guard that was dropped or violated.
        warning: one line for all marks, shown at the end of the legend.
        width_by: ``nodes`` or ``time``: what the widths of cells stand for.
    """

    _esm = script("controls", "strip_view")
    _css = style("controls", "strip_view")

    microseconds: Any = traitlets.List(traitlets.Float(allow_none=True)).tag(sync=True)
    times: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    marks: Any = traitlets.Dict().tag(sync=True)
    warning = traitlets.Unicode("").tag(sync=True)
    width_by = traitlets.Enum(["nodes", "time"], "nodes").tag(sync=True)

    def show(self, source: Compilation | UniquePieces) -> None:
        """Shows the pieces of a compilation; times and marks of another one go."""
        self._begin()
        self.view = strip_view(source)

    def show_plan(self, planned: PlannedCompilation) -> None:
        """Shows a split that is not compiled yet: dashed, and without selection."""
        self._begin()
        self.view = strip_view(planned)

    def _begin(self) -> None:
        with self.hold_sync():
            self.microseconds, self.marks, self.warning = [], {}, ""

    @traitlets.validate("marks")
    def _clean_marks(self, proposal: traitlets.Bunch) -> Mapping[str, str]:
        return {
            str(int(at)): label_of(text, _LONGEST_MARK) for at, text in proposal["value"].items()
        }

    @traitlets.validate("warning")
    def _clean_warning(self, proposal: traitlets.Bunch) -> str:
        return label_of(proposal["value"], _LONGEST_MARK)

    @traitlets.observe("microseconds")
    def _say_times(self, _change: object) -> None:
        values: Sequence[float | None] = self.microseconds
        self.times = ["" if each is None else duration_text(each) for each in values]

    def __repr__(self) -> str:
        return f"StripView({self.view.get('text', 'no pieces')})"
