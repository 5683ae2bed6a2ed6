import importlib

import pytest
import torch

from sample_models import toy_llama


@pytest.mark.parametrize(("layers", "unique"), [(1, 2), (2, 3), (12, 3), (80, 3)])
def test_equal_layers_make_three_unique_pieces(
    compile_sample, assert_shows_the_pieces, layers, unique
):
    sample = toy_llama.sample(layers=layers, hidden=32)
    compilation = compile_sample(sample).compilation
    assert_shows_the_pieces(sample, compilation)
    assert len(compilation.pieces) == 2 * layers + 1
    assert len(compilation.unique_pieces) == unique


@pytest.mark.parametrize(("layer_names", "unique"), [("none", 3), ("string", 7), ("opaque", 3)])
def test_a_name_keeps_layers_apart_as_a_text_and_not_as_a_layer_name(
    compile_sample, assert_shows_the_pieces, assert_equal_to_eager, layer_names, unique
):
    sample = toy_llama.sample(layers=6, hidden=16, heads=2, layer_names=layer_names)
    compiled = compile_sample(sample)
    assert_shows_the_pieces(sample, compiled.compilation)
    assert len(compiled.compilation.unique_pieces) == unique
    assert_equal_to_eager(sample, compiled)


def test_names_of_both_kinds_give_the_same_numbers(run_eagerly):
    plain, text, opaque = (
        run_eagerly(toy_llama.sample(3, 16, heads=2, layer_names=layer_names), 9)
        for layer_names in ("none", "string", "opaque")
    )
    assert torch.equal(text, opaque)
    assert not torch.allclose(plain, opaque, rtol=1e-4)


def test_text_is_named_as_what_keeps_the_layers_apart(compile_sample):
    sample = toy_llama.sample(layers=3, hidden=16, heads=2, layer_names="string")
    compilation = compile_sample(sample).compilation
    _, second, third, *_ = [piece for piece in compilation.pieces if piece.unique_id]
    (found,) = compilation.explain_difference(second, third)
    assert found.a == "'layers.0' in explorer::scale_by_text"
    assert "LayerName('layers.0')" in found.hint


def test_unknown_kind_of_layer_names_is_refused(make_sample):
    with pytest.raises(
        ValueError, match="layer_names is 'text'; it is one of none, string, opaque"
    ):
        make_sample("toy_llama", layer_names="text")


def test_first_middle_and_last_piece_differ(compile_sample):
    compilation = compile_sample(toy_llama.sample(layers=5)).compilation
    groups = [len(unique.piece_indices) for unique in compilation.unique_pieces]
    assert groups == [1, 4, 1]


def test_compiled_equals_eager(compile_sample, assert_equal_to_eager):
    sample = toy_llama.sample(layers=3)
    assert_equal_to_eager(sample, compile_sample(sample))


def test_compiled_equals_eager_at_every_range_edge(compile_sample, assert_equal_to_eager):
    sample = toy_llama.sample(layers=2)
    compiled = compile_sample(
        sample, compile_ranges_endpoints=(8, 32), compile_sizes=(16, 64, 128), max_size=256
    )
    edges = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256)
    assert_equal_to_eager(sample, compiled, edges)


def test_attention_writes_what_the_formula_says():
    query, key, value = torch.randn(3, 5, 2, 4)
    out = torch.full((5, 2, 4), torch.nan)
    torch.ops.demo.attention(query, key, value, out)
    scores = torch.einsum("qhd,khd->hqk", query, key) / 4**0.5
    hidden = torch.ones(5, 5).triu(1).bool()
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    torch.testing.assert_close(out, torch.einsum("hqk,khd->qhd", weights, value))


def test_attention_is_registered_as_it_behaves():
    query, key, value = torch.randn(3, 5, 2, 4)
    torch.library.opcheck(
        torch.ops.demo.attention.default, (query, key, value, torch.empty_like(query))
    )


def test_attention_takes_an_empty_sequence():
    empty = torch.empty(0, 2, 4)
    torch.ops.demo.attention(empty, empty, empty, empty)


def test_a_second_import_keeps_the_op():
    before = torch.ops.demo.attention.default
    importlib.reload(toy_llama)
    assert torch.ops.demo.attention.default is before


def test_a_token_sees_only_those_before_it(make_sample):
    sample = make_sample("toy_llama", layers=2)
    (input_ids, positions), _ = sample.make_inputs({"n": 9})
    changed = input_ids.clone()
    changed[-1] += 1
    first, second = sample.model(input_ids, positions), sample.model(changed, positions)
    torch.testing.assert_close(first[:-1], second[:-1])
    assert not torch.allclose(first[-1], second[-1])


def test_positions_matter(make_sample):
    sample = make_sample("toy_llama", layers=2)
    (input_ids, positions), _ = sample.make_inputs({"n": 9})
    stretched = sample.model(input_ids, 3 * positions)
    assert not torch.allclose(sample.model(input_ids, positions), stretched, atol=1e-3)


@pytest.mark.parametrize(("hidden", "heads"), [(130, 4), (12, 4), (128, 0)])
def test_a_width_that_gives_no_heads_is_refused(hidden, heads):
    with pytest.raises(ValueError, match=f"hidden={hidden} does not divide into heads={heads}"):
        toy_llama.sample(hidden=hidden, heads=heads)
