"""Calls through CUDA graphs, recorded on the CPU: numbers as in eager, and what was captured."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from typing import Any

import pytest
import torch

from explorer import (
    CompilationConfig,
    ConfigError,
    CUDAGraphAddressError,
    CUDAGraphMode,
    GuardPolicy,
    GuardViolation,
    OutOfRange,
    SizeOutOfRange,
    compile_model,
    counters,
)
from explorer.errors import RunError
from sample_models import toy_llama
from tests.explorer.runtime.recording_graphs import (
    GARBAGE,
    RecordingGraphs,
    graphed,
    python_op,
)

PIECEWISE, FULL = CUDAGraphMode.PIECEWISE, CUDAGraphMode.FULL
FULL_AND_PIECEWISE = CUDAGraphMode.FULL_AND_PIECEWISE
MODES = (PIECEWISE, FULL, FULL_AND_PIECEWISE)


class Calls:
    """How often ``graphs::add_up`` ran its Python."""

    count = 0


def add_up(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor) -> None:
    Calls.count += 1
    out.copy_(q)
    out += k
    out += v


def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def waits(x: torch.Tensor) -> torch.Tensor:
    return x - x.max().item()


ADD_UP = python_op(add_up, mutates_args=("out",))
DOUBLED = python_op(doubled, fake_impl=like)
WAITS = python_op(waits, fake_impl=like)


class TwoToyOps(torch.nn.Module):
    """Three capturable pieces around two ops; y = 9 x + 19."""

    def forward(self, x):
        x = x + 1
        x = x + 2
        out = torch.empty_like(x)
        torch.ops.explorer.graphs_add_up(x, x, x, out)
        x = out
        x = x - 2
        x = x - 1
        out = torch.empty_like(x)
        torch.ops.explorer.graphs_add_up(x, x, x, out)
        x = out
        return x + 1


class Fresh(torch.nn.Module):
    """The op in the middle returns memory of its own at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.second = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.second(torch.ops.explorer.graphs_doubled(self.first(x)).sin())


class Waiting(Fresh):
    def forward(self, x):
        return self.second(torch.ops.explorer.graphs_waits(self.first(x).sin() + 0 * x[:, :1]) + 1)


def eager(model: Any, *args: Any) -> Any:
    with torch.no_grad():
        return model(*args)


def rows(size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(size + 100 * seed))


def assert_like(model: Any, fast: Any, *args: Any) -> None:
    torch.testing.assert_close(fast(*args), eager(model, *args), rtol=1e-5, atol=1e-5)


def plain(fast: Any, *args: Any) -> Any:
    """What served a call."""
    with fast.record() as record:
        fast(*args)
    return record.cuda_graph


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


# ------------------------------------------------------------------------------------ the addresses


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


# ------------------------------------------------------------------- what cannot be captured at all


def test_op_that_waits_for_the_device(api: RecordingGraphs) -> None:
    model = Waiting()
    settings = {"splitting_ops": (WAITS,), "cudagraph_copy_inputs": True}
    fast = graphed(model, rows(5), api=api, mode=FULL_AND_PIECEWISE, **settings)
    for seed in range(3):
        assert_like(model, fast, rows(4, seed))
    served = plain(fast, rows(4))
    assert served.mode is PIECEWISE
    assert "no graph of the whole call at size 4: called a synchronizing operation" in served.note
    assert {each.piece for each in fast.cuda_graphs} == {"piece_0", "piece_2"}
    assert api.failures == 0  # it was known before a capture

    alone = graphed(model, rows(5), api=RecordingGraphs(), mode=FULL, **settings)
    for seed in range(3):
        assert_like(model, alone, rows(4, seed))
    served = plain(alone, rows(4))
    assert (served.mode, alone.cuda_graphs) == (CUDAGraphMode.NONE, ())
    assert "synchronizing" in served.note


def test_op_that_waits_inside_a_compiled_piece(api: RecordingGraphs) -> None:
    model = Waiting()
    fast = graphed(
        model, rows(5), api=api, splitting_ops=("Tensor.sin",), cudagraph_copy_inputs=True
    )
    for seed in range(3):
        assert_like(model, fast, rows(4, seed))
    assert {each.piece for each in fast.cuda_graphs} == {"piece_0"}
    assert "synchronizing" in plain(fast, rows(4)).note


