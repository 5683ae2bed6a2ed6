"""Questions of a trace about how a tensor lies in memory, which Dynamo answers with a constant.

The guard that Dynamo keeps for the answer is of the whole tensor. The runtime leaves that one out,
because it copies an input of another layout: a copy that gives another answer must be noticed.

Private names used (torch 2.13.0): ``torch._dynamo.variables.tensor.TensorVariable`` with
``call_method`` and ``as_proxy``, ``torch._guards.TracingContext``, and ``grapharg`` in the metadata
of a placeholder.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from torch import fx
from torch._dynamo.variables.tensor import TensorVariable
from torch._guards import TracingContext

METHODS = frozenset({"dim_order", "is_contiguous", "stride", "untyped_storage"})
"""Methods of tensors whose answer becomes a constant of the trace."""

ANY_INPUT = "*"
"""Stands among the sources of a tensor when it is not known what it is computed from."""


@dataclass(frozen=True, eq=False)
class RawLayoutQuestion:
    """One question.

    Attributes:
        method: that was called.
        sources: Dynamo's names of the inputs that the tensor is computed from, or ``ANY_INPUT``.
        user_stack: the frames of the traced code, outermost first.
    """

    method: str
    sources: frozenset[str]
    user_stack: traceback.StackSummary


@contextlib.contextmanager
def layout_questions(found: list[RawLayoutQuestion]) -> Iterator[None]:
    """Inside, the questions that this thread's traces ask are added to ``found``."""
    owner = threading.get_ident()
    known: dict[fx.Node, frozenset[str]] = {}
    original = TensorVariable.call_method

    def call_method(variable: Any, tx: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if name in METHODS and threading.get_ident() == owner:
            sources = _sources(variable.as_proxy().node, known)
            if sources:
                found.append(RawLayoutQuestion(name, sources, TracingContext.extract_stack()))
        return original(variable, tx, name, *args, **kwargs)

    with patch.object(TensorVariable, "call_method", call_method):
        yield


def _sources(node: fx.Node, known: dict[fx.Node, frozenset[str]]) -> frozenset[str]:
    """The inputs that a value's layout may follow from; ``known`` has those of its ancestors."""
    waiting = [node]
    while waiting:
        each = waiting[-1]
        above = () if is_made_contiguous(each) else each.all_input_nodes
        missing = [other for other in above if other not in known]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        own = _own_source(each) if each.op == "placeholder" else frozenset()
        known[each] = own.union(*(known[other] for other in above))
    return known[node]


def _own_source(placeholder: fx.Node) -> frozenset[str]:
    """A body of ``torch.cond`` and its like takes what Dynamo has no name for."""
    source = getattr(placeholder.meta.get("grapharg"), "source", None)
    return frozenset({ANY_INPUT if source is None else str(source.name)})


def is_made_contiguous(node: fx.Node) -> bool:
    """Whether a node's value is contiguous, whatever its inputs are."""
    return node.op == "call_method" and node.target == "contiguous" and len(node.args) == 1


__all__ = [
    "ANY_INPUT",
    "METHODS",
    "RawLayoutQuestion",
    "is_made_contiguous",
    "layout_questions",
]
