"""The sample models compiled by Inductor, beside eager.

One range and one size here, the full grid under ``slow``.
"""

import pytest
import torch

import explorer

FROM_TRANSFORMERS = ("llama", "qwen3", "mixtral", "bert")
SIZES = (1, 2, 3, 17, 64)
GRID = {"compile_ranges_endpoints": (8, 32), "compile_sizes": (16, 64, 128)}


def assert_close_to_eager(sample, compiled, tensors_in, sizes) -> None:
    for size in sizes:
        args, kwargs = sample.make_inputs({"n": size})
        with torch.no_grad():
            expected = sample.model(*args, **kwargs)
            given = compiled(*args, **kwargs)
        assert type(given) is type(expected)
        for wanted, got in zip(tensors_in(expected), tensors_in(given), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def edges(compiled: explorer.CompiledModel) -> set[int]:
    compilation = compiled.compilation
    found = {edge for each in compilation.size_ranges for edge in (each.start, each.end)}
    return found | set(compilation.compiled.exact_sizes)


@pytest.mark.parametrize("name", FROM_TRANSFORMERS)
def test_real_model_equals_eager(make_sample, compile_sample, all_tensors, name):
    sample = make_sample(name, layers=2, hidden=64)
    compiled = compile_sample(sample, backend="inductor")
    assert len(compiled.compilation.size_ranges) == 1
    assert compiled.compilation.compiled.exact_sizes == (16,)
    assert len(compiled.compilation.artifacts) == 2 * 3
    assert {artifact.backend for artifact in compiled.compilation.artifacts} == {"inductor"}
    assert_close_to_eager(sample, compiled, all_tensors, (*SIZES, 16))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy_llama", "mixture_of_experts", *FROM_TRANSFORMERS])
def test_every_range_and_size_equals_eager(make_sample, compile_sample, all_tensors, name):
    sample = make_sample(name)
    max_size = min(sample.config.max_size, 8192)
    sizes = tuple(size for size in GRID["compile_sizes"] if size <= max_size)
    compiled = compile_sample(
        sample, backend="inductor", **{**GRID, "compile_sizes": sizes, "max_size": max_size}
    )
    assert_close_to_eager(sample, compiled, all_tensors, sorted(edges(compiled) | set(SIZES)))


@pytest.mark.slow
def test_toy_llama_has_six_artifacts_for_each_unique_piece(make_sample, compile_sample):
    sample = make_sample("toy_llama", layers=12)
    compiled = compile_sample(sample, backend="inductor", max_size=8192, **GRID)
    made = [(each.unique_id, str(each.size_range)) for each in compiled.compilation.artifacts]
    ranges = ["1–8", "9–32", "33–8192", "16", "64", "128"]
    assert made == [(unique, each) for unique in "ABC" for each in ranges]
