"""Graph passes in Inductor: the settings that take one, and an object that torch's caches accept.

Private names used (torch 2.13.0): ``torch._inductor.custom_graph_pass.CustomGraphPass`` and
``CustomInferenceAwareGraphPass``, and of ``torch._inductor.config`` the settings below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx
from torch._inductor import custom_graph_pass
from torch._inductor.custom_graph_pass import CustomGraphPass

PASS_SETTINGS = (
    "pre_grad_custom_pass",
    "joint_custom_pre_pass",
    "joint_custom_post_pass",
    "post_grad_custom_pre_pass",
    "post_grad_custom_post_pass",
)
"""Inductor settings that take a graph pass, in the order in which Inductor runs them."""


class TorchPass(CustomGraphPass):
    """A graph pass as Inductor and its caches take it.

    A plain function in its place would run too, but no compile with it could be cached or saved.

    Attributes:
        run: edits a graph.
        identity: a text that differs when ``run`` does something else.
    """

    def __init__(self, run: Callable[[fx.Graph], None], identity: str) -> None:
        self.run = run
        self.identity = identity

    def __call__(self, graph: fx.Graph) -> None:
        """Edits the graph in place."""
        self.run(graph)

    def uuid(self) -> str:
        """What torch's caches key on."""
        return self.identity


def takes_is_inference(graph_pass: Any) -> bool:
    """Whether a pass is one of torch's that are told whether a backward follows."""
    kind = getattr(custom_graph_pass, "CustomInferenceAwareGraphPass", None)  # new in torch 2.13
    return kind is not None and isinstance(graph_pass, kind)
