"""A compilation in, something to look at out: HTML on notebook and exported pages, else text."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer import Compilation, CompilationDiff, Coverage, Diagnosis, GuardAudit, Timings
from explorer.artifacts.accounted import CompileAccount
from explorer.report import text as report_text
from explorer.report.wording import clean
from widgets.picture import static_html

if TYPE_CHECKING:
    from widgets.read_only import ReadOnlyPanel

_LEFT = "text-align:left"  # notebooks set numbers and texts to the right


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


def diff_html(diff: CompilationDiff) -> str:
    """What differs between two compilations, as tables; a sentence when nothing does."""
    before, after = diff.guards
    parts = [
        _table("settings", ("setting", "before", "after"), _pairs(diff.config)),
        _table("pieces", ("what changed",), [(line,) for line in diff.pieces]),
        _table("artifacts", ("artifact", "before", "after"), _pairs(diff.artifacts)),
        _table(
            "conditions on sizes",
            ("condition", "now"),
            [*((text, "gone") for text in before), *((text, "new") for text in after)],
        ),
    ]
    return "".join(parts) or "<p>Nothing differs.</p>"


def _pairs(changes: Any) -> list[tuple[str, str, str]]:
    return [(name, _side(before), _side(after)) for name, (before, after) in changes.items()]


def _side(value: object) -> str:
    return "absent" if value is None else str(value)


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    if not body:
        return ""
    head = f"<thead><tr>{_cells('th scope=col', columns)}</tr></thead>"
    return f'<table><caption style="{_LEFT}">{title}</caption>{head}<tbody>{body}</tbody></table>'


def _cells(tag: str, texts: tuple[str, ...]) -> str:
    end = tag.partition(" ")[0]
    return "".join(f'<{tag} style="{_LEFT}">{html.escape(clean(text))}</{end}>' for text in texts)


def register_displays() -> bool:
    """Makes what ``explorer`` hands out show itself in cells; may be repeated.

    These are compilations, their differences and accounts, audits, diagnoses, coverages, timings.

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
    return True


def _own_html(shown: Any) -> str:
    return shown._repr_html_()


def _print_summary(compilation: Compilation, printer: Any, _cycle: bool) -> None:
    printer.text(report_text.summary(compilation))


def _print_diff(diff: CompilationDiff, printer: Any, _cycle: bool) -> None:
    printer.text(str(diff))


def _print_report(shown: Any, printer: Any, _cycle: bool) -> None:
    printer.text(shown.report().rstrip("\n"))
