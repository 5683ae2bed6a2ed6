"""An embedding reads its token ids: they may be strided, and two inputs may be one tensor."""

import pytest
import torch
from torch import nn

import explorer
from explorer.stages.effects import written_inputs


class TwoTables(nn.Module):
    def __init__(self, max_norm: float | None = None) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 4, max_norm=max_norm)
        self.places = nn.Embedding(50, 4)

    def forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.words(ids) + self.places(positions)


def compiled(model: nn.Module) -> explorer.CompiledModel:
    example = (torch.arange(6), torch.arange(6))
    config = explorer.CompilationConfig(backend="eager", max_size=64)
    dims = {"ids": {0: "n"}, "positions": {0: "n"}}
    with torch.no_grad():
        return explorer.compile_model(model, example, dynamic_arg_dims=dims, config=config)


@torch.no_grad()
@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param((torch.arange(40)[::2], torch.arange(20)), id="strided"),
        pytest.param((torch.arange(20),) * 2, id="one tensor"),
    ],
)
def test_token_ids_are_only_read(inputs: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = TwoTables()
    assert torch.equal(compiled(model)(*inputs), model(*inputs))


def test_a_table_that_is_renormalised_counts_as_written() -> None:
    graph = compiled(TwoTables(max_norm=1.0)).compilation.captured.graph
    assert "words_weight" in {node.name for node in written_inputs(graph)}
    plain = compiled(TwoTables()).compilation.captured.graph
    assert written_inputs(plain) == frozenset()
