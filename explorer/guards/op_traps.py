"""Traps of custom ops.

A result that is an input, a fake implementation that tests a size, a layer's name that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from explorer.artifacts import GuardRecord, SourceLocation
from explorer.guards.places import is_user_file, located
from explorer.guards.trap import Trap, TrapKind
from explorer.torch_private import failures

RETURNS_INPUT = r"output of this custom operator \(1\) must not also be an input"
"""What torch says when a custom op has returned an input."""

READS_LAYER_NAME = r"'FakeScriptObject' object has no attribute '(\w+)'"
"""What torch says when traced code reads something of an opaque object that is a graph input."""

FAKE_READS_LAYER_NAME = r"Tried to call __getattr__ with attr '(\w+)' on a FakeScriptObject"
"""The same in the fake implementation of a custom op."""

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


def reads_layer_name(place: SourceLocation | None, text: str) -> Trap | None:
    """The trap of code that reads a LayerName, or another opaque object, while it is traced.

    Args:
        place: the user's line, where known.
        text: torch's text.
    """
    if found := re.search(FAKE_READS_LAYER_NAME, text):
        return Trap(
            TrapKind.LAYER_NAME,
            place,
            f"the fake implementation of the op reads `{found[1]}` of a LayerName, which is not "
            "known while tracing; where there is no fake_impl, that is op_func itself",
            "Give the op a fake_impl that makes its result of the tensors alone.",
        )
    if found := re.search(READS_LAYER_NAME, text):
        return Trap(
            TrapKind.LAYER_NAME,
            place,
            f"the model reads `{found[1]}` of a LayerName, which is an input of the graph, so the "
            "graph cannot depend on what it holds",
            "Read it inside a custom op, or keep what the model needs in an attribute of the "
            "layer itself.",
        )
    return None


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
