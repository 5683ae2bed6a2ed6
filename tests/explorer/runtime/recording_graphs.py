"""CUDA graphs without CUDA: ops are recorded on the CPU, and replayed into the same tensors.

As on a GPU, nothing of a capture is executed: what it wrote is put back, what it made holds
garbage. A replay runs no Python of the model, only the recorded ops, and before it everything that
later graphs of the pool made is garbage again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from explorer import CompilationConfig, CompiledModel, Session, direct_register_custom_op
from explorer.config import CUDAGraphMode
from explorer.runtime.cuda_graph_api import CaptureFailed
from explorer.session import _Rebuild
from sample_models import toy_llama

SYNCHRONISING = ("aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select")
GARBAGE = 77
PYTHON_OPS: dict[str, Callable[..., Any]] = {"demo::attention": toy_llama.causal_attention}
"""Ops that are written in Python, by name: a replay does what they called, and not their Python."""


def python_op(function: Callable[..., Any], **options: Any) -> str:
    """Registers an op that is written in Python; returns its name."""
    name = f"graphs_{function.__name__}"
    direct_register_custom_op(name, function, **options)
    PYTHON_OPS[f"explorer::{name}"] = function
    return f"explorer::{name}"


@dataclass(eq=False)
class Recorded:
    """One graph: its ops with their arguments and results, and what it made."""

    number: int
    ops: list[tuple[Any, Any, Any, Any]] = field(default_factory=list)
    made: list[torch.Tensor] = field(default_factory=list)
    replays: int = 0
    function: Callable[[], Any] | None = None
    result: Any = None


class _Recording(TorchDispatchMode):
    """Runs ops, noting them; ops that are written in Python are noted by what they call."""

    def __init__(self, graph: Recorded | None) -> None:
        super().__init__()
        self.graph = graph
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name in SYNCHRONISING:
            raise RuntimeError(f"called a synchronizing operation ({name})")
        if name in PYTHON_OPS:
            with self:  # so that what it calls comes here
                return PYTHON_OPS[name](*args, **kwargs)
        if self.graph is None:
            return func(*args, **kwargs)
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        if func._schema.is_mutable:
            for each in given:
                if each.data_ptr() not in self.before:
                    self.before[each.data_ptr()] = (each, each.clone())
        result = func(*args, **kwargs)
        known = {each.untyped_storage().data_ptr() for each in given}
        results = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        fresh = [each for each in results if each.untyped_storage().data_ptr() not in known]
        if fresh or func._schema.is_mutable:
            self.graph.ops.append((func, args, kwargs, result if fresh else None))
        self.graph.made += fresh
        return result


class RecordingGraphs:
    """A ``GraphApi`` on the CPU.

    Attributes:
        graphs: all that were captured, in order.
        current: the device that work goes to.
        capturing: what ``is_capturing`` says outside of its own captures.
        log: what was asked of it, in order.
        failures: captures that failed.
        taken: what ``reserved_bytes`` says; each capture takes 1000 bytes.
    """

    device_type = "cpu"

    def __init__(self) -> None:
        self.graphs: list[Recorded] = []
        self.capturing = False
        self.current = torch.device("cpu")
        self.log: list[str] = []
        self.taken = 0
        self.pools = 0
        self.failures = 0

    def is_capturing(self) -> bool:
        return self.capturing

    def is_current(self, device: torch.device) -> bool:
        return self.current == device

    def new_pool(self) -> int:
        self.pools += 1
        return self.pools

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        self.log.append("aside")
        yield
        self.log.append("back")

    @contextlib.contextmanager
    def in_order(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def refusing_synchronisation(self) -> Iterator[None]:
        with _Recording(None):
            yield

    def capture(self, function: Callable[[], Any], pool: Any) -> tuple[Recorded, Any]:
        graph = Recorded(len(self.graphs))
        recording = _Recording(graph)
        self.capturing, before = True, self.capturing
        try:
            # Else the graph could not write into what it made here.
            with torch.inference_mode(False), torch.no_grad(), recording:
                result = function()
        except Exception as error:
            self.failures += 1
            raise CaptureFailed(str(error)) from error
        finally:
            self.capturing = before
            for tensor, content in recording.before.values():
                if not any(tensor is made for made in graph.made):
                    tensor.copy_(content)
        self.taken += 1000
        self.log.append(f"capture {graph.number}")
        self.graphs.append(graph)
        _spoil(graph.made)
        return graph, result

    def replay(self, graph: Recorded) -> None:
        for later in self.graphs[graph.number + 1 :]:
            _spoil(later.made)
        _spoil(graph.made)
        graph.replays += 1
        with torch.inference_mode(False), torch.no_grad():
            for func, args, kwargs, kept in graph.ops:
                result = func(*args, **kwargs)
                for old, new in zip(tree_leaves(kept), tree_leaves(result), strict=False):
                    if isinstance(old, torch.Tensor):
                        old.copy_(new)

    def weakly(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        with torch.inference_mode(False):
            return [each.detach() for each in tensors]

    def reserved_bytes(self) -> int:
        return self.taken

    @property
    def replays(self) -> int:
        """How often any graph was replayed."""
        return sum(each.replays for each in self.graphs)


class RerunningGraphs(RecordingGraphs):
    """Replays by running the function again, for code that is no sequence of torch's ops."""

    def capture(self, function: Callable[[], Any], pool: Any) -> tuple[Recorded, Any]:
        graph = Recorded(len(self.graphs), function=function)
        result = graph.result = function()
        self.graphs.append(graph)
        _spoil([each for each in result if isinstance(each, torch.Tensor)])
        return graph, result

    def replay(self, graph: Recorded) -> None:
        graph.replays += 1
        assert graph.function is not None
        for old, new in zip(graph.result, graph.function(), strict=True):
            if isinstance(old, torch.Tensor):
                old.copy_(new)


def _spoil(tensors: list[torch.Tensor]) -> None:
    for each in tensors:
        each.fill_(GARBAGE if each.dtype is not torch.bool else True)


def graphed(
    model: Any,
    *args: Any,
    api: RecordingGraphs,
    mode: CUDAGraphMode | str = CUDAGraphMode.PIECEWISE,
    sizes: tuple[int, ...] = (4, 8),
    config: CompilationConfig | None = None,
    dims: Any = None,
    **changes: Any,
) -> CompiledModel:
    """A compiled model whose CUDA graphs are recorded on the CPU."""
    base = config or CompilationConfig(backend="eager", max_size=64)
    settings = {"cudagraph_mode": mode, "cudagraph_capture_sizes": sizes, **changes}
    session = Session(model, args, config=base.replace(**settings), dynamic_arg_dims=dims)
    compilation = session.update()
    rebuild = _Rebuild(session, session.request, compilation)
    return CompiledModel(session.request, compilation, rebuild, graph_api=api)


__all__ = ["RecordingGraphs", "RerunningGraphs", "graphed", "python_op"]