class Odd(torch.nn.Module):
    """Its op depends on what only Python knows, which a graph of the whole call would not see."""

    def forward(self, x):
        return torch.ops.explorer.graphs_counted(x + 1) * 2


def counted(x: torch.Tensor) -> torch.Tensor:
    Calls.count += 1
    return x * Calls.count


COUNTED = python_op(counted, fake_impl=like)


@pytest.mark.parametrize("mode", [FULL, FULL_AND_PIECEWISE])
def test_graph_that_answers_otherwise_than_a_plain_run_is_not_used(
    api: RecordingGraphs, mode: CUDAGraphMode, caplog: pytest.LogCaptureFixture
) -> None:
    fast = graphed(
        Odd(),
        rows(5),
        api=api,
        mode=mode,
        splitting_ops=(COUNTED,),
        cudagraph_copy_inputs=True,
    )
    with caplog.at_level(logging.WARNING, "explorer"):
        for _ in range(4):
            fast(rows(4))
    result = fast(rows(4))
    torch.testing.assert_close(result, (rows(4) + 1) * Calls.count * 2)
    assert "no CUDA graph" in caplog.text
    assert plain(fast, rows(4)).mode is not FULL


def test_model_that_fails_as_in_eager(api: RecordingGraphs) -> None:
    table = torch.nn.Embedding(7, 3)
    fast = graphed(table, torch.arange(5), api=api, cudagraph_copy_inputs=True)
    with pytest.raises(IndexError):
        fast(torch.tensor([1, 2, 3, 9]))
    assert_like(table, fast, torch.tensor([1, 2, 3, 6]))


# -------------------------------------------------------------------------------- ways into a call


def test_nothing_is_captured_before_it_is_needed_and_then_the_largest_first(
    api: RecordingGraphs,
) -> None:
    settings = {"splitting_ops": (DOUBLED,), "cudagraph_copy_inputs": True}
    fast = graphed(Fresh(), rows(5), api=api, sizes=(2, 8, 4), **settings)
    fast(rows(9))
    assert api.graphs == []
    fast(rows(3))
    assert [each.size for each in fast.cuda_graphs] == [8, 8, 4, 4, 2, 2]
    assert api.pools == 1
    assert [each.bytes for each in fast.cuda_graphs] == [1000] * 6
    frame = fast.cuda_graphs_frame()
    assert list(frame["graph of"]) == ["piece_0", "piece_2"] * 3
    assert set(frame["inputs"]) == {"copied"}


@pytest.mark.parametrize("count", [0, 3])
def test_warm_up_runs(api: RecordingGraphs, count: int) -> None:
    settings = {"splitting_ops": (ADD_UP,), "cudagraph_num_of_warmups": count}
    fast = graphed(TwoToyOps(), torch.ones(5), api=api, sizes=(4,), **settings)
    before = Calls.count
    fast(torch.ones(4))
    runs = count + 1 + 2  # the capture, then a replay and a plain run that are compared
    assert Calls.count - before == 2 * runs


def test_capture_up_front(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, mode=FULL, sizes=(1, 4), cudagraph_copy_inputs=True)
    with counters.expect(cudagraphs_captured=2):
        records = fast.capture_cuda_graphs()
    assert [(each.size, each.piece, each.copies_inputs) for each in records] == [
        (4, None, True),
        (1, None, True),
    ]
    with counters.expect(cudagraphs_captured=0):
        for size in (1, 2, 3, 4, 1, 2):
            assert_like(model, fast, rows(size))


def test_capture_up_front_is_refused_at_the_wrong_time(api: RecordingGraphs) -> None:
    fast = graphed(Fresh(), rows(5), api=api)
    with pytest.raises(ConfigError, match="needs the tensors that later calls will pass"):
        fast.capture_cuda_graphs()
    api.capturing = True
    with pytest.raises(RunError, match="captures do not nest"):
        fast.capture_cuda_graphs(rows(8))
    none = graphed(Fresh(), rows(5), api=api, mode="none")
    with pytest.raises(ConfigError, match="cudagraph_mode is NONE"):
        none.capture_cuda_graphs(rows(8))


