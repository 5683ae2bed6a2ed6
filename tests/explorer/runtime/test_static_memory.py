"""Memory that stays, padding into it, and results taken out of it."""

from __future__ import annotations

import pytest
import torch

from explorer.runtime.static_memory import (
    Layout,
    PaddedCopy,
    StaticBuffers,
    Written,
    cut_to,
    is_overlapping,
    resized,
    storages,
    taken_out,
)

NOTHING: frozenset[int] = frozenset()


def test_smaller_tensor_lies_in_the_memory_of_the_larger_one() -> None:
    buffers, x = StaticBuffers(), torch.zeros(1)
    large = buffers.like("x", x, (8, 3), (3, 1))
    small = buffers.like("x", x, (4, 3), (3, 1))
    assert small.data_ptr() == large.data_ptr()
    assert buffers.like("y", x, (4, 3), (3, 1)).data_ptr() != large.data_ptr()
    assert buffers.like("x", x.int(), (4, 3), (3, 1)).data_ptr() != large.data_ptr()
    larger = buffers.like("x", x, (9, 3), (1, 9))
    assert (larger.shape, larger.stride()) == ((9, 3), (1, 9))
    large.fill_(1)  # still there
    with torch.inference_mode():
        inside = buffers.like("z", x, (2,), (1,))
    inside.fill_(1)


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.zeros(3, 4), False),
        (torch.zeros(3, 4).t(), False),
        (torch.zeros(3, 4)[:, ::2], False),
        (torch.zeros(3, 1).expand(3, 4), True),
        (torch.zeros(8).as_strided((3, 4), (1, 1)), True),
        (torch.zeros(8).as_strided((4, 2), (2, 1)), False),
        (torch.zeros(0, 4), False),
        (torch.zeros(()), False),
    ],
)
def test_overlapping(tensor: torch.Tensor, expected: bool) -> None:
    assert is_overlapping(tensor) is expected


@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (3, 3), (1, 1), (5, 1)])
def test_padding_repeats_the_last_rows(shape: tuple[int, int]) -> None:
    target = torch.full((5, 5), -1.0)
    x = torch.randn(shape)
    PaddedCopy(target, shape)(x)
    for i in range(5):
        for j in range(5):
            assert target[i, j] == x[min(i, shape[0] - 1), min(j, shape[1] - 1)]
    torch.testing.assert_close(resized(x, (5, 5)), target)
    torch.testing.assert_close(resized(target, shape), x)


def test_results_are_copies_that_share_memory_as_before() -> None:
    memory = torch.arange(12.0).reshape(3, 4)
    given = [memory, memory[1:, ::2], memory, 7, memory.t(), torch.ones(2), torch.zeros(0)]
    found = taken_out(given, NOTHING)
    for old, new in zip(given, found, strict=True):
        if not isinstance(old, torch.Tensor):
            assert old == new
            continue
        assert torch.equal(old, new)
        assert (new.shape, new.stride()) == (old.shape, old.stride())
        assert new is not old
    assert found[2] is found[0]
    assert found[1].data_ptr() == found[0].data_ptr() + 16
    found[0].fill_(5)
    assert found[4].unique().tolist() == [5]
    assert memory[0, 0] == 0


def test_views_of_a_part_take_no_more_memory_than_they_show() -> None:
    (part,) = taken_out([torch.zeros(1000, 4)[10:12, 1:3]], NOTHING)
    assert part.untyped_storage().nbytes() == 4 * 6


def test_what_is_the_users_is_returned_as_it_is() -> None:
    x = torch.ones(3)
    found = taken_out([x, x[1:], torch.ones(3)], storages([x, 5]))
    assert found[0] is x
    assert found[1].data_ptr() == x[1:].data_ptr()
    assert cut_to([x], [Layout((3,), (1,))], storages([x]))[0] is x


def test_rows_that_were_added_are_taken_off() -> None:
    y = torch.randn(4, 3)
    layouts = [Layout((2, 3), (3, 1)), Layout((3, 2), (1, 3)), 2]
    first, turned, number = cut_to([y, y.t(), 4], layouts, NOTHING)
    assert torch.equal(first, y[:2])
    assert torch.equal(turned, y[:2].t())
    assert (turned.stride(), number) == ((1, 3), 2)


def test_what_was_written_is_put_back() -> None:
    x = torch.ones(3)
    written = Written({"x": x})
    x.add_(1)
    assert written.now()["x"].tolist() == [2, 2, 2]
    written.restore()
    assert x.tolist() == [1, 1, 1]
