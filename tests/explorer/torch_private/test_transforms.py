"""Models with the transforms of ``torch.func``: vmap, grad and the like."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer import GuardPolicy, Session, compile_model
from explorer.artifacts import CapturedGraph
from explorer.stages.capture import CaptureRequest, capture
from explorer.stages.split import SplittingOpWarning
from explorer.torch_private import transforms
from explorer.torch_private.transforms import open_transforms
from tests.explorer.comparing import EAGER, filled

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script. is deprecated:DeprecationWarning"  # torch's own jacfwd
)

VARIANTS = EAGER.replace(guard_policy=GuardPolicy.VARIANTS)
WEIGHT = filled(8, 8)
ROWS = filled(4, 3)


def scanned(x):
    return torch.vmap(lambda row: row.cumsum(0).softmax(0))(x)


def columns(x):
    return torch.vmap(lambda column: column.cumsum(0), in_dims=1, out_dims=1)(x)


def gradient(x):
    return torch.func.grad(lambda y: (y.sin() ** 2).sum())(x)


def gradient_of_each(x):
    return torch.vmap(torch.func.grad(lambda row: (row.sin() @ WEIGHT).sum()))(x)


def jacobian(x):
    return torch.func.jacrev(lambda y: (y.sin() @ WEIGHT).sum(0))(x)


def forward_jacobian(x):
    return torch.func.jacfwd(lambda y: (y.sin() @ WEIGHT).sum(0))(x)


def causal_mask(x):
    places = torch.arange(x.shape[0])
    keys = torch.vmap(lambda query, key: query >= key, in_dims=(None, 0))
    return torch.vmap(keys, in_dims=(0, None))(places, places).float() @ x


def writes_a_row(x):
    torch.vmap(lambda row: row[:4].mul_(2))(x)
    return x.sum(1)


def writes_an_item(x):
    def change(row):
        row[0] = 0.0
        return row * 2

    return torch.vmap(change)(x) + x


def writes_inside_two(x):
    torch.vmap(torch.vmap(lambda item: item.mul_(3)))(x)
    return x + 0


def writes_a_copy(x):
    copy = x * 1
    torch.vmap(lambda row: row.mul_(2))(copy)
    return copy.sum(1)


def writes_an_intermediate(x):
    def total(row):
        shifted = row * 1
        shifted.add_(1)
        return (shifted**2).sum()

    return torch.func.grad(total)(x)


READING = [scanned, columns, gradient, gradient_of_each, jacobian, forward_jacobian, causal_mask]
READING += [writes_a_copy, writes_an_intermediate]
WRITING = [writes_a_row, writes_an_item, writes_inside_two]


def captured(model: Any) -> CapturedGraph:
    return capture(CaptureRequest(model, (filled(4, 8),), {}, {"x": {0: "n"}}), EAGER)


@pytest.mark.parametrize("config", [EAGER, VARIANTS], ids=["CHECK", "VARIANTS"])
@pytest.mark.parametrize("model", [*READING, *WRITING])
def test_every_size_gives_what_eager_gives(model: Any, config: Any) -> None:
    compiled = compile_model(
        model, (filled(4, 8),), dynamic_arg_dims={"x": {0: "n"}}, config=config
    )
    for size in (5, 2, 9, 1):
        given, other = filled(size, 8), filled(size, 8)
        torch.testing.assert_close(compiled(given), model(other))
        assert torch.equal(given, other)


@pytest.mark.parametrize("model", READING)
def test_a_transform_that_writes_to_no_input_is_known(model: Any) -> None:
    assert [each.written for each in captured(model).user_inputs] == [False]


@pytest.mark.parametrize("model", WRITING)
def test_a_write_inside_a_transform_is_one_to_the_input(model: Any) -> None:
    assert [each.written for each in captured(model).user_inputs] == [True]


def test_no_cut_is_made_inside_a_transform() -> None:
    def model(x):
        return torch.vmap(lambda row: row.cumsum(0) * 2)(x.cumsum(0))

    session = Session(
        model,
        (filled(4, 8),),
        dynamic_arg_dims={"x": {0: "n"}},
        config=EAGER.replace(splitting_ops=("Tensor.cumsum",)),
    )
    with pytest.warns(SplittingOpWarning, match=r"no cut at Tensor\.cumsum at .*test_transforms"):
        pieces = session.compilation.pieces
    assert [each.kind.name for each in pieces] == ["SPLITTING", "COMPILED"]
    assert torch.equal(session.run(filled(3, 8)), model(filled(3, 8)))
    assert open_transforms() == 0


def test_a_module_that_holds_the_transform_is_cut_out_whole() -> None:
    class Scan(torch.nn.Module):
        def forward(self, x):
            return scanned(x)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scan = Scan()

        def forward(self, x):
            return self.scan(x + 1) * 2

    model = Model()
    session = Session(
        model,
        (filled(4, 8),),
        dynamic_arg_dims={"x": {0: "n"}},
        config=EAGER.replace(splitting_ops=("module:scan",)),
    )
    kinds = [each.kind.name for each in session.compilation.pieces]
    assert kinds == ["COMPILED", "SPLITTING", "COMPILED"]
    assert torch.equal(session.run(filled(3, 8)), model(filled(3, 8)))


def looked_up(x):
    return torch.vmap(torch.func.grad(lambda row: (ROWS[row.long()] * row.sum()).sum()))(x)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_a_call_that_fails_inside_a_transform_leaves_it(is_enabled: bool) -> None:
    compiled = compile_model(
        looked_up, (torch.ones(4, 8),), dynamic_arg_dims={"x": {0: "n"}}, config=EAGER
    )
    with torch.set_grad_enabled(is_enabled):
        with pytest.raises(IndexError, match="out of bounds"):
            compiled(torch.full((3, 8), 9.0))
        assert torch.is_grad_enabled() is is_enabled
    assert open_transforms() == 0
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        pass  # torch.func refuses hooks while grad is open
    assert torch.equal(compiled(torch.ones(3, 8)), looked_up(torch.ones(3, 8)))


def test_regions_are_the_outermost_transforms() -> None:
    found = transforms.regions(captured(lambda x: gradient_of_each(x) + scanned(x)).graph)
    assert [(each[0].name, each[-1].name) for each in found] == [
        ("_vmap_increment_nesting", "_vmap_decrement_nesting"),
        ("_vmap_increment_nesting_1", "_vmap_decrement_nesting_1"),
    ]
