"""A failed condition on model state, in words: what it is, where it was read, what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from explorer import CompilationConfig, GuardPolicy, GuardViolation, compile_model

CHECK = CompilationConfig(backend="eager")


def rows(size: int) -> torch.Tensor:
    return torch.arange(size * 3, dtype=torch.float32).reshape(size, 3)


class MakesAnAttribute(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "table"):
            self.table = torch.ones(3) * 2
        return x * self.table


class FillsADict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, int] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if "three" not in self.tables:
            self.tables["three"] = 3
        return x * self.tables["three"]


class GrowsATable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.table is None or self.table.shape[0] < x.shape[0]:
            self.table = torch.arange(x.shape[0])[:, None]
        return x * self.table[: x.shape[0]]


CHANGE_THEMSELVES = [
    pytest.param(MakesAnAttribute, r"where not hasattr\(self, 'table'\)", id="an attribute"),
    pytest.param(FillsADict, r"where self\.tables has no attribute 'three'", id="an item"),
    pytest.param(GrowsATable, r"where self\.table is None", id="a value"),
]


@pytest.mark.parametrize(("kind", "condition"), CHANGE_THEMSELVES)
def test_a_model_that_changes_itself_in_a_call_is_told_of_variants(
    kind: type[nn.Module], condition: str
) -> None:
    model = compile_model(kind(), (rows(5),), dynamic_arg_dims={"x": {0: "n"}}, config=CHECK)
    assert torch.equal(model(rows(5)), kind()(rows(5)))
    with pytest.raises(GuardViolation, match=rf"{condition}.*VARIANTS\.$"):
        model(rows(5))


@pytest.mark.parametrize("kind", [MakesAnAttribute, FillsADict, GrowsATable])
def test_variants_serves_a_model_that_changes_itself_in_a_call(kind: type[nn.Module]) -> None:
    config = CHECK.replace(guard_policy=GuardPolicy.VARIANTS)
    model = compile_model(kind(), (rows(5),), dynamic_arg_dims={"x": {0: "n"}}, config=config)
    for size in (5, 6, 4, 6):
        assert torch.equal(model(rows(size)), kind()(rows(size)))


def scaled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def test_what_is_not_of_the_model_is_not_said_to_be_changed_by_it() -> None:
    model = compile_model(scaled, (rows(5),), dynamic_arg_dims={"x": {0: "n"}}, config=CHECK)
    with torch.device("cpu"), pytest.raises(GuardViolation, match=r"default device") as caught:
        model(rows(5))
    assert "VARIANTS" not in str(caught.value)
