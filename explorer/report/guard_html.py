"""A guard view in, a static fragment of HTML out; and the same of a diagnosis or a coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from explorer.artifacts.covered import Coverage
from explorer.artifacts.diagnosed import Diagnosis
from explorer.report.guard_results_view import coverage_view
from explorer.report.guard_svg import guard_svg, map_text
from explorer.report.guard_view import diagnosis_view
from explorer.report.html import styles
from explorer.report.markup import (
    Column,
    bullets,
    code_block,
    details,
    escaped,
    paragraph,
    sentences,
    table,
)

_SITES = (
    Column("place", "line"),
    Column("test", "test", kind="code"),
    Column("text", "asks", kind="code"),
    Column("words", "answer"),
)
_CONDITIONS = (
    Column("text", "right only where", kind="code"),
    Column("made_by", "made by"),
    Column("place", "line"),
    Column("code", "code", kind="code"),
)
_SEGMENTS = (Column("text", "sizes"),)
_MOST_SEGMENTS = 60


def guard_html(view: Mapping[str, Any]) -> str:
    """The whole view, to read only: no script, nothing is loaded.

    Args:
        view: of ``guard_view`` or ``diagnosis_view``.
    """
    parts = [
        f"<style>{styles('fragment.css', 'report.css')}</style>",
        f"<strong>{escaped(view['lead'])}</strong>",
        paragraph(" ".join(each for each in (_status(view), view["policy_text"]) if each)),
        guard_svg(view),
        *_axis_tables(view),
        *(_finding(each) for each in view["findings"]),
        *_tables(view),
        *_fixes(view),
        *_coverage(view["coverage"]),
        *(_trial(each) for each in view["trials"]),
    ]
    return f'<div class="explorer-report">{"".join(parts)}</div>'


def _status(view: Mapping[str, Any]) -> str:
    return f"The audit is {view['status']}." if view["audited"] else ""


def _axis_tables(view: Mapping[str, Any]) -> list[str]:
    parts = []
    for axis in view["axes"]:
        rows = axis["segments"][:_MOST_SEGMENTS]
        more = len(axis["segments"]) - len(rows)
        note = paragraph(f"and {more:,} more") if more else ""
        parts.append(details(f"{axis['text']}: the axis as a table", table(rows, _SEGMENTS), note))
    if view["map"]:
        parts.append(details("the map as text", code_block("\n".join(map_text(view["map"])[2:]))))
    return parts


def _finding(finding: Mapping[str, Any]) -> str:
    place = f" · {escaped(finding['place'])}" if finding["place"] else ""
    return (
        f"<p><strong>✗ {escaped(finding['title'])}</strong>{place} "
        f"<code>{escaped(finding['code'])}</code></p>{sentences(finding['sentences'])}"
    )


def _tables(view: Mapping[str, Any]) -> list[str]:
    parts = []
    if view["sites"]:
        parts.append(details("tests on sizes", table(view["sites"], _SITES)))
    if view["conditions"]:
        parts.append(details("conditions of the graph", table(view["conditions"], _CONDITIONS)))
    if not view["audited"] and view["specializations"]:
        parts.append(bullets(each["text"] for each in view["specializations"]))
    bad = [f"⚠ {each['text']}" for each in view["notes"] if each["is_bad"]]
    parts += [sentences(bad)] if bad else []
    good = [each["text"] for each in view["notes"] if not each["is_bad"]]
    return parts + ([details("what else is known", sentences(good))] if good else [])


def _fixes(view: Mapping[str, Any]) -> list[str]:
    if not view["fixes"]:
        return []
    parts = []
    for each in view["fixes"]:
        body = paragraph(each["text"]) + (code_block(each["diff"]) if each["diff"] else "")
        parts.append(details(f"{each['mark']} {each['words']}: {each['title']}", body))
    return [details(f"what helps: {view['fixes_text']}", *parts)]


def _coverage(coverage: Mapping[str, Any] | None) -> list[str]:
    if coverage is None:
        return []
    texts = [*(each["text"] for each in coverage["regions"]), *coverage["uncovered"]]
    texts += [coverage["fails_text"]] if coverage["fails_text"] else []
    return [paragraph(coverage["summary"]), bullets(texts)]


def _trial(trial: Mapping[str, Any]) -> str:
    columns: Sequence[Mapping[str, Any]] = trial["columns"]
    rows = [{**each, "head": each["head"]} for each in columns]
    shown = (
        Column("head", f"tried {trial['sizes_text']}: {trial['outcome']}"),
        Column("text", "returned", kind="code"),
        Column("difference", "beside the model"),
    )
    return table(rows, shown) + paragraph(trial["policy"])


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """A diagnosis as it is."""
    return guard_html(diagnosis_view(diagnosis))


def coverage_text(coverage: Coverage) -> str:
    """Which graph serves which sizes, a line each."""
    view = coverage_view(coverage)
    texts = [*(each["text"] for each in view["regions"]), *view["uncovered"], view["fails_text"]]
    return "\n".join([view["summary"], *(f"  {each}" for each in texts if each)]) + "\n"


def coverage_html(coverage: Coverage) -> str:
    """Which graph serves which sizes, as an axis where there is one dimension, and in words."""
    view = coverage_view(coverage)
    axes: list[dict[str, Any]] = []
    if len(coverage.dimensions) == 1:
        ((first, last),) = coverage.domain.values()
        name = view["dimensions"][0]
        axes.append(
            {
                "name": name,
                "first": first,
                "last": last,
                "text": f"{name} = {first}–{last}",
                "segments": [],
                "ranges": [],
                "exact": [],
                "ticks_text": "",
            }
        )
    picture = guard_svg({"axes": axes, "lead": view["summary"], "coverage": view})
    return (
        f"<style>{styles('fragment.css', 'report.css')}</style>"
        f'<div class="explorer-report">{picture}{"".join(_coverage(view))}</div>'
    )


__all__ = ["coverage_html", "coverage_text", "diagnosis_html", "guard_html"]
