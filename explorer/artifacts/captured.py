"""Step 1: CapturedGraph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from explorer.artifacts.common import Expression, GraphInput, Size, SourceLocation
from explorer.artifacts.guards import BranchSite, Evaluation, GuardRecord, Specialization
from explorer.artifacts.traced import TracedFunction

if TYPE_CHECKING:
    import torch
    from torch import fx

    from explorer.torch_private.capture import RawCapture
    from explorer.torch_private.stored_call import StoredCall


@dataclass(frozen=True, eq=False, repr=False)
class CapturedGraph:
    """Step 1: one full graph of a model, and all that it assumed.

    Attributes:
        graph: the FX graph; parameters and buffers are placeholders.
        inputs: one entry per placeholder, in order.
        example_values: the real value of each placeholder at capture.
        sizes: the independent dynamic sizes, in signature order.
        guards: the conditions on sizes under which the graph is right.
        notes: what a user should know, one sentence each.
        user_inputs: layout of each tensor the user passes.
        raw: torch's own record of the capture; the runtime binds calls with it.
        model: the callable that was captured.
        hints: size name -> size of the example that was traced.
        outside: paths of tensors that the graph does not take, but whose sizes its conditions read.
        thread_state: settings of the thread under which it was traced, as (name, value).
        runtime_asserts: conditions on sizes that the graph tests itself, when it runs.
        value_guards: conditions on Python values: ints, flags, strings, attributes of modules.
        branch_sites: tests in the user's source that depend on sizes, in source order.
        specializations: inputs that became constants, or tied to one another.
        evaluations: every question about sizes that was asked during the trace, without repeats.
        unknown: why not every condition is known, one sentence each; empty when all are.
        request: what the capture was asked for, to capture again and to make inputs of other sizes;
            None for a capture that was made by hand.
        functions: the Python functions that the graph depends on, the traced one first.
    """

    graph: fx.Graph
    inputs: tuple[GraphInput, ...]
    example_values: tuple[Any, ...]
    sizes: tuple[Size, ...]
    guards: tuple[GuardRecord, ...]
    notes: tuple[str, ...]
    user_inputs: tuple[UserTensor, ...]
    raw: RawCapture | StoredCall
    model: Callable[..., Any]
    hints: Mapping[str, int] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    thread_state: tuple[tuple[str, Any], ...] = ()
    runtime_asserts: tuple[GuardRecord, ...] = ()
    value_guards: tuple[GuardRecord, ...] = ()
    branch_sites: tuple[BranchSite, ...] = ()
    specializations: tuple[Specialization, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    unknown: tuple[str, ...] = ()
    request: Any = None
    functions: tuple[TracedFunction, ...] = ()

    def summary(self) -> str:
        """One line."""
        sizes = ", ".join(f"{size.name} = {size.label}" for size in self.sizes) or "no dynamic size"
        return (
            f"captured {len(self.graph.nodes)} nodes, {len(self.inputs)} inputs, {sizes}, "
            f"{len(self.guards)} {'guard' if len(self.guards) == 1 else 'guards'} on sizes"
        )


@dataclass(frozen=True)
class LayoutQuestion:
    """Something in the model that depends on how a tensor lies in memory.

    Attributes:
        method: ``is_contiguous``, ``stride``, or an op such as ``as_strided``.
        location: the user's line; None for code that is not the user's.
    """

    method: str
    location: SourceLocation | None

    def __str__(self) -> str:
        at = "" if self.location is None else f" at {self.location}"
        return f"{self.method}(){at}"


@dataclass(frozen=True, eq=False, repr=False)
class UserTensor:
    """What the graph relies on in one tensor of the call.

    Attributes:
        source: where it is found, as in ``GraphInput.source``.
        path: the same in the user's words.
        dtype: element type.
        device: where it lives.
        shape: per dim a number or an expression over the sizes' symbols.
        stride: per dim a number or an expression.
        written: whether the graph writes to it.
        layout_questions: what depends on how it lies in memory; a copy would not do then.
    """

    source: str
    path: str
    dtype: torch.dtype
    device: torch.device
    shape: tuple[int | Expression, ...]
    stride: tuple[int | Expression, ...]
    written: bool
    layout_questions: tuple[LayoutQuestion, ...] = ()

    @property
    def needs_these_strides(self) -> bool:
        """Whether strides matter that do not decide whether it is contiguous: of a dim of one."""
        return any(each.method != "is_contiguous" for each in self.layout_questions)