def test_call_inside_another_capture_runs_plainly(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, cudagraph_copy_inputs=True)
    assert_like(model, fast, rows(4))
    replays, api.capturing = api.replays, True
    assert_like(model, fast, rows(4))
    assert api.replays == replays
    assert "another capture" in plain(fast, rows(4)).note


def test_call_on_another_device_than_the_models_runs_plainly(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, cudagraph_copy_inputs=True)
    api.current = torch.device("meta")
    assert_like(model, fast, rows(4))
    assert plain(fast, rows(4)).note == "the current device is not cpu, the model's"
    assert api.graphs == []


class Inner:
    model: Any = None


def inner(x: torch.Tensor) -> torch.Tensor:
    return Inner.model(x)


INNER = python_op(inner, fake_impl=like)


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_call_within_a_call(api: RecordingGraphs, mode: CUDAGraphMode) -> None:
    def outer(x):
        return torch.ops.explorer.graphs_inner(x + 1) * 2

    linear = torch.nn.Linear(3, 3)
    Inner.model = graphed(linear, rows(5), api=api, cudagraph_copy_inputs=True)
    settings = {"splitting_ops": (INNER,), "cudagraph_copy_inputs": True}
    fast = graphed(outer, rows(5), api=api, mode=mode, **settings)
    for seed in range(4):
        for size in (4, 3):
            expected = eager(linear, rows(size, seed) + 1) * 2
            torch.testing.assert_close(fast(rows(size, seed)), expected)


def test_recursion_runs_plainly(api: RecordingGraphs) -> None:
    """The graphs are in use while the splitting op calls the same model again."""

    def outer(x):
        return torch.ops.explorer.graphs_inner(x + 1) * 2

    settings = {"splitting_ops": (INNER,), "cudagraph_copy_inputs": True}
    fast = graphed(outer, rows(5), api=api, **settings)
    depth = 0

    def again(x: torch.Tensor) -> torch.Tensor:
        nonlocal depth
        depth += 1
        try:
            return fast(x) if depth < 3 else x * 3
        finally:
            depth -= 1

    Inner.model = again
    for seed in range(3):
        x = rows(4, seed)
        torch.testing.assert_close(fast(x), (((x + 1) + 1) + 1) * 3 * 8)


def test_record_of_a_call_while_the_graphs_are_in_use(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, cudagraph_copy_inputs=True)
    assert_like(model, fast, rows(4))
    graphs = fast._runners()[0].binding.graphs
    with graphs._lock:
        assert "in use by another call" in plain(fast, rows(4)).note
    assert plain(fast, rows(4)).note == ""


def test_threads(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, splitting_ops=(DOUBLED,), cudagraph_copy_inputs=True)
    problems: list[Exception] = []

    def work(seed: int) -> None:
        try:
            for size in (4, 3, 8, 9, 4, 3) * 10:
                assert_like(model, fast, rows(size, seed))
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []


def test_inference_mode_and_back(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, splitting_ops=(DOUBLED,), cudagraph_copy_inputs=True)
    for _ in range(2):
        with torch.inference_mode():
            for _ in range(3):
                assert_like(model, fast, rows(3))
        for _ in range(3):
            assert_like(model, fast, rows(3))
            assert_like(model, fast, rows(4))


def test_traced_call_sees_the_model(api: RecordingGraphs) -> None:
    fast = graphed(Fresh(), rows(5), api=api, cudagraph_copy_inputs=True)
    compiled = torch.compile(lambda x: fast(x) + 1, backend="eager")
    torch.testing.assert_close(compiled(rows(4)), eager(fast.model_before_compiling, rows(4)) + 1)
    assert api.graphs == []


