"""A CompileAccount in, a small table of where the seconds went out, as text and as HTML."""

from __future__ import annotations

from explorer.artifacts.accounted import CompileAccount
from explorer.report.markup import Column, bullets
from explorer.report.markup import table as html_table
from explorer.report.text import table
from explorer.report.views import Row
from explorer.report.wording import counted, seconds_text

_WORDS = {
    "capture": "capture: one graph",
    "normalise": "normalise",
    "split": "split",
    "dedupe": "dedupe",
    "lowering": "compile: Inductor lowers graphs",
    "codegen": "compile: Inductor writes code",
    "kernels": "compile: C++ or Triton kernels",
    "backend": "compile: AOTAutograd, graph passes, torch's caches",
    "store": "serialise and store",
    "load": "look up and load",
    "plan": "plan",
    "other": "other",
}
COLUMNS = (
    Column("part", "part"),
    Column("seconds", "wall time", seconds_text, "bar"),
    Column("share", "share", lambda share: f"{share:.0%}", "number"),
)


def account_rows(account: CompileAccount) -> list[Row]:
    """One row per part that took time: ``part seconds share``."""
    total = sum(account.parts.values())
    return [
        {"part": _WORDS[name], "seconds": seconds, "share": seconds / total}
        for name, seconds in account.parts.items()
        if seconds
    ]


def saved_sentences(account: CompileAccount) -> list[str]:
    """What was not spent, and what was spent before."""
    found = []
    if account.shared:
        found.append(
            f"{counted(account.shared, 'artifact')} not compiled, because an equal piece's stands "
            f"for each: an estimated {seconds_text(account.saved_by_dedupe_seconds)}"
        )
    if account.saved_by_workers_seconds:
        saved = seconds_text(account.saved_by_workers_seconds)
        found.append(f"compiling several at a time saved {saved}; their seconds are added up above")
    if account.earlier_seconds:
        found.append(f"{seconds_text(account.earlier_seconds)} of it was spent before, for a plan")
    return found


def report(account: CompileAccount) -> str:
    """The parts as a small table, and what was saved."""
    rows = [
        {
            "part": row["part"],
            "wall time": seconds_text(row["seconds"]).rjust(8),
            "share": f"{row['share']:.0%}".rjust(5),
        }
        for row in account_rows(account)
    ]
    lines = [
        f"{seconds_text(account.wall_seconds)} of wall time",
        table(rows),
        *saved_sentences(account),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def fragment(account: CompileAccount) -> str:
    """The same as HTML."""
    parts = [html_table(account_rows(account), COLUMNS)]
    saved = saved_sentences(account)
    parts += [bullets(saved)] if saved else []
    return f'<div class="explorer-report">{"".join(parts)}</div>'


__all__ = ["COLUMNS", "account_rows", "fragment", "report", "saved_sentences"]
