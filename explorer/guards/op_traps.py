"""Traps of custom ops: a result that is an input, and a fake implementation that tests a size."""

from __future__ import annotations

import re
from collections.abc import Iterable

from explorer.artifacts import GuardRecord, SourceLocation
from explorer.guards.places import is_user_file, located
from explorer.guards.trap import Trap, TrapKind
from explorer.torch_private import failures

RETURNS_INPUT = r"output of this custom operator \(1\) must not also be an input"
"""What torch says when a custom op has returned an input."""

_TORCH_NAMESPACES = ("aten", "prims", "prim", "inductor", "higher_order")


def returns_input(place: SourceLocation | None, text: str) -> Trap:
    """The trap of an op that returned its input; it fails only when that side runs.

    Args:
        place: the user's line, where known.
        text: torch's text.
    """
    found = re.match(r"(\S+) \(with implementation in", text)
    name = f"the custom op {found[1]}" if found else "a custom op"
    return Trap(
        TrapKind.OP_ALIAS,
        place,
        f"{name} returned one of its inputs, or a view of one, on the side that this call took",
        "Return a new tensor from every side: write `return x.clone()` instead of `return x`.",
    )


def fake_trap(
    operator: str, condition: str, call: SourceLocation | None, *, asked_at: str = ""
) -> Trap | None:
    """A test on a size that the fake implementation of a custom op made, or None.

    Args:
        operator: who asked, as ``namespace.name.overload``.
        condition: what it asked, in words.
        call: the user's line that calls the op.
        asked_at: torch's text with the line that asked, as ``file:line in function``.
    """
    name = "::".join(operator.split(".")[:2])
    fake = None if operator.count(".") != 2 else failures.fake_implementation(name)
    code = getattr(fake, "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return None
    asked = re.search(rf":(\d+) in {re.escape(code.co_name)}\b", asked_at)
    line = int(asked[1]) if asked else code.co_firstlineno
    place = located(code.co_filename, code.co_name, (line, None, None, None))
    called = f", called at {call}," if call else ""
    return Trap(
        TrapKind.FAKE_BRANCH,
        place,
        f"the fake implementation of {name}{called} asks whether {condition}, so the trace "
        "decides what the op was to hide",
        "Make its result without a test on the size: `return torch.empty_like(x)`, or "
        "`x.new_empty(...)` with the sizes as they are.",
    )


def fake_guard_traps(guards: Iterable[GuardRecord]) -> tuple[str, ...]:
    """Conditions that the fake implementation of a custom op made, without any error.

    An operator that torch brings tests its arguments because it must; one of the user's has a fake
    that was written to do so.

    Args:
        guards: of a capture.
    """
    found = []
    for guard in guards:
        operator = guard.operator or ""
        if operator.split(".")[0] in _TORCH_NAMESPACES or guard.is_bound:
            continue
        trap = fake_trap(operator, guard.text, guard.location, asked_at=guard.framework or "")
        if trap is not None:
            found.append(str(trap))
    return tuple(dict.fromkeys(found))
