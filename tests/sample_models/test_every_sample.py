"""What holds for each sample model, whatever it shows."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sample_models
from explorer import CompileTarget

FROM_TRANSFORMERS = ("llama", "qwen3", "mixtral", "bert")
OURS = (
    "toy_llama",
    "mixture_of_experts",
    "branching",
    "remedies",
    "forum_advice",
    "triton_rms_norm",
    "range_matters",
)
WITHOUT_LAYERS = ("branching", "remedies", "forum_advice", "range_matters")
SIZES = (1, 2, 3, 17, 64)

every_sample = pytest.mark.parametrize("name", OURS + FROM_TRANSFORMERS)


def test_no_sample_is_left_out_here():
    helpers = {"__init__", "branch_shapes", "building", "hugging_face"}
    files = {file.stem for file in Path(sample_models.__file__).parent.glob("*.py")}
    assert files - helpers == set(OURS + FROM_TRANSFORMERS)


@every_sample
def test_sample_is_a_target_with_one_sentence(make_sample, name):
    sample = make_sample(name)
    assert isinstance(sample, CompileTarget)
    assert sample.name.startswith(name)
    assert sample.shows.endswith(".")
    assert ". " not in sample.shows
    assert sample.dynamic_arg_dims


@every_sample
@pytest.mark.parametrize("size", SIZES)
def test_plain_model_runs_at_each_size(make_sample, run_eagerly, name, size):
    sample = make_sample(name)
    output = run_eagerly(sample, size)
    tensor = output if isinstance(output, torch.Tensor) else output.logits
    assert size in tensor.shape[:2]
    assert torch.isfinite(tensor).all()


@every_sample
def test_plain_model_runs_at_its_max_size(make_sample, run_eagerly, name):
    sample = make_sample(name, **({} if name in WITHOUT_LAYERS else {"layers": 1}))
    run_eagerly(sample, sample.config.max_size)


@every_sample
def test_every_dynamic_dim_has_the_size_that_was_asked_for(make_sample, name):
    sample = make_sample(name)
    args, kwargs = sample.make_inputs({"n": 17})
    assert not kwargs
    dims = [dim for dims in sample.dynamic_arg_dims.values() for dim in dims]
    assert [value.shape[dim] for value, dim in zip(args, dims, strict=True)] == [17] * len(dims)


@every_sample
def test_making_one_leaves_the_random_state_alone_and_is_repeatable(make_sample, name):
    before = torch.get_rng_state()
    first, second = make_sample(name), make_sample(name)
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(first.example_inputs, second.example_inputs, strict=True):
        assert torch.equal(one, other)


@every_sample
def test_model_is_ready_for_inference(make_sample, name):
    model = make_sample(name).model
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", [each for each in OURS if each not in WITHOUT_LAYERS])
def test_a_model_needs_a_layer(make_sample, name):
    with pytest.raises(ValueError, match="layers must be at least 1, not 0"):
        make_sample(name, layers=0)


@pytest.mark.parametrize("name", FROM_TRANSFORMERS)
def test_missing_transformers_is_said(make_sample, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"built by the transformers package.*pip install"):
        make_sample(name)


def test_importing_the_samples_does_not_import_transformers():
    modules = ", ".join(f"sample_models.{name}" for name in OURS + FROM_TRANSFORMERS)
    code = f"import {modules}, sys; sys.exit('transformers' in sys.modules)"
    root = Path(sample_models.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
