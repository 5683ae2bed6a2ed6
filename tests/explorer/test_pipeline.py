"""The story as a whole: a step returns something new and leaves what it was given as it was."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from explorer.artifacts import CapturedGraph, Piece
from explorer.config import CompilationConfig
from explorer.pipeline import STEPS, compile_and_plan, cut
from explorer.stages.capture import CaptureRequest
from tests.explorer.cutting import ATTENTION, random_rows

demo = torch.ops.demo


def model(x: torch.Tensor, y: torch.Tensor) -> tuple[Any, ...]:
    """Whole sizes, a branch, autocast, writes, and two equal pieces."""
    size = x.size()
    for _ in range(3):
        out = torch.empty_like(x)
        demo.attn(x, x, x, out)
        x = torch.reshape(out * 2, size)
    x.add_(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = x @ y
    return torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a - 1, (x,)), product, size


def graph_text(graph: fx.Graph) -> str:
    """Everything that a graph says, with what its nodes are known to compute."""
    lines = [f"{node.format_node()} {node.meta.get('example_value')}" for node in graph.nodes]
    return "\n".join(lines)


def fingerprint(artifact: Any) -> Any:
    """What an artifact of any step holds of graphs and pieces."""
    if isinstance(artifact, CapturedGraph):
        return (graph_text(artifact.graph), artifact.inputs, artifact.sizes, artifact.guards)
    if isinstance(artifact, Piece):
        return (graph_text(artifact.graph), artifact.inputs, artifact.outputs, artifact.unique_id)
    found = [graph_text(artifact.graph)] if hasattr(artifact, "graph") else []
    return found + [fingerprint(piece) for piece in getattr(artifact, "pieces", ())]


class WatchedSteps:
    """Runs the steps, and holds each earlier artifact against what it was when it was made.

    Attributes:
        made: step name -> its result and that result's fingerprint.
    """

    def __init__(self) -> None:
        self.made: dict[str, tuple[Any, Any]] = {}

    def __call__(self, name: str, reads: tuple[Any, ...], step: Callable[[], Any]) -> Any:
        result = step()
        for earlier, (artifact, before) in self.made.items():
            assert fingerprint(artifact) == before, f"{name} changed what {earlier} made"
        self.made[name] = (result, fingerprint(result))
        return result


def test_no_step_changes_what_an_earlier_one_made() -> None:
    request = CaptureRequest(model, (random_rows(6, 8), random_rows(8, 8)), {}, {"x": {0: "n"}})
    config = CompilationConfig(
        backend="eager", splitting_ops=(ATTENTION,), compile_sizes=(16,), max_size=64
    )
    watched = WatchedSteps()
    unique = cut(request, config, watched)
    compile_and_plan(unique, config, watched, memory={}, progress=None, cancel=None)
    assert tuple(watched.made) == STEPS[:-1]
