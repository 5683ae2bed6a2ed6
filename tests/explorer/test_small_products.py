"""Matrix products of a few rows, written by Inductor."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from explorer import CompilationConfig, CompiledModel, SmallMatrixProducts, compile_model
from explorer.config import StoreConfig

ATEN = torch.ops.aten


class Model(nn.Module):
    """A product without a bias and one with."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(16, 32, bias=False)
        self.down = nn.Linear(32, 8)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(values).relu())


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model()


@pytest.fixture(scope="module")
def compiled(model: Model) -> CompiledModel:
    return compile_model(
        model,
        (torch.randn(8, 16),),
        dynamic_arg_dims={"values": {0: "n"}},
        config=CompilationConfig(
            compile_sizes=(2, 6),
            max_size=64,
            inductor_config={"post_grad_custom_post_pass": SmallMatrixProducts()},
            store=StoreConfig(enabled=False),
        ),
    )


def test_products_are_written_for_few_rows_only(compiled: CompiledModel) -> None:
    code = {str(each.size_range): each.generated_code() for each in compiled.compilation.artifacts}

    calls = {name: text.count("extern_kernels.") for name, text in code.items()}
    assert calls == {"2": 0, "6": 2, "1–64": 2}


@pytest.mark.parametrize("size", [2, 6, 9])
def test_numbers_are_eagers(model: Model, compiled: CompiledModel, size: int) -> None:
    values = torch.randn(size, 16)
    with torch.no_grad():
        torch.testing.assert_close(compiled(values), model(values))


def test_most_rows_are_in_the_identity() -> None:
    assert SmallMatrixProducts(4).uuid() != SmallMatrixProducts(5).uuid()
    assert SmallMatrixProducts().uuid() == SmallMatrixProducts(4).uuid()


@pytest.mark.parametrize(
    "value", [torch.ones(2, 3, dtype=torch.float64), torch.ones(2, 3, device="meta")]
)
def test_other_types_and_devices_are_left_alone(value: torch.Tensor) -> None:
    graph = fx.Graph()
    rows, weight = graph.placeholder("rows"), graph.placeholder("weight")
    rows.meta["val"], weight.meta["val"] = value, value.t()
    product = graph.call_function(ATEN.mm.default, (rows, weight))
    product.meta["val"] = value @ value.t()
    graph.output(product)

    SmallMatrixProducts()(graph)

    assert [node.target for node in graph.nodes if node.op == "call_function"] == [ATEN.mm.default]
