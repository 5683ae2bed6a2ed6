"""CUDA graphs of one compilation: which graph serves a call, captured when one is first needed.

A call takes no graph where one would not be right, and runs as without: while somebody captures,
while another thread has the graphs in use, above the largest capture size. Nothing ever waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from explorer.artifacts import DispatchEntry, InputKind
from explorer.artifacts.cuda_graphs import CUDAGraphRecord, ServedByGraph
from explorer.config import CUDAGraphMode
from explorer.errors import ConfigError
from explorer.runtime.binding_graphs import NOT_GRAPHED, BindingGraphs
from explorer.runtime.call_form import CallForm, NotKnown
from explorer.runtime.cuda_graph_api import GraphApi
from explorer.runtime.stitch import PER_CALL

if TYPE_CHECKING:
    from explorer.runtime.runner import Runner


@dataclass(eq=False)
class Graphing:
    """What the compilations of one model have in common.

    Attributes:
        api: captures.
        thread: the one whose call shall capture every size; None for none.
    """

    api: GraphApi
    thread: int | None = None

    @property
    def captures_all(self) -> bool:
        """Whether the call that is going on shall capture every size."""
        return self.thread is not None and self.thread == threading.get_ident()


class GraphCalls:
    """Puts CUDA graphs around the stitching functions of one runner.

    Args:
        runner: what the graphs belong to.
        graphing: what they share with other runners of the model.

    Raises:
        ConfigError: a tensor of the model or of the example is on another kind of device.
    """

    def __init__(self, runner: Runner, graphing: Graphing) -> None:
        self.runner = runner
        self.graphing = graphing
        self.device = _device_of(runner, graphing.api.device_type)
        self.refusal = ""
        self.form: CallForm | None = None
        for position, each in enumerate(runner.layout.inputs):
            if each.kind is InputKind.USER and position in runner.layout.returned:
                self.refusal = f"the model returns {each.path}, or a view of it"
        try:
            self.form = CallForm(runner.layout, runner.unique.split)
        except NotKnown as reason:
            self.refusal = str(reason)
        per_call = [i for i, each in enumerate(runner.layout.inputs) if each.kind in PER_CALL]
        self.written = [i for i, at in enumerate(per_call) if at in runner.layout.written]
        self.examples = [runner.layout.example_values[at] for at in per_call]

    def around(
        self, row: DispatchEntry, binding: Any, plain: Callable[..., Any]
    ) -> Callable[..., Any]:
        """A stitching function that takes a graph where one serves the call."""

        def call(*values: Any) -> Any:
            result = self.serve(row, binding, values)
            return plain(*values) if result is NOT_GRAPHED else result

        return call

    def serve(self, row: DispatchEntry, binding: Any, values: tuple[Any, ...]) -> Any:
        """The outputs for the values of a call, or ``NOT_GRAPHED``."""
        if binding.graphs is None:
            binding.graphs = BindingGraphs(self, binding)
        return binding.graphs.serve(row, values)

    def served(self, binding: Any, *, was_served: bool) -> ServedByGraph:
        """How graphs had a part in the last call.

        Args:
            binding: of the call.
            was_served: whether ``serve`` had a result for it.
        """
        last: ServedByGraph = binding.graphs.last
        if not was_served and last.mode is not CUDAGraphMode.NONE:
            return ServedByGraph(note="the graphs were in use by another call")
        return last

    def records(self, variant: int) -> tuple[CUDAGraphRecord, ...]:
        """The graphs of the parameters that are bound now."""
        graphs = self.runner.binding.graphs
        return () if graphs is None else graphs.records(variant)

    def notes(self) -> tuple[str, ...]:
        """What a user should know about them, one sentence each."""
        graphs = self.runner.binding.graphs
        return () if graphs is None else graphs.notes()


def _device_of(runner: Runner, device_type: str) -> torch.device:
    """The one device of a model and its inputs.

    Raises:
        ConfigError: some tensor is elsewhere.
    """
    found = torch.device(device_type)
    pairs = zip(runner.layout.inputs, runner.layout.example_values, strict=True)
    for each, value in pairs:
        if each.kind is InputKind.CONSTANT or not isinstance(value, torch.Tensor):
            continue  # a number on the CPU goes into a kernel as it is
        if value.device.type != device_type:
            raise ConfigError(
                f"CUDA graphs need a model on a {device_type.upper()} device, but {each.path} is "
                f"on {value.device}: move the model and its inputs there, or set "
                "cudagraph_mode=CUDAGraphMode.NONE."
            )
        if found.index not in (None, value.device.index):
            raise ConfigError(
                f"CUDA graphs need one device, but {each.path} is on {value.device} and others on "
                f"{found}: move them together, or set cudagraph_mode=CUDAGraphMode.NONE."
            )
        found = value.device
    return found


__all__ = ["NOT_GRAPHED", "GraphCalls", "Graphing"]