def test_record_of_a_padded_call(api: RecordingGraphs) -> None:
    fast = graphed(Fresh(), rows(5), api=api, splitting_ops=(DOUBLED,), cudagraph_copy_inputs=True)
    fast(rows(3))
    with fast.record() as record:
        fast(rows(3))
    assert record.sizes == {"x_0": 3}
    assert (record.cuda_graph.mode, record.cuda_graph.size) == (PIECEWISE, 4)
    assert record.cuda_graph.padded_to == 4
    assert len(record.artifacts) == 2
    assert record.piece_microseconds == ()
    assert record.microseconds > 0
    with fast.record() as record:
        fast(rows(9))
    assert record.cuda_graph.note == "the size is above 8, the largest capture size"
    assert len(record.piece_microseconds) == 3


def test_counters_of_calls(api: RecordingGraphs) -> None:
    fast = graphed(Fresh(), rows(5), api=api, mode=FULL, cudagraph_copy_inputs=True)
    fast(rows(3))
    fast(rows(4))
    with counters.expect(cudagraphs_replayed=5, cudagraphs_padded=3, cudagraphs_captured=0):
        for size in (3, 4, 3, 3, 4, 9):
            fast(rows(size))


def test_calls_through_the_generated_function_take_graphs(api: RecordingGraphs) -> None:
    model = Fresh()
    fast = graphed(model, rows(5), api=api, mode=FULL, cudagraph_copy_inputs=True)
    for _ in range(4):
        assert_like(model, fast, rows(4))
    runner = fast._runners()[0]
    replays = api.replays
    with torch.no_grad():
        result = runner.fast_call((rows(4, 7),), {})
    torch.testing.assert_close(result, eager(model, rows(4, 7)), rtol=1e-5, atol=1e-5)
    assert api.replays == replays + 1


# ------------------------------------------------------------------------------------ the policies


def branching(x):
    if x.shape[0] < 6:
        return x + 1
    return x * 2


def test_size_that_the_capture_is_not_right_for_is_not_padded_to(api: RecordingGraphs) -> None:
    fast = graphed(branching, rows(5), api=api, sizes=(4, 8), cudagraph_copy_inputs=True)
    assert_like(branching, fast, rows(4))
    assert [each.size for each in fast.cuda_graphs] == [4]
    assert plain(fast, rows(5)).note == "the captured graph is not right at 8"
    with pytest.raises(GuardViolation, match="x_0 = 7"):
        fast(rows(7))
    with pytest.raises(GuardViolation):
        fast(rows(8))


def test_variants_have_graphs_of_their_own(api: RecordingGraphs) -> None:
    config = CompilationConfig(backend="eager", max_size=64, guard_policy=GuardPolicy.VARIANTS)
    fast = graphed(branching, rows(5), api=api, config=config, cudagraph_copy_inputs=True)
    for seed in range(3):
        for size in (4, 8, 3, 7, 5, 1, 0, 20):
            assert_like(branching, fast, rows(size, seed))
    assert {(each.size, each.variant) for each in fast.cuda_graphs} >= {(4, 0), (8, 1)}
    assert plain(fast, rows(7)).padded_to == 8
    assert plain(fast, rows(5)).mode is CUDAGraphMode.NONE


def test_sizes_beyond_the_ranges(api: RecordingGraphs) -> None:
    config = CompilationConfig(backend="eager", max_size=8)
    fast = graphed(Fresh(), rows(5), api=api, config=config, cudagraph_copy_inputs=True)
    assert_like(fast.model_before_compiling, fast, rows(4))
    with pytest.raises(SizeOutOfRange):
        fast(rows(9))
    other = config.replace(out_of_range=OutOfRange.EAGER)
    fast = graphed(Fresh(), rows(5), api=api, config=other, cudagraph_copy_inputs=True)
    for size in (4, 9, 0, 1, 4):
        assert_like(fast.model_before_compiling, fast, rows(size))


def test_model_on_the_cpu_is_refused() -> None:
    config = CompilationConfig(backend="eager", cudagraph_mode=PIECEWISE)
    with pytest.raises(ConfigError, match="CUDA graphs need a model on a CUDA device") as caught:
        compile_model(Fresh(), (rows(5),), config=config)
    assert "first.weight is on cpu" in str(caught.value)
    assert "CUDAGraphMode.NONE" in str(caught.value)
