"""A compilation in, something to look at out: HTML on notebook and exported pages, else text."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from explorer import Compilation, CompilationDiff, Coverage, Diagnosis, GuardAudit, Timings
from explorer.artifacts.accounted import CompileAccount
from explorer.report import text as report_text
from explorer.report.diff_view import diff_html
from widgets.picture import static_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from widgets.read_only import ReadOnlyPanel

_FIGURE = "matplotlib.figure.Figure"


@dataclass(frozen=True, eq=False)
class StaticView:
    """What ``show`` returns without ipywidgets: it needs neither a kernel nor a script.

    Attributes:
        compilation: what it shows.
    """

    compilation: Compilation

    def __repr__(self) -> str:
        return report_text.summary(self.compilation)

    def _repr_html_(self) -> str:
        return static_html(self.compilation)


def show(compilation: Compilation) -> ReadOnlyPanel | StaticView:
    """The panel of a compilation without controls; without the notebook extra its static form.

    Args:
        compilation: from ``CompiledModel.compilation`` or ``Session.compilation``.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(compilation, Compilation):
        raise TypeError(
            f"show takes a Compilation, not {type(compilation).__name__}: a compiled model and a "
            f"session have one in .compilation."
        )
    try:
        from widgets.read_only import ReadOnlyPanel
    except ModuleNotFoundError as error:
        if error.name not in ("ipywidgets", "anywidget"):
            raise
        return StaticView(compilation)
    return ReadOnlyPanel(compilation)


def register_displays() -> bool:
    """Makes what ``explorer`` hands out show itself in cells; may be repeated.

    These are compilations, their differences and accounts, audits, diagnoses, coverages, timings,
    and the figures of timings, which a notebook shows by itself only after pyplot was imported.

    Returns:
        Whether IPython runs; elsewhere there is nothing to register.
    """
    try:
        from IPython import get_ipython
    except ModuleNotFoundError:
        return False
    shell = get_ipython()
    if shell is None:
        return False
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(Compilation, static_html)
    formatters["text/html"].for_type(CompilationDiff, diff_html)
    formatters["text/plain"].for_type(Compilation, _print_summary)
    formatters["text/plain"].for_type(CompilationDiff, _print_diff)
    for kind in (GuardAudit, Diagnosis, Coverage, Timings, CompileAccount):
        formatters["text/html"].for_type(kind, _own_html)
        formatters["text/plain"].for_type(kind, _print_report)
    if not any(_FIGURE in formatters[kind] for kind in ("image/png", "image/svg+xml")):
        module, _, name = _FIGURE.rpartition(".")
        formatters["image/png"].for_type_by_name(module, name, _png)
    return True


def _png(figure: Figure) -> bytes:
    content = BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight")
    return content.getvalue()


def _own_html(shown: Any) -> str:
    return shown._repr_html_()


def _print_summary(compilation: Compilation, printer: Any, _cycle: bool) -> None:
    printer.text(report_text.summary(compilation))


def _print_diff(diff: CompilationDiff, printer: Any, _cycle: bool) -> None:
    printer.text(str(diff))


def _print_report(shown: Any, printer: Any, _cycle: bool) -> None:
    printer.text(shown.report().rstrip("\n"))


__all__ = ["StaticView", "diff_html", "register_displays", "show"]
