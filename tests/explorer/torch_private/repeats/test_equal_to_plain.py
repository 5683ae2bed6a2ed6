"""A capture in which layers were written again is the one that traces all of them."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from torch import fx

from explorer.stages.effects import storage_of
from sample_models import toy_llama
from tests.explorer.torch_private.repeats.capturing import (
    capture_of,
    counts_of,
    described,
    guards_of,
    written_in,
)

SAMPLES = [
    ("toy_llama", {"layers": 5}),
    ("toy_llama", {"layers": 5, "layer_names": "opaque"}),
    ("toy_llama", {"layers": 4, "layer_names": "string"}),
    ("mixture_of_experts", {"layers": 4}),
    ("triton_rms_norm", {"layers": 5}),
    ("llama", {"layers": 5}),
    ("qwen3", {"layers": 4}),
    ("mixtral", {"layers": 4}),
    ("bert", {"layers": 4}),
]


@pytest.mark.parametrize(("name", "options"), SAMPLES)
def test_written_layers_are_as_traced(name: str, options: dict[str, Any]) -> None:
    if name in ("llama", "qwen3", "mixtral", "bert"):
        pytest.importorskip("transformers")
    target = importlib.import_module(f"sample_models.{name}").sample(**options)
    found, plain = capture_of(target, plain=False), capture_of(target, plain=True)

    counts = counts_of(found)
    if options.get("layer_names") == "string":  # a text is in the graph, so that no two are alike
        assert (counts.traced, counts.written) == (4, 0)
    else:
        assert counts.traced <= 3
        assert counts.traced + counts.written == options["layers"]
    assert written_in(plain) == 0

    assert described(found.graph) == described(plain.graph)
    assert found.inputs == plain.inputs
    assert found.sizes == plain.sizes
    assert found.guards == plain.guards
    assert found.value_guards == plain.value_guards
    assert found.branch_sites == plain.branch_sites
    assert found.specializations == plain.specializations
    assert found.runtime_asserts == plain.runtime_asserts
    assert found.functions == plain.functions
    assert guards_of(found) == guards_of(plain)


def test_memory_of_written_layers_is_their_own() -> None:
    target = toy_llama.sample(layers=5)
    found, plain = capture_of(target, plain=False), capture_of(target, plain=True)

    def sharing(graph: fx.Graph) -> list[int]:
        keys = [storage_of(node) for node in graph.nodes]
        return [keys.index(key) if key is not None else -1 for key in keys]

    assert sharing(found.graph) == sharing(plain.graph)
