"""What cannot be captured, when captures happen, calls in odd places, and the policies."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
import torch

from explorer import (
    CompilationConfig,
    ConfigError,
    CUDAGraphMode,
    GuardPolicy,
    GuardViolation,
    OutOfRange,
    SizeOutOfRange,
    compile_model,
    counters,
)
from explorer.errors import RunError
from tests.explorer.runtime.graph_models import (
    ADD_UP,
    DOUBLED,
    FULL,
    FULL_AND_PIECEWISE,
    PIECEWISE,
    WAITS,
    Calls,
    Fresh,
    TwoToyOps,
    Waiting,
    assert_like,
    eager,
    like,
    plain,
    rows,
)
from tests.explorer.runtime.recording_graphs import (
    RecordingGraphs,
    graphed,
    python_op,
)


@pytest.fixture
def api() -> RecordingGraphs:
    return RecordingGraphs()


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
    graphs = fast.runners()[0].binding.graphs
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
    runner = fast.runners()[0]
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


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_calls_that_try_a_graph_draw_what_they_would_without(
    api: RecordingGraphs, mode: Any
) -> None:
    def model(x):
        return torch.nn.functional.dropout(x, 0.5, True) * 2

    settings = {"cudagraph_copy_inputs": True, "dims": {"x": {0: "n"}}}
    fast = graphed(model, torch.ones(4, 8), api=api, mode=mode, **settings)
    for size in (4, 4, 3, 3, 8):
        torch.manual_seed(3)
        expected, after = model(torch.ones(size, 8)), torch.get_rng_state()
        torch.manual_seed(3)
        assert torch.equal(fast(torch.ones(size, 8)), expected)
        assert torch.equal(torch.get_rng_state(), after)
