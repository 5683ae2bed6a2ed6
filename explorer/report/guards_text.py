"""A CapturedGraph in, what it relies on out, as plain text; nothing is evaluated for it."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.artifacts import CapturedGraph, GuardRecord, InputKind
from explorer.report.wording import counted, label_of

_LONGEST_LINE = 20_000
"""Characters; a condition of a real model is far shorter."""


def guards_text(captured: CapturedGraph, added: Iterable[GuardRecord]) -> str:
    """What a graph relies on, a line each: conditions, constants, what is not known.

    Args:
        captured: the graph.
        added: conditions that the compiler added.
    """
    weights = sum(each.kind is not InputKind.USER for each in captured.inputs)
    sections: list[tuple[str, Iterable[str]]] = [
        ("sizes", (f"{s.name} = {s.label}, {s.hint} in the example" for s in captured.sizes)),
        ("conditions on sizes", map(_guard_line, captured.guards)),
        ("tested by the graph itself", map(_guard_line, captured.runtime_asserts)),
        ("Python values", map(_guard_line, captured.value_guards)),
        (
            "inputs that became constants",
            (
                f"{each.source} = {each.value} ({each.reason.value})"
                for each in captured.specializations
            ),
        ),
        ("added by the compiler", map(_guard_line, dict.fromkeys(added))),
        ("not known", captured.unknown),
    ]
    lines = [f"{counted(len(captured.inputs), 'input')}, {weights} of them given by no argument"]
    for title, texts in sections:
        below = [f"    {label_of(text, _LONGEST_LINE)}" for text in texts]
        lines += ["", f"{title}:", *(below or ["    none"])]
    return "\n".join(lines) + "\n"


def _guard_line(guard: GuardRecord) -> str:
    place = f"  at {guard.location}" if guard.location else ""
    piece = f"  in piece {guard.piece}" if guard.piece else ""
    return f"{guard.text}  ({guard.origin.value}){piece}{place}"
