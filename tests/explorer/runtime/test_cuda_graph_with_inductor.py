"""Pieces that Inductor compiled, called through graphs; also of a compilation that was loaded."""

from __future__ import annotations

import pytest
import torch

from explorer import CompilationConfig, CUDAGraphMode, compile_model, counters
from sample_models import toy_llama
from tests.explorer.runtime.recording_graphs import RerunningGraphs, graphed

SIZES = (4, 16)


@pytest.mark.parametrize("mode", [CUDAGraphMode.PIECEWISE, CUDAGraphMode.FULL])
def test_pieces_that_were_compiled_without_graphs_are_found_again(mode: CUDAGraphMode) -> None:
    sample = toy_llama.sample(layers=2, hidden=32)
    config = CompilationConfig(splitting_ops=sample.splitting_ops, max_size=64)
    compile_model(
        sample.model,
        sample.example_inputs,
        dynamic_arg_dims=sample.dynamic_arg_dims,
        config=config,
    )
    api = RerunningGraphs()
    with counters.expect(compiled=0, captured=0, compilations_loaded=1):
        fast = graphed(
            sample.model,
            *sample.example_inputs,
            api=api,
            mode=mode,
            sizes=SIZES,
            config=config,
            dims=sample.dynamic_arg_dims,
            cudagraph_copy_inputs=True,
        )
    assert sample.make_inputs is not None
    for size in (16, 3, 4, 16, 9, 3, 40):
        args, _ = sample.make_inputs({"n": size})
        with torch.no_grad():
            expected = sample.model(*args)
        torch.testing.assert_close(fast(*args), expected, rtol=1e-4, atol=1e-4)
    assert len(fast.cuda_graphs) == (6 if mode is CUDAGraphMode.PIECEWISE else 2)
    assert fast.compilation.was_loaded_whole
    assert sum(each.replays for each in fast.cuda_graphs) >= 8
