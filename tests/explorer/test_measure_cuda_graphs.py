"""CUDA graphs are one of the ways to run a model that are measured."""

from __future__ import annotations

import pytest
import torch

from explorer import CompilationConfig, CompiledModel, CUDAGraphMode, Session
from explorer.artifacts.measured import Execution
from explorer.runtime.row_calls import rows_of_call
from explorer.session import _Rebuild
from tests.explorer.runtime.graph_models import TwoToyOps
from tests.explorer.runtime.recording_graphs import RecordingGraphs

MODES = (CUDAGraphMode.PIECEWISE, CUDAGraphMode.FULL)


def session_with_graphs(mode: CUDAGraphMode, api: RecordingGraphs, *, copies: bool) -> Session:
    """One whose graphs are recorded on the CPU."""
    session = Session(
        TwoToyOps(),
        (torch.randn(4, 3),),
        dynamic_arg_dims={"x": {0: "n"}},
        config=CompilationConfig(
            backend="eager",
            max_size=64,
            splitting_ops=("explorer::graphs_add_up",),
            cudagraph_mode=mode,
            cudagraph_capture_sizes=(4,),
            cudagraph_copy_inputs=copies,
        ),
    )
    compilation = session.update()
    rebuild = _Rebuild(session, session.request, compilation)
    session._runner = CompiledModel(session.request, compilation, rebuild, graph_api=api)
    return session


@pytest.mark.parametrize("mode", MODES)
def test_graphs_are_a_row_of_their_own(mode: CUDAGraphMode) -> None:
    api = RecordingGraphs()

    timings = session_with_graphs(mode, api, copies=True).measure([4, 40], rounds=3)

    graphs = timings.of(Execution.CUDA_GRAPH, n=4)
    assert graphs is not None
    assert graphs.is_timed
    assert graphs.served_by == mode.name
    of_range = timings.of(Execution.RANGE, n=4)
    assert of_range is not None
    assert of_range.is_timed
    assert timings.of(Execution.CUDA_GRAPH, n=40) is None  # above the largest that is captured
    assert "CUDA graphs" in timings.report()


def test_the_row_of_a_range_is_without_graphs() -> None:
    api = RecordingGraphs()
    session = session_with_graphs(CUDAGraphMode.FULL, api, copies=True)
    session.measure([4], rounds=3)
    before = api.replays

    inputs = (torch.randn(4, 3),)
    (row,) = rows_of_call(session.model().runners()[0], inputs, {})
    row.stitched(inputs, {})()

    assert api.replays == before


def test_other_tensors_than_the_captured_ones_are_told_and_not_timed() -> None:
    timings = session_with_graphs(CUDAGraphMode.FULL, RecordingGraphs(), copies=False).measure(
        [4], rounds=3
    )

    refused = [each.problem for each in timings.timings if each.problem]
    assert refused
    assert all("cudagraph_copy_inputs=True" in each for each in refused)
