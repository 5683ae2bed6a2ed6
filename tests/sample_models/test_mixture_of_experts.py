import pytest
import torch
import torch.nn.functional as F

from sample_models import mixture_of_experts


def test_equal_layers_make_three_unique_pieces(compile_sample, assert_shows_the_pieces):
    sample = mixture_of_experts.sample(layers=4)
    compilation = compile_sample(sample).compilation
    assert_shows_the_pieces(sample, compilation)
    assert len(compilation.unique_pieces) == 3


def test_the_captured_graph_holds_whole_sizes_and_no_piece_does(compile_sample):
    sample = mixture_of_experts.sample(layers=3)
    compilation = compile_sample(sample).compilation
    assert len(whole_sizes(compilation.captured.graph)) >= 4  # one a layer, and the model's own
    assert [whole_sizes(piece.graph) for piece in compilation.pieces] == [[]] * 7
    assert sample.shows.endswith("no torch.Size crosses a cut.")


def whole_sizes(graph):
    """Nodes whose value is a torch.Size."""
    return [
        node.name
        for node in graph.nodes
        if (node.op == "call_method" and node.target == "size" and len(node.args) == 1)
        or isinstance(node.meta.get("example_value"), torch.Size)
    ]


def test_compiled_equals_eager(compile_sample, assert_equal_to_eager):
    sample = mixture_of_experts.sample(layers=3)
    assert_equal_to_eager(sample, compile_sample(sample))


def test_each_token_gets_its_experts(make_sample):
    experts = make_sample("mixture_of_experts", layers=1).model.layers[0].experts
    values = torch.randn(5, 64)
    likes = experts.router(values).softmax(-1)
    rows = []
    for row, row_likes in zip(values, likes, strict=True):
        chosen = row_likes.argsort(descending=True)[: mixture_of_experts.CHOSEN_EXPERTS]
        results = [single_expert(experts, row, number) for number in chosen]
        weights = row_likes[chosen] / row_likes[chosen].sum()
        rows.append((torch.stack(results) * weights[:, None]).sum(0))
    torch.testing.assert_close(experts(values), torch.stack(rows))


def single_expert(experts, row, number):
    gate, up = (row @ experts.gate_up[number]).chunk(2)
    return (F.silu(gate) * up) @ experts.down[number]


def test_too_few_experts_are_refused():
    with pytest.raises(ValueError, match="experts must be at least 2, not 1"):
        mixture_of_experts.sample(experts=1)
