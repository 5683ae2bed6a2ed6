"""Memory that CUDA graphs read and write: inputs, weights, what a model writes, what it returns."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
import torch

from explorer import (
    CUDAGraphAddressError,
    CUDAGraphMode,
    counters,
)
from tests.explorer.runtime.graph_models import (
    DOUBLED,
    FULL,
    MODES,
    PIECEWISE,
    Fresh,
    assert_like,
    like,
    plain,
    rows,
)
from tests.explorer.runtime.recording_graphs import (
    GARBAGE,
    RecordingGraphs,
    graphed,
    python_op,
)


@pytest.fixture
def api() -> RecordingGraphs:
    return RecordingGraphs()


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_another_tensor_than_the_captured_one_is_an_error(
    api: RecordingGraphs, mode: CUDAGraphMode
) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, mode=mode, splitting_ops=(DOUBLED,))
    x = rows(4)
    for seed in range(3):
        x.copy_(rows(4, seed))
        assert_like(model, fast, x)
    with pytest.raises(CUDAGraphAddressError, match="x lies at another address") as caught:
        fast(rows(4))
    assert caught.value.path == "x"
    assert "cudagraph_copy_inputs=True" in str(caught.value)
    assert_like(model, fast, x)


def test_beginnings_of_one_buffer(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, mode=FULL, splitting_ops=(DOUBLED,))
    buffer = torch.empty(8, 3)
    records = fast.capture_cuda_graphs(buffer.fill_(1))
    assert [each.size for each in records] == [8, 4]
    for size in (4, 8, 4):
        buffer[:size] = rows(size, 5)
        assert_like(model, fast, buffer[:size])
    assert len(fast.cuda_graphs) == 2


def test_beginnings_that_lie_otherwise_are_not_captured(api: RecordingGraphs) -> None:
    def model(x):
        return x * 2

    fast = graphed(model, torch.ones(3, 5), api=api, dims={"x": 1})
    buffer = torch.ones(3, 8)
    assert [each.size for each in fast.capture_cuda_graphs(buffer)] == [8]
    four = torch.ones(3, 4)
    for _ in range(3):
        assert_like(model, fast, four)
        assert_like(model, fast, buffer)


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_weights_changed_in_place_are_seen(api: RecordingGraphs, mode: CUDAGraphMode) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, mode=mode, cudagraph_copy_inputs=True)
    assert_like(model, fast, rows(4))
    with torch.no_grad():
        model.first.weight.mul_(3)
        model.second.bias.add_(1)
    with counters.expect(cudagraphs_captured=0):
        assert_like(model, fast, rows(4))


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_weights_in_other_memory_are_captured_again(
    api: RecordingGraphs, mode: CUDAGraphMode, caplog: pytest.LogCaptureFixture
) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, mode=mode, cudagraph_copy_inputs=True)
    for _ in range(3):
        assert_like(model, fast, rows(4))
    model.second.bias.data = torch.tensor([5.0, 6.0, 7.0])
    with caplog.at_level(logging.WARNING, "explorer"), counters.expect(cudagraphs_captured=2):
        assert_like(model, fast, rows(4))
        assert_like(model, fast, rows(4))
    assert "second.bias lies elsewhere" in caplog.text
    model.first = torch.nn.Linear(3, 4)
    for _ in range(3):
        assert_like(model, fast, rows(4, 2))
    assert plain(fast, rows(4)).size == 4


def test_old_graphs_go_with_their_weights(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, mode=FULL, cudagraph_copy_inputs=True)
    for _ in range(3):
        fast(rows(4))
    graph = weakref.ref(api.graphs[0])
    api.graphs.clear()
    model.first.weight = torch.nn.Parameter(torch.ones(4, 3))
    for _ in range(3):
        assert_like(model, fast, rows(4))
    gc.collect()
    assert graph() is None


class Counting(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))
        self.seen: torch.Tensor

    def forward(self, x):
        self.seen += 1
        return x + self.seen


@pytest.mark.parametrize("mode", MODES)
def test_buffers_that_the_model_writes_count_each_call_once(
    api: RecordingGraphs, mode: CUDAGraphMode
) -> None:
    model = Counting()
    fast = graphed(model, rows(5), api=api, mode=mode, cudagraph_copy_inputs=True)
    for number in range(1, 8):
        size = 4 if number % 3 else 3
        torch.testing.assert_close(fast(rows(size)), rows(size) + number)
        assert model.seen.tolist() == [number] * 3
    assert api.replays > 3


def test_input_that_is_written(api: RecordingGraphs) -> None:
    def into(x, out):
        out.copy_(x * 2)
        return x + 1

    dims = {"x": {0: "n"}, "out": {0: "n"}}
    fast = graphed(into, rows(5), rows(5), api=api, dims=dims)
    x, out = rows(4), torch.zeros(4, 3)
    for seed in range(3):
        x.copy_(rows(4, seed))
        torch.testing.assert_close(fast(x, out), x + 1)
        torch.testing.assert_close(out, x * 2)
    assert api.replays == 4
    small = torch.zeros(3, 3)
    fast(rows(3), small)
    torch.testing.assert_close(small, rows(3) * 2)
    assert "writes to out" in plain(fast, rows(3), small).note


def test_input_that_is_returned_stays_the_users(api: RecordingGraphs) -> None:
    def same(x):
        return x, x[1:], x + 1

    fast = graphed(same, rows(5), api=api, cudagraph_copy_inputs=True)
    x = rows(4)
    found, view, _ = fast(x)
    assert found is x
    assert view.data_ptr() == x[1:].data_ptr()
    assert "returns x" in plain(fast, x).note
    assert api.graphs == []


class ReturnsWeight(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, x):
        return self.weight, x * self.weight


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_returned_weight_is_the_weight(api: RecordingGraphs, mode: CUDAGraphMode) -> None:
    model = ReturnsWeight()
    fast = graphed(model, rows(5), api=api, mode=mode, cudagraph_copy_inputs=True)
    for size in (4, 3, 4, 3):
        weight, _ = fast(rows(size))
        assert weight.data_ptr() == model.weight.data_ptr()


def sees_garbage(x: torch.Tensor) -> torch.Tensor:
    if GARBAGE in x.tolist()[0]:
        raise ValueError("garbage")
    return x * 1


SEES_GARBAGE = python_op(sees_garbage, fake_impl=like)


def test_splitting_ops_see_real_values_while_pieces_are_captured(api: RecordingGraphs) -> None:
    def model(x):
        return torch.ops.explorer.graphs_sees_garbage(x + 1) * 2

    settings = {"splitting_ops": (SEES_GARBAGE,), "cudagraph_copy_inputs": True}
    fast = graphed(model, rows(5), api=api, **settings)
    assert_like(model, fast, rows(4))
    assert len(fast.cuda_graphs) == 4


class Alias(torch.nn.Module):
    """A piece writes to what a splitting op made, and the result is read through it."""

    def forward(self, x):
        y = torch.ops.explorer.graphs_doubled(x + 1)
        y.add_(1)
        z = torch.ops.explorer.graphs_doubled(y)
        return y + z


def test_piece_that_writes_to_what_a_splitting_op_made(api: RecordingGraphs) -> None:
    fast = graphed(Alias(), rows(5), api=api, splitting_ops=(DOUBLED,), cudagraph_copy_inputs=True)
    for seed in range(4):
        assert_like(Alias(), fast, rows(4, seed))
    assert any("writes to what a splitting op made" in note for note in fast.cuda_graph_notes)
    assert 0 < len(fast.cuda_graphs) < 6
