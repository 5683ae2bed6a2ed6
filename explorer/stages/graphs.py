"""Small questions about FX nodes that every step asks.

They are about value, expression, user's line and module path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import sympy
import torch
from torch import fx

from explorer.artifacts import SourceLocation
from explorer.artifacts.common import Expression
from explorer.intermediate_tensors import STEP_INSIDE
from explorer.torch_private.made_sources import forgotten_with_its_code

TORCH_FOLDER = str(Path(torch.__file__).parent)
OUR_FOLDER = str(Path(__file__).parents[1])
_FRAME = re.compile(r'File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<function>.*)')


def example_value(node: fx.Node) -> Any:
    """The fake value that the trace computed for a node, or None."""
    return node.meta.get("example_value")


def placeholders(graph: fx.Graph) -> list[fx.Node]:
    """The graph's inputs, in order."""
    return [node for node in graph.nodes if node.op == "placeholder"]


def output_node(graph: fx.Graph) -> fx.Node:
    """The node that returns."""
    return next(iter(reversed(graph.nodes)))


def expression_of(value: Any) -> Expression | int | None:
    """The size expression of a SymInt, the number of an int, None of anything else."""
    if isinstance(value, torch.SymInt):
        expression = value.node.expr
        return int(expression) if expression.is_number else expression
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return None


@lru_cache(maxsize=65536)
def frames_of(stack_trace: str) -> tuple[SourceLocation, ...]:
    """The frames of an FX stack trace, outermost first."""
    frames = []
    lines = stack_trace.splitlines()
    for number, line in enumerate(lines):
        found = _FRAME.search(line)
        if found:
            text = lines[number + 1].strip() if number + 1 < len(lines) else ""
            frames.append(
                SourceLocation(found["file"], int(found["line"]), found["function"].strip(), text)
            )
    return tuple(frames)


@lru_cache(maxsize=65536)
def _user_frame(stack_trace: str) -> SourceLocation | None:
    frames = frames_of(stack_trace)
    for frame in reversed(frames):
        if not frame.file.startswith((TORCH_FOLDER, OUR_FOLDER)):
            return frame
    return frames[-1] if frames else None


def user_location(node: fx.Node) -> SourceLocation | None:
    """The innermost line of a node's stack that is neither torch's nor this package's."""
    stack_trace = node.meta.get("stack_trace")
    return _user_frame(stack_trace) if stack_trace else None


def source_lines(nodes: Iterable[fx.Node]) -> tuple[SourceLocation, ...]:
    """The user's lines of some nodes, in order, without repeats."""
    found = (user_location(node) for node in nodes)
    return tuple(dict.fromkeys(location for location in found if location is not None))


@lru_cache(maxsize=65536)
def dotted_path(source: str) -> str:
    """A Dynamo source name in the user's words.

    ``L['self']._modules['layers']._modules['0']._parameters['w']`` is ``layers.0.w``; ``L['x']`` is
    ``x``; a root module alone is the empty string.
    """
    source = source.replace(STEP_INSIDE, "")
    path = re.sub(r"\._(?:modules|parameters|buffers)\['([^']*)'\]", r".\1", source)
    path = re.sub(r"^L\['(?:self|[^']*)'\](?=\.)", "", path) if path != source else path
    path = re.sub(r"^L\['([^']*)'\]", r"\1", path)
    return path.removeprefix(".")


def module_paths(node: fx.Node) -> tuple[str, ...]:
    """Paths of the modules that a node was traced in, outermost first, the root left out."""
    stack = node.meta.get("nn_module_stack") or {}
    return tuple(path for entry in stack.values() if (path := _module_path(entry[0])))


@lru_cache(maxsize=65536)
def _module_path(source: str) -> str:
    path = re.sub(r"\._modules\['([^']*)'\]", r".\1", source)
    path = re.sub(r"\['([^']*)'\]", r".\1", path.replace("L['", "", 1).replace("']", "", 1))
    _, _, inside = path.partition(".")
    return re.sub(r"\[(\d+)\]", r".\1", inside)


def is_tuple_getitem(node: fx.Node) -> bool:
    """Whether a node takes one item out of a tuple or list, which is no computation."""
    if node.op != "call_function" or getattr(node.target, "__name__", "") != "getitem":
        return False
    container = node.args[0]
    return (
        isinstance(container, fx.Node)
        and isinstance(example_value(container), tuple | list)
        and not isinstance(example_value(container), torch.Size)
    )


def copy_graph(graph: fx.Graph) -> tuple[fx.Graph, dict[fx.Node, fx.Node]]:
    """A copy with the same node names and metadata objects, and the map from old to new nodes."""
    copied = fx.Graph()
    new_of: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        new = copied.node_copy(node, new_of.__getitem__)
        new_of[node] = new
    return copied, new_of


def attributes_of(graph: fx.Graph) -> dict[str, Any]:
    """What the ``get_attr`` nodes of a graph refer to, by name.

    Kept in the node's metadata when it was captured.
    """
    return {
        str(node.target): node.meta["attribute"] for node in graph.nodes if node.op == "get_attr"
    }


def module_of(graph: fx.Graph) -> fx.GraphModule:
    """A module that runs a copy of the graph."""
    copied, _ = copy_graph(graph)
    targets = [str(node.target) for node in placeholders(copied)]
    if len(set(targets)) < len(targets):  # torch makes equal ones of ``a.b`` and ``a-b``
        for node in placeholders(copied):
            node.target = node.name
    root = torch.nn.Module()
    for name, value in attributes_of(graph).items():
        setattr(root, name, value)
    return forgotten_with_its_code(fx.GraphModule(root, copied))


_OTHER_LINE_BREAKS = dict.fromkeys(map(ord, "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\0"), " ")


def readable_source(graph: fx.Graph, name: str) -> str:
    """The graph as Python source; shapes in the annotations are in the names of the size inputs."""
    # Comments quote the user's files, where these characters end no line; in Python they do.
    written = graph.python_code("self", verbose=True).src.translate(_OTHER_LINE_BREAKS)
    source = written.strip("\n ") + "\n"
    for node in placeholders(graph):
        expression = expression_of(example_value(node))
        if isinstance(expression, sympy.Symbol):
            source = re.sub(rf"\b{expression}\b", node.name, source)
    return source.replace("def forward(self, ", f"def {name}(", 1).replace(
        "def forward(self", f"def {name}(", 1
    )
