"""Traps of ``torch.cond``: by torch's text, by where a trace failed, and in the graph itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import fx

from explorer.artifacts import SourceLocation
from explorer.guards.places import is_user_file
from explorer.guards.trap import Trap, TrapKind
from explorer.stages.graphs import example_value, output_node, user_location
from explorer.torch_private import ops

# ------------------------------------------------------------------------------- by torch's text


def _alias(place: SourceLocation | None, text: str) -> Trap:
    return Trap(
        TrapKind.ALIAS,
        place,
        "a side of torch.cond returns one of its inputs, or a view of one",
        "Return a new tensor from it: write `return x.clone()` instead of `return x`.",
    )


def _mutation(place: SourceLocation | None, text: str) -> Trap:
    return Trap(
        TrapKind.MUTATION,
        place,
        "a side of torch.cond changes one of its inputs in place",
        "Compute a new tensor instead, such as `x + 1` for `x.add_(1)`, return it, and assign it "
        "after torch.cond.",
    )


def _dtypes(place: SourceLocation | None, text: str) -> Trap:
    found = re.search(r"same dtype but got torch\.(\w+) and torch\.(\w+)", text)
    first, second = (found[1], found[2]) if found else ("one dtype", "another")
    return Trap(
        TrapKind.DTYPES,
        place,
        f"the first function of torch.cond returns {first} and the second one {second}",
        f"Convert one of them: end the first function with `.to(torch.{second})`.",
    )


def _strides(place: SourceLocation | None, text: str) -> Trap:
    found = re.search(
        r"True branch has stride (\(.*?\)) but false branch has stride (\(.*?\))\.", text
    )
    sides = f": {_plain(found[1])} and {_plain(found[2])}" if found else ""
    return Trap(
        TrapKind.STRIDES,
        place,
        f"the two functions of torch.cond return tensors whose strides are in another order{sides}",
        "Write `return result.contiguous()` in both.",
    )


def _plain(strides: str) -> str:
    return re.sub(r"\b[su]\d+\b", "n", strides)


def _structure(place: SourceLocation | None, text: str) -> Trap:
    return Trap(
        TrapKind.STRUCTURE,
        place,
        "the two functions of torch.cond return different numbers of values, or different "
        "containers",
        "Return the same structure from both, with a tensor of the same dtype in each place.",
    )


def _not_a_tensor(place: SourceLocation | None, text: str) -> Trap:
    found = re.search(r"got <class '(?P<type>[^']*)'>", text)
    kind = found["type"] if found else "something else"
    return Trap(
        TrapKind.NOT_A_TENSOR,
        place,
        f"a function of torch.cond returns a {kind}, and only tensors can leave it",
        "Return tensors only: `torch.full((), value)` for a number.",
    )


def _number_under_inductor(place: SourceLocation | None, text: str) -> Trap:
    return Trap(
        TrapKind.NOT_A_TENSOR,
        place,
        "a function of torch.cond returns a Python number beside a tensor, which Inductor cannot "
        "compile",
        "Return tensors only, `torch.full((), value)` for a number, or compute the number outside.",
    )


COND_TEXTS: Mapping[str, Callable[[SourceLocation | None, str], Trap]] = {
    r"Encountered aliasing during higher order op tracing": _alias,
    r"cond_(true|false)\w* might be aliasing the input or the output": _alias,
    r"Encountered input mutation during higher order op tracing": _mutation,
    r"merging two branches' output in torch\.cond,\s+expected same dtype": _dtypes,
    r"sorted order of strides of the two branches' output doesn't match": _strides,
    r"torch\.cond: differing branch outputs": _structure,
    r"(?s)HOP body output unsupported.*Higher Order Operator: torch\.cond": _not_a_tensor,
    r"'ShapeAsConstantBuffer' object has no attribute 'dtype'": _number_under_inductor,
}


# ------------------------------------------------------------------- inside a side of torch.cond


def failed_in_cond(error: BaseException) -> bool:
    """Whether a trace failed inside a function that ``torch.cond`` was given."""
    files = [frame.filename for frame in getattr(error, "real_stack", None) or ()]
    calls = [at for at, file in enumerate(files) if file.endswith("_higher_order_ops/cond.py")]
    return bool(calls) and any(is_user_file(file) for file in files[calls[0] :])


def leak(place: SourceLocation, text: str) -> Trap | None:
    """What a line inside a side of ``torch.cond`` demands of the whole graph, or None.

    Args:
        place: that line.
        text: torch's text.
    """
    if "Expected cond to be True" in text or "function _check" in text:
        return leaked_check(place)
    found = re.search(r"got RuntimeError\(\"(?P<reason>.*?)\"\)", text)
    if found is None:
        return None  # any error of the side: torch's own text says more
    reason = re.sub(r"\b\d+\*[su]\d+\b|\b[su]\d+\b", "any number", found["reason"])
    return Trap(
        TrapKind.LEAK,
        place,
        "both functions of torch.cond are traced at the sizes of the example, and this line of one "
        f"fails there ({reason})",
        "Write it so that it works at every size, for example with padding, or move both sides "
        "into a custom op.",
    )


def leaked_check(place: SourceLocation) -> Trap:
    """A ``torch._check`` inside a side of ``torch.cond``."""
    return Trap(
        TrapKind.LEAK,
        place,
        "both functions of torch.cond are traced, so what one demands is demanded of every call",
        "Leave the check out of the function: the test of torch.cond holds there anyway.",
    )


# --------------------------------------------------------------------------------- in the graph


_VIEWS = frozenset(
    {"view", "t", "transpose", "permute", "expand", "squeeze", "unsqueeze", "detach", "narrow"}
)
"""Methods whose result shares memory with the tensor."""


def cond_graph_traps(graph: fx.Graph) -> tuple[Trap, ...]:
    """Sides of ``torch.cond`` that run as they are and that Inductor cannot compile.

    Torch lets them pass while it traces without gradients, and fails in the backend.

    Args:
        graph: of a capture or a piece; ``get_attr`` nodes carry what they refer to.
    """
    found: dict[tuple[TrapKind, SourceLocation | None], Trap] = {}
    for node in graph.nodes:
        if not ops.is_higher_order(node.target) or getattr(node.target, "__name__", "") != "cond":
            continue
        place = user_location(node)
        for side in node.args[1:3]:
            module = side.meta.get("attribute") if isinstance(side, fx.Node) else None
            for result in _results(module):
                trap = _result_trap(result, place)
                if trap is not None:
                    found[trap.kind, place] = trap
    return tuple(found.values())


def explain_compile_error(graph: fx.Graph) -> str | None:
    """What to say of a piece that Inductor failed on, when a ``torch.cond`` in it explains it.

    Torch's texts do not tell: they speak of memos and of attributes that are missing.

    Args:
        graph: the piece.
    """
    traps = cond_graph_traps(graph)
    return " ".join(str(trap) for trap in traps) or None


def _results(module: Any) -> Iterator[Any]:
    if not isinstance(module, fx.GraphModule):
        return
    returned = output_node(module.graph).args[0]
    yield from returned if isinstance(returned, tuple | list) else (returned,)


def _result_trap(result: Any, place: SourceLocation | None) -> Trap | None:
    if not isinstance(result, fx.Node):
        return None if result is None else _number_under_inductor(place, "")
    if not isinstance(example_value(result), torch.Tensor):
        return _number_under_inductor(place, "") if example_value(result) is not None else None
    while result.op == "call_method" and result.target in _VIEWS:
        result = result.all_input_nodes[0]
    return _alias(place, "") if result.op == "placeholder" else None
