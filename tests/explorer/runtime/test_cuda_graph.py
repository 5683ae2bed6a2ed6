"""Calls through CUDA graphs, recorded on the CPU: numbers as in eager, and what was captured."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from explorer import (
    CompilationConfig,
    CUDAGraphMode,
    counters,
)
from sample_models import toy_llama
from tests.explorer.runtime.graph_models import (
    ADD_UP,
    DOUBLED,
    FULL,
    FULL_AND_PIECEWISE,
    MODES,
    PIECEWISE,
    Calls,
    Fresh,
    TwoToyOps,
    assert_like,
    eager,
    plain,
    rows,
)
from tests.explorer.runtime.recording_graphs import (
    RecordingGraphs,
    graphed,
)


@pytest.fixture
def api() -> RecordingGraphs:
    return RecordingGraphs()


# ------------------------------------------------------------------------------ vLLM's numbers


@pytest.mark.parametrize(
    ("mode", "captured"), [(PIECEWISE, 6), (FULL, 2), (FULL_AND_PIECEWISE, 2), ("none", 0)]
)
def test_two_toy_ops(api: RecordingGraphs, mode: Any, captured: int) -> None:
    fast = graphed(
        TwoToyOps(),
        torch.ones(5),
        api=api,
        mode=mode,
        sizes=(1, 2),
        splitting_ops=(ADD_UP,),
        config=CompilationConfig(backend="eager", max_size=128),
    )
    two = torch.ones(2)
    with counters.expect(cudagraphs_captured=captured):
        fast(torch.ones(100))
        assert fast.cuda_graphs == ()
        fast(two)
        fast(torch.ones(1))
    two.zero_()
    before = Calls.count
    assert fast(two).tolist() == [19.0, 19.0]
    assert Calls.count - before == (2 if mode in (PIECEWISE, "none") else 0)
    assert len(fast.cuda_graphs) == captured


LLAMA = CompilationConfig(backend="eager", max_size=64)


@pytest.mark.parametrize(
    ("mode", "cut", "captured"),
    [(PIECEWISE, True, 26), (PIECEWISE, False, 2), (FULL, True, 2), (FULL, False, 2)],
)
def test_toy_llama_of_12_layers(
    api: RecordingGraphs, mode: CUDAGraphMode, cut: bool, captured: int
) -> None:
    sample = toy_llama.sample(layers=12, hidden=32)
    config = LLAMA.replace(splitting_ops=sample.splitting_ops if cut else ())
    fast = graphed(
        sample.model,
        *sample.example_inputs,
        api=api,
        mode=mode,
        sizes=(3, 16),
        config=config,
        dims=sample.dynamic_arg_dims,
        cudagraph_copy_inputs=True,
    )
    assert sample.make_inputs is not None
    for size in (16, 3, 16, 3, 5, 5, 20):
        args, _ = sample.make_inputs({"n": size})
        assert_like(sample.model, fast, *args)
    assert len(fast.cuda_graphs) == captured
    assert fast.cuda_graph_notes == ("the size is above 16, the largest capture size",)


@pytest.mark.parametrize(
    ("mode", "captured"), [("none", 0), (FULL, 1), (PIECEWISE, 13), (FULL_AND_PIECEWISE, 1)]
)
def test_one_capture_size(api: RecordingGraphs, mode: Any, captured: int) -> None:
    sample = toy_llama.sample(layers=12, hidden=32)
    config = LLAMA.replace(splitting_ops=sample.splitting_ops, cudagraph_copy_inputs=True)
    fast = graphed(
        sample.model,
        *sample.example_inputs,
        api=api,
        mode=mode,
        sizes=(24,),
        config=config,
        dims=sample.dynamic_arg_dims,
    )
    with counters.expect(cudagraphs_captured=captured):
        fast(*sample.example_inputs)


# ------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", [DOUBLED, "Tensor.sin", "aten::linear"])
def test_every_size_equals_eager(api: RecordingGraphs, mode: CUDAGraphMode, op: str) -> None:
    model = Fresh()
    config = CompilationConfig(backend="eager", max_size=16, compile_ranges_endpoints=(5,))
    fast = graphed(
        model,
        rows(5),
        api=api,
        mode=mode,
        sizes=(1, 4, 8),
        splitting_ops=(op,),
        config=config,
        cudagraph_copy_inputs=True,
    )
    for seed in range(3):
        for size in (8, 1, 3, 4, 9, 2, 7, 16, 0):
            assert_like(model, fast, rows(size, seed))
    assert api.replays > 20


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_result_of_a_call_is_not_overwritten_by_the_next(
    api: RecordingGraphs, mode: CUDAGraphMode
) -> None:
    model = Fresh()
    fast = graphed(
        model, rows(5), api=api, mode=mode, splitting_ops=(DOUBLED,), cudagraph_copy_inputs=True
    )
    for size in (4, 3, 8):
        fast(rows(size))
        first = fast(rows(size, 1))
        fast(rows(size, 2))
        fast(rows(8, 3))
        torch.testing.assert_close(first, eager(model, rows(size, 1)), rtol=1e-5, atol=1e-5)


class ManyOutputs(torch.nn.Module):
    def forward(self, x):
        y = x.sin()
        return y, {"view": y[:, 1:], "again": y, "n": x.shape[0], "t": y.t()}, x.shape[0] * 2


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_results_share_memory_as_in_eager(api: RecordingGraphs, mode: CUDAGraphMode) -> None:
    model = ManyOutputs()
    fast = graphed(model, rows(5), api=api, mode=mode, cudagraph_copy_inputs=True)
    for size in (4, 4, 3, 3):
        y, rest, double = fast(rows(size))
        assert (rest["n"], double) == (size, 2 * size)
        assert rest["again"] is y
        if size == 4:
            assert rest["view"].data_ptr() == y.data_ptr() + 4
        torch.testing.assert_close(rest["t"], rows(size).sin().t())
        torch.testing.assert_close(rest["view"], rows(size).sin()[:, 1:])
        assert rest["t"].stride() == rows(size).t().stride()
    assert fast.cuda_graphs[-1].padded_calls >= 1


class SizeInside(torch.nn.Module):
    def forward(self, x):
        return x * x.shape[0], (x + 1).reshape(-1)


def test_what_depends_on_the_size_is_not_padded(
    api: RecordingGraphs, caplog: pytest.LogCaptureFixture
) -> None:
    fast = graphed(SizeInside(), rows(5), api=api, cudagraph_copy_inputs=True)
    with caplog.at_level(logging.WARNING, "explorer"):
        for _ in range(3):
            assert_like(SizeInside(), fast, rows(3))
            assert_like(SizeInside(), fast, rows(4))
    assert plain(fast, rows(4)).size == 4
    served = plain(fast, rows(3))
    assert served.mode is CUDAGraphMode.NONE
    assert "padded to 4 the result is another one" in served.note
    assert sum("padded to 4" in text for text in caplog.messages) == 1


ROWS_INFLUENCE_EACH_OTHER = [
    pytest.param(lambda x: x - x.mean(0), id="mean"),
    pytest.param(lambda x: x.softmax(0), id="softmax"),
    pytest.param(lambda x: x * x.sum(0), id="sum"),
    pytest.param(lambda x: x.flip(0), id="flip"),
    pytest.param(lambda x: torch.cat((x, x)), id="cat"),
    pytest.param(lambda x: (x @ x.t()).sum(1), id="gram"),
]


@pytest.mark.parametrize("function", ROWS_INFLUENCE_EACH_OTHER)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_rows_do_not_hide_that_rows_influence_each_other(
    api: RecordingGraphs, function: Any, value: float
) -> None:
    """The first call has rows that look the same; the next one would be wrong if that counted."""
    fast = graphed(function, torch.full((5, 3), value), api=api, cudagraph_copy_inputs=True)
    fast(torch.full((3, 3), value))
    for seed in range(3):
        assert_like(function, fast, rows(3, seed))
    assert plain(fast, rows(3)).mode is CUDAGraphMode.NONE
    assert plain(fast, rows(4)).size == 4


def test_padding_is_not_trusted_where_nothing_else_is_known_to_be_valid(
    api: RecordingGraphs,
) -> None:
    table = torch.randn(4, 3)

    def looked_up(ids):
        return table[ids] - table[ids].mean(0)

    zeros = torch.zeros(5, dtype=torch.int64)
    fast = graphed(looked_up, zeros, api=api, cudagraph_copy_inputs=True)
    for _ in range(5):
        assert_like(looked_up, fast, zeros[:3])
    assert "holds 0 only" in plain(fast, zeros[:3]).note
    ids = torch.tensor([0, 1, 3])
    for _ in range(9):
        assert_like(looked_up, fast, ids)
    assert any("padded to 4" in note for note in fast.cuda_graph_notes)


def test_padding_rows_are_copies_of_the_last_row(api: RecordingGraphs) -> None:
    table = torch.nn.Embedding(7, 3)
    fast = graphed(table, torch.arange(5), api=api, cudagraph_copy_inputs=True)
    for last in (6, 0, 3):
        ids = torch.tensor([1, 2, last])
        assert_like(table, fast, ids)
        assert_like(table, fast, ids)
    assert plain(fast, torch.tensor([1, 2, 6])).padded_to == 4


def test_two_dynamic_dims_of_one_size(api: RecordingGraphs) -> None:
    def masked(x, mask):
        return x + mask.sum(1, keepdim=True)

    def upper(x, mask):
        return x + mask[:, :1]

    dims = {"x": {0: "n"}, "mask": {0: "n", 1: "n"}}
    for function, is_padded in ((masked, False), (upper, True)):
        one = RecordingGraphs()
        example = (rows(5), torch.randn(5, 5))
        fast = graphed(function, *example, api=one, dims=dims, cudagraph_copy_inputs=True)
        for size in (3, 3, 4, 4, 3):
            assert_like(function, fast, rows(size), torch.randn(size, size))
        assert (plain(fast, rows(3), torch.randn(3, 3)).padded_to == 4) is is_padded


def test_graphs_for_several_other_sizes(api: RecordingGraphs) -> None:
    def joined(x, y):
        return x + y.sum(0)

    dims = {"x": {0: "n"}, "y": {0: "m"}}
    fast = graphed(joined, rows(5), rows(6), api=api, dims=dims, cudagraph_copy_inputs=True)
    for other in range(2, 9):
        for size in (3, 4, 3):
            assert_like(joined, fast, rows(size), rows(other))
    assert len(fast.cuda_graphs) == 4 * 2
    assert plain(fast, rows(4), rows(9)).note == "there are graphs for 4 other sizes"


def test_nothing_dynamic(api: RecordingGraphs) -> None:
    fast = graphed(Fresh(), rows(5), api=api, dims={}, splitting_ops=(DOUBLED,))
    x = rows(5)
    fast(x)
    x.copy_(rows(5, 1))
    torch.testing.assert_close(fast(x), eager(fast.model_before_compiling, x))
    assert [(each.size, each.piece) for each in fast.cuda_graphs] == [
        (None, "piece_0"),
        (None, "piece_2"),
    ]
