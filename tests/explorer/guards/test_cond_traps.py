"""What Inductor cannot compile in a torch.cond, found in the graph, where no trace failed."""

from __future__ import annotations

import pytest
import torch

import explorer
from explorer.config import CompilationConfig, DynamicShapesConfig, DynamicShapesType
from explorer.guards.cond_traps import cond_graph_traps, explain_compile_error
from explorer.guards.trap import TrapKind
from explorer.stages.capture import CaptureRequest, capture
from tests.explorer.guards import trapped_models as models

CASES = [
    (models.alias, TrapKind.ALIAS, "return x.clone()"),
    (models.alias_by_view, TrapKind.ALIAS, "return x.clone()"),
    (models.an_int, TrapKind.NOT_A_TENSOR, "torch.full((), value)"),
    (models.the_same_int, TrapKind.NOT_A_TENSOR, "torch.full((), value)"),
]


def captured(model, mark="backed"):
    request = CaptureRequest(model, (torch.randn(6, 16),), {}, {"x": {0: "n"}})
    shapes = DynamicShapesConfig(DynamicShapesType(mark))
    return capture(request, CompilationConfig(backend="eager", dynamic_shapes=shapes))


@pytest.mark.parametrize("mark", ["backed", "unbacked"])
@pytest.mark.parametrize(("model", "kind", "change"), CASES)
def test_the_graph_tells(model, kind, change, mark):
    (trap,) = cond_graph_traps(captured(model, mark).graph)
    assert trap.kind is kind
    assert models.here(model) in str(trap)
    assert change in trap.change


@pytest.mark.parametrize("model", [models.right_cond, models.mutation, models.size_branch])
def test_a_right_one_has_no_trap(model):
    found = captured(model)
    assert cond_graph_traps(found.graph) == ()
    assert explain_compile_error(found.graph) is None


@pytest.mark.slow
@pytest.mark.parametrize(("model", "kind", "change"), CASES)
def test_inductor_cannot_compile_it(model, kind, change):
    with pytest.raises(explorer.CompileError, match="The backend 'inductor' failed") as caught:
        explorer.compile_model(
            model,
            (torch.randn(6, 16),),
            dynamic_arg_dims={"x": {0: "n"}},
            config=CompilationConfig(max_size=64),
        )
    assert models.here(model) in str(caught.value)
    assert change in str(caught.value)


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [4, 6])
def test_a_side_that_changes_its_input_is_right_without_gradients(backend, size):
    compiled = explorer.compile_model(
        models.mutation,
        (torch.randn(6, 16),),
        dynamic_arg_dims={"x": {0: "n"}},
        config=CompilationConfig(max_size=64, backend=backend),
    )
    x = torch.randn(size, 16)
    given, expected = x.clone(), x.clone()
    assert torch.allclose(compiled(given), models.mutation(expected))
    assert torch.equal(given, expected)
    assert torch.equal(given, x) is (size != 4)
