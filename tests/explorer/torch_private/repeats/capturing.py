"""Captures with layers that are written again and without, and all that they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import fx

from explorer.artifacts import CapturedGraph
from explorer.config import CompilationConfig
from explorer.stages.capture import CaptureRequest, capture
from explorer.target import CompileTarget
from explorer.torch_private import repeats
from explorer.torch_private.capture import RawCapture
from explorer.torch_private.repeats import RepeatCounts
from explorer.torch_private.state_guards import GuardNode


def capture_of(target: CompileTarget, *, plain: bool) -> CapturedGraph:
    request = CaptureRequest(
        target.model,
        target.example_inputs,
        target.example_kwargs or {},
        target.dynamic_arg_dims,
        make_inputs=target.make_inputs,
    )
    found: Any = (lambda model: {}) if plain else repeats.repeated_layers
    with torch.no_grad(), patch.object(repeats, "repeated_layers", found):
        return capture(request, CompilationConfig())


def described(graph: fx.Graph) -> list[Any]:
    """Everything that a node says, but for which memory its example has."""
    positions = {node: at for at, node in enumerate(graph.nodes)}
    return [
        (
            node.op,
            node.name,
            str(node.target),
            [positions[each] for each in node.all_input_nodes],
            str(node.args),
            str(node.kwargs),
            {key: text_of(value) for key, value in node.meta.items() if key != "storage"},
        )
        for node in graph.nodes
    ]


def text_of(value: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def raw_of(captured: CapturedGraph) -> RawCapture:
    assert isinstance(captured.raw, RawCapture)
    return captured.raw


def counts_of(captured: CapturedGraph) -> RepeatCounts:
    return raw_of(captured).repeats


def written_in(captured: CapturedGraph) -> int:
    return counts_of(captured).written


def guards_of(captured: CapturedGraph) -> list[tuple[str, tuple[str, ...]]]:
    return list(guards_in(raw_of(captured).state.tree()))


def guards_in(node: GuardNode) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is tested of each value; torch numbers its dicts of builtins by trace."""
    if node.source == "__import__('torch')":
        return  # the first torch.cond of a process tests it, the next ones do not
    yield re.sub(r"__builtins_dict___\d+", "builtins", node.source), node.tests
    for child in node.children:
        yield from guards_in(child)
