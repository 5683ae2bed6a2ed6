"""Layers that are not alike, or do more than return a tensor: never another graph than eager's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from explorer import CompilationConfig, CompiledModel, compile_model
from explorer.config import StoreConfig
from explorer.target import CompileTarget
from tests.explorer.torch_private.repeats.capturing import (
    capture_of,
    described,
    guards_of,
    written_in,
)
from tests.explorer.torch_private.repeats.repeated_models import MODELS

SIZES = (6, 9, 12)
CONFIG = CompilationConfig(backend="eager", max_size=64, store=StoreConfig(enabled=False))

pytestmark = pytest.mark.filterwarnings("ignore")


def target_of(name: str) -> CompileTarget:
    model = MODELS[name][0]()
    return CompileTarget(
        name=name,
        model=model,
        example_inputs=(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)),),
        dynamic_arg_dims={"values": {0: "n"}},
    )


@pytest.mark.parametrize("name", MODELS)
def test_graph_is_as_traced(name: str) -> None:
    target = target_of(name)
    found, plain = capture_of(target, plain=False), capture_of(target, plain=True)

    assert written_in(found) == MODELS[name][1]
    same = [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in described(found.graph)]
    assert same == [tuple(row[:6]) for row in described(plain.graph)]
    stacks = [row[6].get("stack_trace") for row in described(found.graph)]
    assert stacks == [row[6].get("stack_trace") for row in described(plain.graph)]
    assert [row[6].get("example_value") for row in described(found.graph)] == [
        row[6].get("example_value") for row in described(plain.graph)
    ]
    assert found.guards == plain.guards
    assert found.value_guards == plain.value_guards
    assert found.branch_sites == plain.branch_sites
    assert [each.places for each in found.functions] == [each.places for each in plain.functions]
    assert guards_of(found) == guards_of(plain)


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_eagers(name: str) -> None:
    target = target_of(name)
    eager = copy.deepcopy(target.model)
    compiled: Any = compile_model(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        config=CONFIG,
    )
    assert isinstance(compiled, CompiledModel)
    with torch.no_grad():
        # The graph of one that counts its calls holds for the first.
        for size in SIZES[:1] if name == "Counts" else SIZES:
            values = torch.randn(size, 4, generator=torch.Generator().manual_seed(size))
            torch.testing.assert_close(compiled(values.clone()), eager(values.clone()))
