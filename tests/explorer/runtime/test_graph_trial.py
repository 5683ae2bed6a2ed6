"""What a trial compares, and the values that it makes up."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer.runtime.graph_trial import Inconclusive, difference, other_rows

ONE = torch.ones(3)


@pytest.mark.parametrize(
    ("expected", "given", "words"),
    [
        ((ONE, 2), (ONE.clone(), 2), ""),
        ((ONE,), (ONE + 1e-6,), ""),
        ((ONE * torch.nan,), (ONE * torch.nan,), ""),
        ((ONE,), (ONE + 1,), "result 0 differs in 3 of 3 elements"),
        ((ONE,), (ONE[:2],), "result 0 has shape"),
        ((ONE, 2), (ONE, 3), "result 1 is 3 instead of 2"),
        ((ONE, 2), (ONE,), "1 values are returned instead of 2"),
        ((ONE,), (1,), "result 0 is a int"),
    ],
)
def test_difference(expected: Any, given: Any, words: str) -> None:
    found = difference(expected, given, {}, {})
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_what_was_written_counts() -> None:
    assert difference((), (), {"seen": ONE}, {"seen": ONE + 1}).startswith("seen differs")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.complex64])
@pytest.mark.parametrize("value", [0, 1])
def test_rows_differ_though_those_of_the_call_do_not(dtype: torch.dtype, value: int) -> None:
    tensor = torch.full((3, 8), value, dtype=dtype)
    found = other_rows(tensor, tensor, (6, 8), "x")
    assert (found.shape, found.dtype) == ((6, 8), dtype)
    assert not torch.equal(found[-1], found[0])
    assert not torch.equal(found[-1], found[2])


def test_numbers_that_may_be_an_index_are_those_of_the_call_or_the_example() -> None:
    tensor, example = torch.full((3,), 4), torch.tensor([7, 9, 9, 30])
    found = other_rows(tensor, example, (64,), "ids")
    assert set(found.tolist()) == {7, 9, 30}
    found = other_rows(torch.tensor([5, 6, 5]), torch.zeros(4, dtype=torch.int64), (64,), "ids")
    assert set(found.tolist()) == {5, 6}


def test_one_number_gives_smaller_ones() -> None:
    found = other_rows(torch.full((3,), 4), torch.full((5,), 4), (200,), "ids")
    assert set(found.tolist()) == {0, 1, 2, 3}


def test_only_zeros_show_nothing() -> None:
    zeros = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(Inconclusive, match="kinds holds 0 only"):
        other_rows(zeros, zeros, (4,), "kinds")


def test_every_dim_that_grows_has_other_values() -> None:
    mask = torch.ones(3, 3)
    found = other_rows(mask, torch.ones(5, 5), (8, 8), "mask")
    assert found.shape == (8, 8)
    assert len(found.unique()) == 64
