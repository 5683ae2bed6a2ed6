"""A Compilation in, the sections of its page out: heading, a sentence, a table or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from explorer.report import account_text, views
from explorer.report.graph_svg import GET_DOT, Picture, body_picture, pieces_picture
from explorer.report.markup import (
    Column,
    bullets,
    code_block,
    details,
    escaped,
    letter,
    paragraph,
    section,
    table,
)
from explorer.report.wording import bytes_text, counted, seconds_text

if TYPE_CHECKING:
    from explorer.comparison import Check
    from explorer.compilation import Compilation

MOST_BODIES = 12
"""Unique pieces whose nodes are drawn."""

LONG_TABLE = 30
"""A table with more rows is closed at first."""

_GUARD_MAKERS = {
    "branch": "a test in the model",
    "assert": "an assert in the model",
    "torch._check": "torch._check in the model",
    "int": "a size that is needed as a number",
    "op": "an operator",
    "range": "the capture: bounds that follow from the tests",
    "zero_one": "the framework, which sets sizes 0 and 1 apart",
    "declared": "names or marks that you gave",
    "other": "torch",
}
_LETTER = Column("unique_id", "piece", kind="letter")
GROUPS = (
    _LETTER,
    Column("count", "occurs", lambda count: f"{count}×", "number"),
    Column("pieces", "at", kind="short"),
    Column("nodes", "nodes", kind="number"),
    Column("sizes", "depends on"),
    Column("artifacts", "artifacts", kind="number"),
    Column("seconds", "compile time", seconds_text, "number"),
    Column("modules", "first one spans", kind="code"),
    Column("source", "source lines", kind="code"),
)
ARTIFACTS = (
    _LETTER,
    Column("size_range", "sizes", kind="short"),
    Column("part_of", "part of", kind="short"),
    Column("seconds", "compile time", seconds_text, "bar"),
    Column("bytes", "size", bytes_text, "number"),
    Column("origin", "origin"),
    Column("backend", "backend"),
    Column("guards", "right only where", kind="code"),
    Column("notes", "notes"),
)
_PIECES = (
    Column("index", "#", kind="number"),
    _LETTER,
    Column("nodes", "nodes", kind="number"),
    Column("inputs", "values in", kind="number"),
    Column("weights", "weights in", kind="number"),
    Column("outputs", "values out", kind="number"),
    Column("sizes", "depends on"),
    Column("splits_at", "splits at", kind="code"),
    Column("modules", "spans", kind="code"),
    Column("source", "source lines", kind="code"),
)
GUARDS = (
    Column("text", "condition", kind="code"),
    Column("origin", "made by", lambda origin: _GUARD_MAKERS[origin]),
    Column("at_run_time", "at run time"),
    Column("place", "at", kind="code"),
    Column("code", "line", kind="code"),
)
_SITES = (
    Column("place", "at", kind="code"),
    Column("test", "test", kind="code"),
    Column("kind", "stands in"),
    Column("answers", "answered"),
    Column("recorded_as", "recorded as"),
)
_VALUES = (
    Column("text", "condition", kind="code"),
    Column("at_run_time", "at run time"),
    Column("place", "read at", kind="code"),
)
_DIFFERENCES = (
    Column("a", "piece", kind="letter"),
    Column("b", "and", kind="letter"),
    Column("kind", "differ in"),
    Column("in_a", "first has", kind="code"),
    Column("in_b", "second has", kind="code"),
    Column("source", "at", kind="code"),
    Column("hint", "hint"),
)
_TIMINGS = (
    Column("step", "step"),
    Column("seconds", "wall time", seconds_text, "bar"),
    Column("note", "note"),
)
_INPUTS = (
    Column("path", "input", kind="code"),
    Column("dtype", "dtype"),
    Column("shape", "shape", kind="code"),
    Column("stride", "strides", kind="code"),
    Column("device", "device"),
    Column("written", "may be written", lambda written: "yes" if written else "no"),
)
_REWRITES = (
    Column("kind", "kind"),
    Column("node", "node", kind="code"),
    Column("touched", "read by", kind="code"),
    Column("text", "what was done"),
)
_SKIPPED = (Column("size_range", "sizes", kind="short"), Column("reason", "why"))
_CHECKS = (
    Column("sizes", "sizes", kind="short"),
    Column("result", "result"),
    Column("difference", "largest difference", kind="number"),
    Column("served_by", "served by"),
)


def sections(compilation: Compilation, checks: Sequence[Check]) -> list[str]:
    """Every section after the strip, in order; those that would be empty are left out."""
    graph = views.graph_view(compilation)
    found = [
        _check_section(checks),
        _note_section(compilation),
        _unique_section(compilation),
        _artifact_section(compilation),
        _guard_section(compilation),
        _site_section(compilation),
        _value_section(compilation),
        _graph_section(graph),
        _difference_section(compilation),
        _timing_section(compilation),
        _piece_section(compilation),
        _input_section(compilation),
        _rewrite_section(compilation),
        _stitching_section(compilation),
        _range_section(compilation),
        _generated_section(compilation),
        _source_section(compilation, graph),
    ]
    return [part for part in found if part]


def navigation(found: Sequence[str]) -> str:
    """A link to each section."""
    links = []
    for part in found:
        name = part.partition('id="')[2].partition('"')[0]
        head = part.partition("<h2>")[2].partition("</h2>")[0]  # escaped already
        links.append(f'<a href="#{name}">{head}</a>')
    return f'<nav aria-label="Sections">{"".join(links)}</nav>'


def strip(compilation: Compilation, *, linked: bool) -> str:
    """The pieces in a row, coloured by unique piece; on a page each is a link into the table."""
    cells = []
    for cell in views.strip_cells(compilation):
        label = cell["label"] if cell["colour"] is not None else "▨"
        link = f"piece-{cell['index']}" if linked else ""
        cells.append(f"<li>{letter(label, cell['colour'], cell['title'], link=link)}</li>")
    runs = " ".join(map(str, views.strip_runs(compilation)))
    label = escaped(f"Pieces in execution order: {runs}")
    return f'<ol class="strip" aria-label="{label}">{"".join(cells)}</ol>'


def strip_section(compilation: Compilation) -> str:
    """The strip, with how to read it."""
    splitting = views.splitting_names(compilation)
    text = "The graph of the model, cut into pieces that run from left to right. "
    text += "Pieces with one letter are the same and share what was compiled"
    text += (
        "; a hatched one (▨) is where the graph was cut, and runs as it is." if splitting else "."
    )
    runs = " ".join(map(str, views.strip_runs(compilation)))
    folded = f"<p><code>{escaped(runs)}</code></p>" if len(compilation.pieces) > 1 else ""
    return section("strip", "Pieces", text, strip(compilation, linked=True), folded)


def _check_section(checks: Sequence[Check]) -> str:
    if not checks:
        return ""
    rows = [check.row() for check in checks]
    outcomes = [check.outcome.value for check in checks]
    counts = ", ".join(f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes))
    text = (
        f"The compiled model and the model as it is, run on the same inputs at "
        f"{counted(len(checks), 'size')}, both edges of every range among them: {counts}."
    )
    if "refused" in outcomes:
        text += " Refused: the compiled model said by itself that it is not right there."
    return section("check", "Equal to eager?", text, table(rows, _CHECKS))


def _note_section(compilation: Compilation) -> str:
    notes = views.note_list(compilation)
    return section("notes", "Notes", "", bullets(notes)) if notes else ""


def _unique_section(compilation: Compilation) -> str:
    text = "Each is compiled once per size range, however often it occurs."
    if not compilation.config.dedupe:
        text = "Equal pieces are kept apart (dedupe is off), so each piece is compiled by itself."
    rows = views.group_rows(compilation)
    return section(
        "unique", "Unique pieces", text, table(rows, GROUPS, views.colour_of(compilation))
    )


def _artifact_section(compilation: Compilation) -> str:
    ranges = views.ranges_text(compilation)
    text = f"What the backend made: {ranges}. An exact size wins over its range."
    if any(each.backend == "inductor" and each.seconds for each in compilation.artifacts):
        text += " The first one that a process compiles also pays for starting the compiler."
    parts = [table(views.artifact_rows(compilation), ARTIFACTS, views.colour_of(compilation))]
    skipped = views.skipped_rows(compilation)
    if skipped:
        parts += ["<h3>Not compiled</h3>", table(skipped, _SKIPPED)]
    return section("artifacts", "Artifacts", text, *parts)


def guard_rows(compilation: Compilation) -> list[dict[str, Any]]:
    """The conditions on sizes, with file and line in one column."""
    return _with_place(views.size_guard_rows(compilation))


def _with_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"place": f"{row['file']}:{row['line']}" if row["file"] else ""} for row in rows]


def _guard_section(compilation: Compilation) -> str:
    rows = guard_rows(compilation)
    policy = compilation.config.guard_policy.name
    if not rows:
        return section("guards", "Conditions on sizes", "None: the graph is right at every size.")
    policy_text = {
        "CHECK": "a call where one does not raises an error that names it.",
        "VARIANTS": "a call where one does not is served by another captured graph.",
        "DROP": "calls are not checked, and may get a wrong result where one does not.",
    }[policy]
    text = f"The captured graph is right only where all of these hold. Policy {policy}: "
    text += policy_text
    text += (
        " Size 1 is settled by a capture of its own when it is first called; "
        "size 0 runs the model as it is."
    )
    return section("guards", "Conditions on sizes", text, table(rows, GUARDS))


def _site_section(compilation: Compilation) -> str:
    rows = _with_place(views.site_rows(compilation))
    if not rows:
        return ""
    text = (
        "Where the model's source asks about a size, and what the capture answered. One that is "
        "implied or repeated left no condition; one that was not reached stands on the other side."
    )
    return section("tests", "Tests on sizes", text, table(rows, _SITES))


def _value_section(compilation: Compilation) -> str:
    rows = _with_place(views.value_guard_rows(compilation))
    if not rows:
        return ""
    text = "Python values that the graph has as constants."
    head = counted(len(rows), "condition")
    shown = details(head, table(rows, _VALUES), is_open=len(rows) <= LONG_TABLE)
    return section("values", "Conditions on values", text, shown)


def _graph_section(graph: dict[str, Any]) -> str:
    picture = pieces_picture(graph["pieces"])
    return section("graph", "Graph", picture.text, _drawn(picture))


def _drawn(picture: Picture) -> str:
    return f'<div class="picture">{picture.svg}</div>' if picture.svg else ""


def _difference_section(compilation: Compilation) -> str:
    rows = views.difference_rows(compilation)
    if not rows:
        return ""
    text = "What tells each unique piece from the earlier one that is nearest to it in length."
    colours = views.colour_of(compilation)
    return section("differences", "Why pieces differ", text, table(rows, _DIFFERENCES, colours))


def _timing_section(compilation: Compilation) -> str:
    rows = views.timing_rows(compilation)
    total = sum(row["seconds"] for row in rows)
    text = f"{seconds_text(total)} in all, wall time; the steps in order."
    account = compilation.account
    parts = [
        table(rows, _TIMINGS),
        "<h3>Where the time went</h3>",
        table(account_text.account_rows(account), account_text.COLUMNS),
    ]
    saved = account_text.saved_sentences(account)
    parts += [bullets(saved)] if saved else []
    return section("timings", "Timings", text, *parts)


def _piece_section(compilation: Compilation) -> str:
    rows = views.piece_rows(compilation)
    found = table(rows, _PIECES, views.colour_of(compilation), row_id="piece-")
    head = f"All {counted(len(rows), 'piece')}"
    shown = details(head, found, is_open=len(rows) <= LONG_TABLE)
    text = "Values come from other pieces or from the call, weights are bound once."
    return section("pieces", "Table of pieces", text, shown)


def _input_section(compilation: Compilation) -> str:
    rows = views.input_rows(compilation)
    if not rows:
        return ""
    text = "Tensors of a call as the graph expects them; other strides are copied into these."
    return section("inputs", "Inputs", text, table(rows, _INPUTS))


def _rewrite_section(compilation: Compilation) -> str:
    rows = views.rewrite_rows(compilation)
    if not rows:
        return ""
    found = table(rows, _REWRITES)
    head = counted(len(rows), "rewrite")
    text = "What was changed in the captured graph so that it can be cut anywhere."
    shown = details(head, found, is_open=len(rows) <= LONG_TABLE)
    return section("rewrites", "Rewrites", text, shown)


def _stitching_section(compilation: Compilation) -> str:
    entries = compilation.plan.entries
    text = "The generated function that runs the pieces in order."
    if len(entries) > 1:
        text += (
            f" There are {len(entries)}, one per row of ranges; they differ in the artifacts only."
        )
    block = details("Source", code_block(compilation.stitching_source))
    return section("stitching", "Stitching function", text, block)


def _range_section(compilation: Compilation) -> str:
    found = views.range_differences(compilation)
    if not found:
        return ""
    text = "Each size range of a piece beside the next: the bounds are known to the compiler."
    parts = [bullets(str(each) for each in found)]
    parts += [
        details(f"{each.unique_id} · {each.first} against {each.second}", code_block(each.diff))
        for each in found
        if not each.is_same
    ]
    return section("range-code", "What the ranges change", text, *parts)


def _generated_section(compilation: Compilation) -> str:
    codes = views.generated_codes(compilation)
    if not codes:
        text = f"The backend {views.backend_name(compilation)} does not say what it generated."
        return section("generated", "Generated code", text)
    text = "What runs for each artifact, whole; equal code of several ranges is shown once."
    blocks = [
        details(
            f"{code['unique_id']} · {code['ranges']} · {_line_count(code['code'])}",
            code_block(code["code"]),
        )
        for code in codes
    ]
    return section("generated", "Generated code", text, *blocks)


def _line_count(code: str) -> str:
    return counted(len(code.splitlines()), "line")


def _source_section(compilation: Compilation, graph: dict[str, Any]) -> str:
    blocks, parts = [], []
    for number, unique in enumerate(compilation.unique_pieces):
        label = unique.unique_id
        source = views.piece_source(compilation, unique.representative)
        parts = [code_block(source)]
        if number < MOST_BODIES:
            picture = body_picture(graph["bodies"][label], label)
            text = "" if picture.text == GET_DOT else picture.text  # said above, at the graph
            parts = [paragraph(text) if text else "", _drawn(picture), *parts]
        nodes = counted(unique.representative.node_count, "node")
        blocks.append(details(f"{label} · {nodes}", *parts))
    introduction = "The graph of each unique piece before it was compiled, drawn and as Python."
    if len(compilation.unique_pieces) > MOST_BODIES:
        introduction += f" The first {MOST_BODIES} are drawn."
    return section("sources", "Pieces as source", introduction, *blocks) if blocks else ""
