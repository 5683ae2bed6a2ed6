"""Each remedy beside the plain model of ``branching``, at every size and from both sides."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch

import explorer
from explorer.config import DynamicShapesConfig
from sample_models import SampleModel, branching, remedies
from sample_models.remedies import Remedy

SIZES = range(1, 65)
EXACT = [each for each in Remedy if each is not Remedy.CHECK]

both_sides = pytest.mark.parametrize("rows", [6, 4])
both_marks = pytest.mark.parametrize("mark", ["backed", "unbacked"])


@pytest.fixture(scope="module")
def plain_model():
    return branching.sample().model


def marked(mark: str) -> DynamicShapesConfig:
    return DynamicShapesConfig(type=mark)  # type: ignore[arg-type]


def inputs_at(sample: SampleModel, size: int) -> tuple[Any, ...]:
    assert sample.make_inputs is not None
    return sample.make_inputs({"n": size})[0]


def assert_same_everywhere(sample, model, plain_model, sizes: Iterable[int] = SIZES):
    for size in sizes:
        args = inputs_at(sample, size)
        expected, given = plain_model(*args), model(*args)
        assert torch.allclose(given, expected, atol=1e-6), f"differs at {size}"


@pytest.mark.parametrize("remedy", EXACT)
def test_plain_run_of_a_remedy_gives_the_same_numbers(make_sample, plain_model, remedy):
    sample = make_sample("remedies", remedy=remedy)
    assert_same_everywhere(sample, sample.model, plain_model)


@both_marks
@both_sides
@pytest.mark.parametrize("remedy", EXACT)
def test_one_graph_is_right_at_every_size(
    make_sample, compile_sample, plain_model, remedy, rows, mark
):
    sample = make_sample("remedies", remedy=remedy, rows=rows)
    assert sample.shows == f"With {remedy.value}, one graph is right at every size, 4 included."
    compiled = compile_sample(sample, dynamic_shapes=marked(mark))
    assert_same_everywhere(sample, compiled, plain_model)
    assert [guard for guard in compiled.compilation.captured.guards if not guard.is_bound] == []


@pytest.mark.slow
@both_marks
@both_sides
@pytest.mark.parametrize("remedy", EXACT)
def test_one_graph_is_right_at_every_size_under_inductor(
    make_sample, compile_sample, plain_model, remedy, rows, mark
):
    sample = make_sample("remedies", remedy=remedy, rows=rows)
    compiled = compile_sample(sample, backend="inductor", dynamic_shapes=marked(mark))
    assert_same_everywhere(sample, compiled, plain_model)


@both_marks
@both_sides
def test_compiled_sides_with_the_test_outside_are_right(plain_model, rows, mark):
    config = explorer.CompilationConfig(backend="eager", max_size=64, dynamic_shapes=marked(mark))
    model = remedies.split_submodules(config, rows=rows)
    assert_same_everywhere(remedies.sample(), model, plain_model)
    with pytest.raises(explorer.SizeOutOfRange, match="65"):
        model(torch.randn(65, 8))


@pytest.mark.slow
@both_marks
def test_compiled_sides_with_the_test_outside_are_right_under_inductor(plain_model, mark):
    config = explorer.CompilationConfig(max_size=64, dynamic_shapes=marked(mark))
    model = remedies.split_submodules(config)
    assert_same_everywhere(remedies.sample(), model, plain_model)


# ---------------------------------------------------------------------- torch._check: what happens


def test_plain_model_refuses_the_size_that_it_declares_unsupported(plain_model):
    sample = remedies.sample(Remedy.CHECK)
    assert sample.shows == "With torch._check, one graph is right at every size but 4, and says so."
    assert_same_everywhere(sample, sample.model, plain_model, set(SIZES) - {4})
    with pytest.raises(RuntimeError, match="4 rows are not supported"):
        sample.model(*inputs_at(sample, 4))


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_backed_check_is_enforced_by_the_call(compile_sample, plain_model, backend):
    sample = remedies.sample(Remedy.CHECK)
    compiled = compile_sample(sample, backend=backend)
    assert_same_everywhere(sample, compiled, plain_model, set(SIZES) - {4})
    with pytest.raises(explorer.GuardViolation, match=r"n != 4.*remedies\.py:\d+: torch\._check"):
        compiled(*inputs_at(sample, 4))


def test_a_backed_check_without_guards_is_enforced_by_the_graph_that_runs_as_it_is(compile_sample):
    sample = remedies.sample(Remedy.CHECK)
    compiled = compile_sample(sample, guard_policy=explorer.GuardPolicy.DROP)
    with pytest.raises(RuntimeError, match=r"assertion failed for expression Ne\(s\d+, 4\)"):
        compiled(*inputs_at(sample, 4))


@pytest.mark.slow
@both_marks
def test_a_check_without_guards_is_lost_under_inductor(compile_sample, mark):
    sample = remedies.sample(Remedy.CHECK)
    compiled = compile_sample(
        sample,
        backend="inductor",
        guard_policy=explorer.GuardPolicy.DROP,
        dynamic_shapes=marked(mark),
    )
    (rows,) = inputs_at(sample, 4)
    assert isinstance(sample.model, remedies.WithCheck)
    assert torch.allclose(compiled(rows), sample.model.project(rows) + 1, atol=1e-6)


@both_sides
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_an_unbacked_check_is_enforced_by_the_call(compile_sample, plain_model, backend, rows):
    sample = remedies.sample(Remedy.CHECK, rows=rows)
    compiled = compile_sample(sample, backend=backend, dynamic_shapes=marked("unbacked"))
    assert_same_everywhere(sample, compiled, plain_model, set(SIZES) - {4})
    with pytest.raises(explorer.GuardViolation, match=r"n != 4.*remedies\.py:\d+: torch\._check"):
        compiled(*inputs_at(sample, 4))


def test_an_unbacked_check_without_guards_is_enforced_by_the_graph_that_runs_as_it_is(
    compile_sample,
):
    sample = remedies.sample(Remedy.CHECK)
    compiled = compile_sample(
        sample, guard_policy=explorer.GuardPolicy.DROP, dynamic_shapes=marked("unbacked")
    )
    with pytest.raises(RuntimeError, match=r"assertion failed for expression Ne\(u\d+, 4\)"):
        compiled(*inputs_at(sample, 4))


def test_an_example_of_the_unsupported_size_is_refused_by_the_model(compile_sample):
    with pytest.raises(RuntimeError, match="4 rows are not supported"):
        compile_sample(remedies.sample(Remedy.CHECK, rows=4))


def test_an_example_of_one_row_is_refused():
    with pytest.raises(ValueError, match="rows must be at least 2, not 1"):
        remedies.sample(rows=1)


def test_an_unknown_remedy_is_refused():
    with pytest.raises(ValueError, match="'hope' is not a valid Remedy"):
        remedies.sample("hope")
