"""Real CUDA graphs: the same numbers as eager, and what only a GPU shows.

The eager backend runs on torch 2.11, with which these can be tested too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from explorer import (
    CompilationConfig,
    CompiledModel,
    CUDAGraphAddressError,
    CUDAGraphMode,
    StoreConfig,
    compile_model,
    counters,
)
from explorer.runtime.cuda_graph_api import CaptureFailed, CudaGraphs
from sample_models import toy_llama
from tests.explorer.runtime.recording_graphs import python_op

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("default"),  # what torch and triton say there is not ours
]

PIECEWISE, FULL = CUDAGraphMode.PIECEWISE, CUDAGraphMode.FULL
FULL_AND_PIECEWISE = CUDAGraphMode.FULL_AND_PIECEWISE
BASE = CompilationConfig(backend="eager", max_size=4096, store=StoreConfig(enabled=False))


def on_gpu_like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def gpu_doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def gpu_waits(x: torch.Tensor) -> torch.Tensor:
    return x - x.max().item()


def gpu_synchronises(x: torch.Tensor) -> torch.Tensor:
    torch.cuda.synchronize()
    return x + 1


DOUBLED = python_op(gpu_doubled, fake_impl=on_gpu_like)
WAITS = python_op(gpu_waits, fake_impl=on_gpu_like)
SYNCHRONISES = python_op(gpu_synchronises, fake_impl=on_gpu_like)


class Between(torch.nn.Module):
    """Two linear layers with an op between them that returns memory of its own."""

    def __init__(self, op: Any, columns: int = 32) -> None:
        super().__init__()
        self.first = torch.nn.Linear(columns, 2 * columns)
        self.second = torch.nn.Linear(2 * columns, columns)
        self.op = op

    def forward(self, x):
        return self.second(self.op(self.first(x)).sin())


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    """An error that a kernel leaves shows in the test that made it."""
    torch.manual_seed(0)
    yield
    torch.cuda.synchronize()


def model_with(op: str, columns: int = 32) -> Between:
    name = op.partition("::")[2]
    return Between(getattr(torch.ops.explorer, name), columns).cuda().eval()


def rows(size: int, columns: int = 32) -> torch.Tensor:
    return torch.randn(size, columns, device="cuda")


def graphed(model: Any, *args: Any, mode: Any, dims: Any = None, **changes: Any) -> CompiledModel:
    settings = {"cudagraph_capture_sizes": (1, 4, 16), "cudagraph_copy_inputs": True, **changes}
    config = BASE.replace(cudagraph_mode=mode, **settings)
    return compile_model(model, args, dynamic_arg_dims=dims, config=config)


def assert_like(model: Any, fast: Any, *args: Any, tolerance: float = 1e-4) -> None:
    with torch.no_grad():
        expected = model(*args)
    torch.testing.assert_close(fast(*args), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", [PIECEWISE, FULL, FULL_AND_PIECEWISE])
def test_every_size_equals_eager(mode: CUDAGraphMode) -> None:
    model = model_with(DOUBLED)
    fast = graphed(model, rows(5), mode=mode, splitting_ops=(DOUBLED,))
    for _ in range(3):
        for size in (16, 1, 3, 4, 17, 2, 9, 100):
            assert_like(model, fast, rows(size))
    captured = 6 if mode is PIECEWISE else 3
    assert len(fast.cuda_graphs) == captured
    assert {each.piece is None for each in fast.cuda_graphs} == {mode is not PIECEWISE}
    with counters.expect(cudagraphs_replayed=captured // 3, cudagraphs_padded=1):
        fast(rows(3))


@pytest.mark.parametrize("backend", ["eager", "inductor"])
@pytest.mark.parametrize(("mode", "captured"), [(PIECEWISE, 9), (FULL, 3)])
def test_toy_llama(backend: str, mode: CUDAGraphMode, captured: int) -> None:
    sample = toy_llama.sample(layers=2, hidden=64, device="cuda")
    fast = graphed(
        sample.model,
        *sample.example_inputs,
        mode=mode,
        backend=backend,
        dims=sample.dynamic_arg_dims,
        splitting_ops=sample.splitting_ops,
    )
    assert sample.make_inputs is not None
    for _ in range(3):
        for size in (16, 3, 4, 1, 40, 9):
            args, _ = sample.make_inputs({"n": size})
            assert_like(sample.model, fast, *args, tolerance=1e-3)
    assert len(fast.cuda_graphs) == captured


def test_inductors_partitions() -> None:
    sample = toy_llama.sample(layers=2, hidden=64, device="cuda")
    fast = graphed(
        sample.model,
        *sample.example_inputs,
        mode=PIECEWISE,
        backend="inductor",
        dims=sample.dynamic_arg_dims,
        splitting_ops=sample.splitting_ops,
        use_inductor_graph_partition=True,
        cudagraph_capture_sizes=(4, 16),
    )
    assert len(fast.compilation.pieces) == 1
    assert sample.make_inputs is not None
    for _ in range(3):
        for size in (16, 3, 4, 40):
            args, _ = sample.make_inputs({"n": size})
            assert_like(sample.model, fast, *args, tolerance=1e-3)
    assert len(fast.cuda_graphs) == 3 * 2


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_another_tensor_than_the_captured_one_is_an_error(mode: CUDAGraphMode) -> None:
    model = model_with(DOUBLED)
    fast = graphed(model, rows(5), mode=mode, splitting_ops=(DOUBLED,), cudagraph_copy_inputs=False)
    x = rows(4)
    for _ in range(3):
        x.copy_(rows(4))
        assert_like(model, fast, x)
    other = rows(4)
    with pytest.raises(CUDAGraphAddressError, match="x lies at another address"):
        fast(other)


def test_beginnings_of_one_buffer() -> None:
    model = model_with(DOUBLED)
    fast = graphed(model, rows(5), mode=PIECEWISE, cudagraph_copy_inputs=False)
    buffer = rows(16)
    assert len(fast.capture_cuda_graphs(buffer)) == 3
    for size in (16, 4, 1, 4):
        buffer[:size] = rows(size)
        assert_like(model, fast, buffer[:size])
    assert len(fast.cuda_graphs) == 3


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_weights_that_change(mode: CUDAGraphMode) -> None:
    model = model_with(DOUBLED)
    fast = graphed(model, rows(5), mode=mode, splitting_ops=(DOUBLED,))
    assert_like(model, fast, rows(4))
    assert_like(model, fast, rows(4))
    with torch.no_grad():
        model.first.weight.mul_(3)
    with counters.expect(cudagraphs_captured=0):
        assert_like(model, fast, rows(4))
    model.second.weight.data = torch.randn_like(model.second.weight)
    assert_like(model, fast, rows(4))
    assert_like(model, fast, rows(4))
    model.first = torch.nn.Linear(32, 64).cuda()
    for _ in range(3):
        assert_like(model, fast, rows(4))


@pytest.mark.parametrize("mode", [PIECEWISE, FULL])
def test_result_of_a_call_is_not_overwritten_by_the_next(mode: CUDAGraphMode) -> None:
    model = model_with(DOUBLED)
    fast = graphed(model, rows(5), mode=mode, splitting_ops=(DOUBLED,))
    for size in (4, 3):
        fast(rows(size))
        x = rows(size)
        with torch.no_grad():
            expected = model(x)
        first = fast(x)
        for other in (size, 16, 1):
            fast(rows(other))
            fast(rows(other))
        torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-4)


def test_rows_that_influence_each_other_are_not_padded() -> None:
    def centred(x):
        return x - x.mean(0)

    fast = graphed(centred, rows(5), mode=FULL)
    for size in (3, 3, 4, 4, 9):
        assert_like(centred, fast, rows(size))
    with fast.record() as record:
        fast(rows(3))
    assert record.cuda_graph.mode is CUDAGraphMode.NONE
    assert "padded to 4 the result is another one" in record.cuda_graph.note


def test_op_that_waits_for_the_device() -> None:
    model = model_with(WAITS)
    fast = graphed(model, rows(5), mode=FULL_AND_PIECEWISE, splitting_ops=(WAITS,))
    for _ in range(3):
        for size in (4, 3, 16):
            assert_like(model, fast, rows(size))
    with fast.record() as record:
        fast(rows(4))
    assert record.cuda_graph.mode is PIECEWISE
    assert "no graph of the whole call at size 4" in record.cuda_graph.note
    assert torch.rand(3, device="cuda").numel() == 3
    assert torch.cuda.get_sync_debug_mode() == 0


def test_smaller_sizes_use_the_memory_of_the_largest() -> None:
    model = model_with(DOUBLED, columns=1024)
    sizes = (512, 1024, 2048, 4096)
    fast = graphed(
        model,
        rows(8, 1024),
        mode=PIECEWISE,
        splitting_ops=(DOUBLED,),
        cudagraph_capture_sizes=sizes,
    )
    records = fast.capture_cuda_graphs()
    taken = {size: sum(each.bytes for each in records if each.size == size) for size in sizes}
    assert taken[4096] >= 4096 * 2048 * 4
    assert sum(taken[size] for size in sizes[:-1]) < taken[4096]
    for size in (512, 4096, 1000, 3000):
        assert_like(model, fast, rows(size, 1024), tolerance=1e-3)


def test_calls_from_other_streams_and_threads() -> None:
    model = model_with(DOUBLED)
    fast = graphed(model, rows(5), mode=PIECEWISE, splitting_ops=(DOUBLED,))
    assert_like(model, fast, rows(4))
    problems: list[Exception] = []

    def work() -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                for size in (4, 3, 16, 40) * 10:
                    assert_like(model, fast, rows(size))
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []


def test_call_inside_a_capture_of_the_users_own() -> None:
    model = model_with(DOUBLED)
    fast = graphed(model, rows(5), mode=PIECEWISE)
    x = rows(4)
    fast(x)
    fast(x)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        result = fast(x)
    x.copy_(rows(4))
    graph.replay()
    with torch.no_grad():
        torch.testing.assert_close(result, model(x), rtol=1e-4, atol=1e-4)


def test_random_numbers_go_on() -> None:
    def noisy(x):
        return x + torch.rand_like(x)

    fast = graphed(noisy, rows(5), mode=FULL)
    x = torch.zeros(4, 32, device="cuda")
    found = torch.stack([fast(x) for _ in range(5)])
    assert bool(((found >= 0) & (found < 1)).all())
    assert len({float(each.sum()) for each in found}) == 5


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.complex64],
)
def test_weak_tensors_share_memory(dtype: torch.dtype) -> None:
    whole = torch.arange(24, device="cuda").reshape(4, 6).to(dtype)
    part = whole[1:, ::2].t()
    one, other = CudaGraphs().weakly([whole, part])
    assert torch.equal(one, whole)
    assert torch.equal(other, part)
    assert (other.shape, other.stride()) == (part.shape, part.stride())
    assert one.data_ptr() == whole.data_ptr()
    assert one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    one.fill_(1)
    assert bool((part == 1).all())


def test_weak_tensor_does_not_keep_memory() -> None:
    before = torch.cuda.memory_allocated()
    tensor = torch.ones(1 << 20, device="cuda")
    weak = CudaGraphs().weakly([tensor])
    del tensor
    assert torch.cuda.memory_allocated() == before
    assert weak[0].numel() == 1 << 20


# Last, because it is torch that has to go on after a capture that failed.


def test_capture_that_fails() -> None:
    model = model_with(SYNCHRONISES)
    fast = graphed(model, rows(5), mode=FULL_AND_PIECEWISE, splitting_ops=(SYNCHRONISES,))
    for _ in range(3):
        for size in (4, 3, 16):
            assert_like(model, fast, rows(size))
    with fast.record() as record:
        fast(rows(4))
    assert record.cuda_graph.mode is PIECEWISE
    assert torch.rand(3, device="cuda").numel() == 3


def test_api_goes_on_after_a_failed_capture() -> None:
    api = CudaGraphs()
    x = torch.ones(3, device="cuda")
    with api.aside(), pytest.raises(CaptureFailed):
        api.capture(lambda: (torch.cuda.synchronize(), x + 1), api.new_pool())
    with api.aside():
        graph, result = api.capture(lambda: x * 2, api.new_pool())
    api.replay(graph)
    torch.cuda.synchronize()
    assert result.tolist() == [2.0, 2.0, 2.0]
    assert torch.rand(3, device="cuda").numel() == 3
