"""Inductor cuts inside of one piece: settings, keys, and that a wrapper never stays behind.

On the CPU torch 2.13 makes no partitions; the test on a GPU is in test_cuda_graph_on_a_gpu.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._inductor import config as inductor_config
from torch._inductor import utils

from explorer import (
    CompilationConfig,
    CompileError,
    ConfigError,
    CUDAGraphMode,
    UnknownSplittingOp,
    compile_model,
)
from explorer.runtime.partitioned_piece import PartitionedPiece
from explorer.runtime.piece_graph import CapturePass
from explorer.runtime.static_memory import StaticBuffers
from explorer.stages.backends import Partitions, resolve_backend
from explorer.torch_private.partition import (
    Partition,
    partitions_run_by,
    wrapped_partitions,
)
from sample_models import toy_llama
from tests.explorer.runtime.recording_graphs import RecordingGraphs, RerunningGraphs, graphed

PARTITIONED = CompilationConfig(
    splitting_ops=("demo::attention",), use_inductor_graph_partition=True, max_size=64
)
WRAPPED = PARTITIONED.replace(cudagraph_mode=CUDAGraphMode.PIECEWISE)


def wrapper() -> Any:
    return utils._unstable_customized_partition_wrapper.wrapper


def test_settings_of_the_compile() -> None:
    settings = resolve_backend(PARTITIONED).settings  # type: ignore[attr-defined]
    assert settings["custom_should_partition_ops"] == ["demo::attention"]
    assert settings["graph_partition"] is True
    plain = resolve_backend(PARTITIONED.replace(use_inductor_graph_partition=False))
    assert "custom_should_partition_ops" not in plain.settings  # type: ignore[attr-defined]


def test_every_factor_is_in_the_identity() -> None:
    configs = [
        CompilationConfig(max_size=64),
        PARTITIONED,
        PARTITIONED.replace(splitting_ops=("demo::attention", "aten::sin")),
        WRAPPED,
    ]
    identities = [resolve_backend(each).identity() for each in configs]
    assert len(set(identities)) == 4
    assert resolve_backend(WRAPPED.replace(cudagraph_mode="full")).identity() == identities[3]
    without = WRAPPED.replace(use_inductor_graph_partition=False)
    assert resolve_backend(without).identity() == identities[0]


def test_op_that_inductor_has_no_name_for() -> None:
    for name in ("Tensor.relu", "module:layers.*", "torch.relu"):
        with pytest.raises(ConfigError, match="Inductor cannot cut at"):
            resolve_backend(PARTITIONED.replace(splitting_ops=(name,)))


def test_unknown_op_is_refused_though_the_graph_is_not_cut() -> None:
    config = PARTITIONED.replace(splitting_ops=("demo::atention",))
    sample = toy_llama.sample(layers=1, hidden=32)
    with pytest.raises(UnknownSplittingOp, match="demo::attention"):
        compile_model(sample.model, sample.example_inputs, config=config)


def test_graph_stays_whole() -> None:
    sample = toy_llama.sample(layers=2, hidden=32)
    before = inductor_config.custom_should_partition_ops
    fast = compile_model(
        sample.model,
        sample.example_inputs,
        dynamic_arg_dims=sample.dynamic_arg_dims,
        config=PARTITIONED,
    )
    assert inductor_config.custom_should_partition_ops == before == []
    assert wrapper() is None
    assert len(fast.compilation.pieces) == 1
    with torch.no_grad():
        expected = sample.model(*sample.example_inputs)
    torch.testing.assert_close(fast(*sample.example_inputs), expected, rtol=1e-4, atol=1e-4)


def test_calls_with_graphs_on_a_machine_without_partitions() -> None:
    """Nothing is captured, and numbers are right."""
    sample = toy_llama.sample(layers=1, hidden=32)
    fast = graphed(
        sample.model,
        *sample.example_inputs,
        api=RerunningGraphs(),
        config=PARTITIONED,
        dims=sample.dynamic_arg_dims,
        cudagraph_copy_inputs=True,
        sizes=(16,),
    )
    assert wrapper() is None
    with torch.no_grad():
        expected = sample.model(*sample.example_inputs)
    for _ in range(3):
        torch.testing.assert_close(fast(*sample.example_inputs), expected, rtol=1e-4, atol=1e-4)
    assert fast.cuda_graphs == ()
    assert fast.cuda_graph_notes == ("there is no compiled piece that could be captured",)


# ------------------------------------------------------------------------------ who runs partitions


def make(function: Callable[..., Any], index: int) -> Any:
    metadata = utils.CUDAGraphWrapperMetadata(num_partitions=2, partition_index=index)
    return wrapper()(function, metadata)


def test_wrapper_is_taken_back_after_an_error() -> None:
    set_before = object()
    utils.set_customized_partition_wrappers(set_before)  # type: ignore[arg-type]
    try:
        with pytest.raises(RuntimeError, match="in the middle"), wrapped_partitions():
            assert wrapper() is not set_before
            raise RuntimeError("in the middle")
        assert wrapper() is set_before
    finally:
        utils._unstable_customized_partition_wrapper.wrapper = None


def test_failed_compile_leaves_no_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer.torch_private import inductor

    seen = []

    def failing(*args: Any, **kwargs: Any) -> Any:
        seen.append(wrapper())
        raise inductor.InductorError(RuntimeError("no kernel"), "place")  # type: ignore[call-arg]

    monkeypatch.setattr(inductor, "standalone_compile", failing)
    backend = resolve_backend(WRAPPED)
    with pytest.raises(CompileError):
        backend.compile(
            torch.fx.symbolic_trace(torch.nn.ReLU()),
            [],
            size_range=None,
            options={"fake_mode": None, "cache_tag": ""},
        )
    assert seen != [None]
    assert wrapper() is None


def test_partition_is_run_by_whom_the_call_says() -> None:
    with wrapped_partitions():
        partition = make(lambda arguments: [sum(arguments)], 1)
    assert isinstance(partition, Partition)
    assert partition([1, 2]) == [3]
    seen: list[Any] = []

    def runner(which: Partition, arguments: list[Any]) -> Any:
        seen.append((which.index, list(arguments)))
        return which.function([*arguments, 10])

    with partitions_run_by(runner):
        assert partition([1, 2]) == [13]
    assert partition([1, 2]) == [3]
    with pytest.raises(ZeroDivisionError), partitions_run_by(runner):
        raise ZeroDivisionError
    assert partition([1, 2]) == [3]
    assert seen == [(1, [1, 2])]


def test_partitions_are_captured_and_what_lies_between_runs() -> None:
    api = RecordingGraphs()
    with wrapped_partitions():
        first = make(lambda arguments: (arguments[0] + 1, arguments[0] * 2), 0)
        second = make(lambda arguments: (arguments[0] * arguments[1],), 1)
    between = 0

    def piece(arguments: list[Any]) -> Any:
        nonlocal between
        one, two = first([arguments[0]])
        between += 1
        made = one.clone() + between  # as a splitting op: memory of its own at each call
        return second([made, two])

    x = torch.ones(3)
    graphs: list[Any] = []
    stable = {x.untyped_storage().data_ptr()}
    shared = CapturePass(api, api.new_pool(), StaticBuffers(), stable=stable)
    run = PartitionedPiece("piece_0", piece, shared, graphs)
    for count in range(1, 5):
        x.fill_(count)
        (result,) = run([x])
        assert result.tolist() == [(count + 1 + between) * count * 2] * 3
    assert between == 4
    assert [each.name for each in graphs] == ["piece_0.partition_0", "piece_0.partition_1"]
    assert [each.replays for each in graphs] == [4, 4]
    assert len(api.graphs) == 2


def test_partitioned_is_left_alone_without_graphs() -> None:
    assert resolve_backend(PARTITIONED).partitions is Partitions.LEFT_ALONE  # type: ignore
    assert resolve_backend(WRAPPED).partitions is Partitions.WRAPPED  # type: ignore
