"""Canaries of what is written down of a capture, so that another process can go without one.

What they look at is imported inside of them: a name that changed fails one of them, not all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def _scaled(x: torch.Tensor) -> torch.Tensor:
    return x.view(-1) * 2


def _captured() -> Any:
    from explorer.torch_private import capture

    example = torch.ones(6, 3)
    capture.mark_backed(example, 0)
    return capture.trace(_scaled, (example,), {})


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise RuntimeError(what)


def _graph_bytes() -> None:
    from explorer.torch_private import graph_codec

    graph = _captured().graph_module.graph
    read = graph_codec.load(graph_codec.dump(graph))
    _expect([n.name for n in read.nodes] == [n.name for n in graph.nodes], "nodes are lost")
    for node, again in zip(graph.nodes, read.nodes, strict=True):
        value, other = node.meta.get("example_value"), again.meta.get("example_value")
        if isinstance(value, torch.Tensor):
            shapes = [str(tuple(each.shape)) for each in (value, other)]
            _expect(shapes[0] == shapes[1], f"a shape {shapes[0]} is read as {shapes[1]}")


def _stored_guards(raw: Any) -> Any:
    from explorer.torch_private.guard_checks import StoredGuards
    from explorer.torch_private.guard_writing import written_guards

    scope = {"x": torch.ones(6, 3)}
    root, texts = written_guards(raw.state, raw.function, scope, frozenset())
    return StoredGuards(root, raw.function, scope, frozenset(), lambda: texts)


def _guards_on_paper() -> None:
    raw = _captured()
    guards = _stored_guards(raw)
    _expect(guards.tree() == raw.state.tree(), "the guards are not all written down")
    _expect(guards.check({"x": torch.ones(9, 3)}), "guards on paper refuse a call that fits")


def _call_on_paper() -> None:
    from explorer.torch_private.stored_call import StoredCall, written_call

    raw = _captured()
    stored = StoredCall(written_call(raw), raw.function, raw.receiver, _stored_guards(raw))
    result = stored.bind(lambda *values: (torch.ones(2),))(torch.ones(5, 3))
    _expect(torch.equal(result, torch.ones(2)), "bytecode on paper does not call the function")


STORE_CANARIES: tuple[tuple[str, Callable[[], None]], ...] = (
    ("a graph as bytes: FakeTensor, SymNode and ShapeEnv", _graph_bytes),
    ("guards on paper: verbose_code_parts of a leaf guard", _guards_on_paper),
    ("a call on paper: bytecode and backend_id of a capture", _call_on_paper),
)
"""What is checked, and the check: it returns nothing, or raises."""

__all__ = ["STORE_CANARIES"]
