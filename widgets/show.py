"""A compilation in, something to look at out: HTML on notebook and exported pages, else text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer import Compilation, CompilationDiff
from explorer.report import text as report_text
from explorer.report.diff_view import diff_html
from widgets.picture import static_html


@dataclass(frozen=True, eq=False)
class StaticView:
    """What ``show`` returns; it needs neither a kernel nor a script once it is on a page.

    Attributes:
        compilation: what it shows.
    """

    compilation: Compilation

    def __repr__(self) -> str:
        return report_text.summary(self.compilation)

    def _repr_html_(self) -> str:
        return static_html(self.compilation)


def show(compilation: Compilation) -> StaticView:
    """The strip, the tables and the graph of a compilation, to read only.

    Args:
        compilation: from ``CompiledModel.compilation`` or ``Session.compilation``.
    """
    if not isinstance(compilation, Compilation):
        raise TypeError(
            f"show takes a Compilation, not {type(compilation).__name__}: a compiled model and a "
            f"session have one in .compilation."
        )
    return StaticView(compilation)


def register_displays() -> bool:
    """Makes compilations and their differences show themselves in cells; may be repeated.

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
    return True


def _print_summary(compilation: Compilation, printer: Any, _cycle: bool) -> None:
    printer.text(report_text.summary(compilation))


def _print_diff(diff: CompilationDiff, printer: Any, _cycle: bool) -> None:
    printer.text(str(diff))


__all__ = ["StaticView", "diff_html", "register_displays", "show"]
