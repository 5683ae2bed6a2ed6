"""What capture and shapes need of torch's private names: a test fails when torch changes it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import sympy
import torch
import torch.fx.experimental._config

from explorer.artifacts.common import Expression
from explorer.torch_private import capture, shapes

NAMES = [
    ("torch._dynamo.convert_frame", "fullgraph_capture"),
    ("torch._dynamo.convert_frame", "get_traced_fn"),
    ("torch._dynamo.utils", "get_metrics_context"),
    ("torch._dynamo.utils", "dynamo_timed"),
    ("torch._dynamo.hooks", "Hooks"),
    ("torch._dynamo.decorators", "mark_unbacked"),
    ("torch._dynamo", "mark_dynamic"),
    ("torch._dynamo.source", "ConstantSource"),
    ("torch._dynamo.exc", "Unsupported"),
    ("torch._dynamo.exc", "ObservedException"),
    ("torch._dynamo.exc", "TorchRuntimeError"),
    ("torch._dynamo.exc", "UserError"),
    ("torch._dynamo.exc", "UncapturedHigherOrderOpError"),
    ("torch._guards", "TracingContext"),
    ("torch._subclasses", "FakeTensorMode"),
    ("torch.fx.experimental.symbolic_shapes", "ConstraintViolationError"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv"),
    ("torch.fx.experimental.symbolic_shapes", "DimDynamic"),
    ("torch.utils._sympy.value_ranges", "ValueRanges"),
]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[f"{a}.{b}" for a, b in NAMES])
def test_name_is_there(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    "name", ["automatic_dynamic_shapes", "assume_static_by_default", "skip_nnmodule_hook_guards"]
)
def test_setting_is_there(name: str) -> None:
    assert isinstance(getattr(torch._dynamo.config, name), bool)
    assert isinstance(torch.fx.experimental._config.backed_size_oblivious, bool)


@pytest.mark.parametrize(
    "name", ["_log_guard", "_update_version_counter", "create_symbol", "evaluate_expr", "replace"]
)
def test_method_of_the_environment_is_there(name: str) -> None:
    assert callable(getattr(shapes.ShapeEnv, name))


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(3, 3)
        self.scale = 2.0

    def forward(self, x, k=1):
        if x.shape[0] > 4:
            return self.inner(x) * self.scale + k
        return x


def traced(**marks: Any) -> tuple[Model, capture.RawCapture, torch.Tensor]:
    model, x = Model(), torch.ones(6, 3)
    capture.mark_backed(x, 0)
    return model, capture.trace(model, (x,), {}), x


def test_capture_has_graph_inputs_and_sources() -> None:
    model, raw, _ = traced()
    assert raw.graph_module is not None
    placeholders = [node for node in raw.graph_module.graph.nodes if node.op == "placeholder"]
    assert len(placeholders) == len(raw.sources) == len(raw.example_inputs)
    assert "L['x']" in raw.sources and "L['x'].size()[0]" in raw.sources
    assert any(value is model.inner.weight for value in raw.example_inputs)
    assert raw.receiver is model and raw.function is Model.forward


def test_capture_has_the_guard_with_the_line_of_the_user() -> None:
    _, raw, _ = traced()
    (guard,) = [each for each in raw.shape_guards if isinstance(each.expression, sympy.Gt)]
    assert guard.user_stack[-1].line == "if x.shape[0] > 4:"


def test_bound_function_calls_the_flat_function_and_rebuilds_the_output() -> None:
    model, raw, _ = traced()
    seen: list[Any] = []

    def flat(*values: Any) -> Any:
        seen.append(values)
        return (torch.zeros(2),)

    assert torch.equal(raw.bind(flat)(model, torch.ones(7, 3)), torch.zeros(2))
    assert len(seen[0]) == len(raw.sources)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        pytest.param(lambda m, scope: None, None, id="nothing"),
        pytest.param(lambda m, scope: scope.update(x=torch.ones(9, 3)), None, id="another size"),
        pytest.param(lambda m, scope: scope.update(k=2), "k", id="a number"),
        pytest.param(lambda m, scope: setattr(m, "scale", 3.0), "scale", id="an attribute"),
        pytest.param(lambda m, scope: m.inner.double(), "dtype", id="dtype of a parameter"),
    ],
)
def test_state_guards(change: Any, word: str | None) -> None:
    model, raw, x = traced()
    scope = {"self": model, "x": x, "k": 1}
    change(model, scope)
    assert raw.state.check(scope) is (word is None)
    if word is not None:
        assert word in raw.state.explain(scope)


def test_error_of_the_model_is_told_from_a_graph_break() -> None:
    def raises(x):
        raise ValueError("no")

    def breaks(x):
        print(x)
        return x

    for model, own in ((raises, True), (breaks, False)):
        with pytest.raises(capture.TRACE_ERRORS) as caught:
            capture.trace(model, (torch.ones(3),), {})
        assert capture.is_error_of_model(caught.value) is own


def test_fixed_dim_is_a_constraint_violation() -> None:
    x = torch.ones(6, 3)
    capture.mark_backed(x, 0)
    with pytest.raises(capture.ConstraintViolationError, match=r"L\['x'\]\.size\(\)\[0\]"):
        capture.trace(lambda x: x.reshape(6, 3) + 1, (x,), {})


def test_unbacked_dims_of_one_shape_id_are_one_symbol() -> None:
    x, y = torch.ones(6, 3), torch.ones(6, 3)
    for tensor in (x, y):
        capture.mark_unbacked(tensor, 0, "n")
    raw = capture.trace(lambda x, y: (x * 2, y * 3), (x, y), {})
    assert raw.shape_env is not None
    sizes = [source for source in raw.sources if source.endswith(".size()[0]")]
    assert len(sizes) == 1


def test_compiled_wrappers_are_taken_off() -> None:
    model = Model()

    def function(x):
        return x

    assert capture.unwrap_compiled(torch.compile(model)) is model
    assert capture.unwrap_compiled(torch.compile(function)) is function
    assert capture.unwrap_compiled(function) is function
    disabled = torch.compiler.disable(function)
    assert capture.unwrap_compiled(disabled) is disabled


# ------------------------------------------------------------ shapes


def fake_example() -> tuple[tuple[Any, ...], Expression]:
    _, raw, _ = traced()
    assert raw.graph_module is not None
    nodes = [node for node in raw.graph_module.graph.nodes if node.op == "placeholder"]
    values = [node.meta["example_value"] for node in nodes]
    (size,) = [value for value in values if isinstance(value, torch.SymInt)]
    (tensor,) = [
        v for v in values if isinstance(v, torch.Tensor) and v.shape[0] == size and v.dim() == 2
    ]
    return (size, tensor), size.node.expr


def test_bounds_reach_what_is_statically_known() -> None:
    examples, symbol = fake_example()
    fresh = shapes.fresh_inputs(examples, {symbol: shapes.Bounds(9, 64, 20)}, (), {})
    size, tensor = fresh.values
    assert bool(size <= 64) and bool(size > 8)
    assert fresh.added_guards() == ()
    assert bool(size <= 30)
    (added,) = fresh.added_guards()
    assert added.expression == sympy.Le(symbol, 30)
    assert size.node.hint == 20
    assert isinstance(tensor.shape[0], torch.SymInt) and tensor.shape[1] == 3


def test_replayed_guards_hold() -> None:
    examples, symbol = fake_example()
    guard = sympy.Ne(symbol, 17)
    fresh = shapes.fresh_inputs(examples, {symbol: shapes.Bounds(9, 64, 20)}, (guard,), {})
    assert fresh.added_guards() == ()
    assert bool(fresh.values[0] != 17)
    assert {added.expression for added in fresh.added_guards()} <= {guard}


def test_one_size_has_no_symbol() -> None:
    examples, symbol = fake_example()
    fresh = shapes.fresh_inputs(examples, {symbol: shapes.Bounds(16, 16, 16)}, (), {})
    assert fresh.values[0] == 16 and type(fresh.values[0]) is int
    assert fresh.values[1].shape == (16, 3)
    assert fresh.fake_mode is None
