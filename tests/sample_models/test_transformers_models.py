"""Real models with random weights, cut at their attention in two ways."""

import importlib

import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed")

NAMES = ("llama", "qwen3", "mixtral", "bert")
CUTS = {"op": "ATTENTION_OP", "modules": "ATTENTION_MODULES"}

every_model = pytest.mark.parametrize("name", NAMES)
both_cuts = pytest.mark.parametrize("cut", CUTS)


def cut_sample(name, cut, layers):
    module = importlib.import_module(f"sample_models.{name}")
    return module.sample(layers=layers, splitting_ops=(getattr(module, CUTS[cut]),))


@every_model
@both_cuts
@pytest.mark.parametrize("layers", [2, 3])
def test_equal_layers_make_three_unique_pieces(
    compile_sample, assert_shows_the_pieces, name, cut, layers
):
    sample = cut_sample(name, cut, layers)
    compilation = compile_sample(sample).compilation
    assert_shows_the_pieces(sample, compilation)
    assert len(compilation.pieces) == 2 * layers + 1
    assert len(compilation.unique_pieces) == 3


@every_model
@both_cuts
def test_compiled_equals_eager(compile_sample, assert_equal_to_eager, name, cut):
    sample = cut_sample(name, cut, 2)
    assert_equal_to_eager(sample, compile_sample(sample))


@every_model
def test_compiled_equals_eager_at_the_largest_size(compile_sample, assert_equal_to_eager, name):
    sample = cut_sample(name, "op", 1)
    assert_equal_to_eager(sample, compile_sample(sample), (sample.config.max_size,))


def test_grouped_experts_make_three_unique_pieces(
    compile_sample, make_sample, assert_shows_the_pieces, assert_equal_to_eager
):
    sample = make_sample("mixtral", layers=3, experts_implementation="grouped_mm")
    compiled = compile_sample(sample)
    assert_shows_the_pieces(sample, compiled.compilation)
    assert_equal_to_eager(sample, compiled)


def test_bert_ends_at_512(make_sample, run_eagerly):
    sample = make_sample("bert")
    assert sample.config.max_size == 512
    run_eagerly(sample, 512)
    with pytest.raises(RuntimeError, match="513"):
        run_eagerly(sample, 513)


def test_bert_ties_its_output_weight(make_sample):
    model = make_sample("bert").model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_nothing_enforces_the_max_size_of_rotary_models(make_sample, run_eagerly, name):
    sample = make_sample(name, layers=1)
    assert run_eagerly(sample, sample.config.max_size + 1).logits.shape[1] == 2049


@every_model
def test_the_weights_are_large_enough_to_tell_layers_apart(make_sample, run_eagerly, name):
    one, two = (make_sample(name, layers=layers) for layers in (1, 2))
    difference = run_eagerly(one, 17).logits - run_eagerly(two, 17).logits
    assert difference.abs().max() > 0.1


@every_model
def test_a_width_that_gives_no_heads_is_refused(make_sample, name):
    with pytest.raises(ValueError, match="hidden must be a multiple of 32, not 40"):
        make_sample(name, hidden=40)


@every_model
def test_inputs_are_one_sequence(make_sample, name):
    (input_ids,), _ = make_sample(name).make_inputs({"n": 5})
    assert input_ids.shape == (1, 5)
    assert input_ids.dtype == torch.int64
