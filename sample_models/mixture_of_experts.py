"""A decoder of experts that keeps a whole ``torch.Size`` for use behind the cut.

Each layer reads ``values.shape`` before attention and restores that shape twice after it, as many
mixture-of-experts models do, and the model restores its first shape at the very end. Cut at the
attention, these shapes would have to cross as ``torch.Size`` objects, which no compiler takes as
an input.

Shapes: ``tokens`` is dynamic and called ``n``; every expert sees every token, and a routing
weight of 0 drops what a token did not choose, so that the graph has no data-dependent sizes.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from explorer import CompilationConfig
from sample_models import SampleModel
from sample_models.building import (
    check_layers,
    for_inference,
    layers_sentence,
    seeded_weights,
    token_ids,
)
from sample_models.toy_llama import ATTENTION, Attention, RMSNorm, RotaryAngles, check_heads

HEADS = 4
CHOSEN_EXPERTS = 2
"""Experts per token."""


class Experts(nn.Module):
    """Gated MLPs of which each token uses the ``CHOSEN_EXPERTS`` that its router likes best."""

    def __init__(self, hidden: int, experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(hidden, experts, bias=False)
        scale = hidden**-0.5
        self.gate_up = nn.Parameter(torch.randn(experts, hidden, 2 * hidden) * scale)
        self.down = nn.Parameter(torch.randn(experts, hidden, hidden) * scale)

    def routing(self, values: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden) -> (tokens, experts): weights that sum to 1; 0 where not chosen."""
        likes = self.router(values).softmax(-1)
        weights, chosen = likes.topk(CHOSEN_EXPERTS, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        return torch.zeros_like(likes).scatter(-1, chosen, weights)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        gate, up = torch.matmul(values, self.gate_up).chunk(2, dim=-1)
        results = torch.matmul(F.silu(gate) * up, self.down)  # (experts, tokens, hidden)
        weights = self.routing(values).t().unsqueeze(-1)
        return (results * weights).sum(0)


class ExpertLayer(nn.Module):
    """Attention and experts work on rows; the shape that came in is restored after each."""

    def __init__(self, hidden: int, experts: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(hidden)
        self.attention = Attention(hidden, HEADS)
        self.experts_norm = RMSNorm(hidden)
        self.experts = Experts(hidden, experts)

    def forward(
        self, values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> torch.Tensor:
        """(1, tokens, hidden) -> (1, tokens, hidden)."""
        shape = values.shape  # whole: read before the cut, used twice behind it
        rows = self.attention_norm(values).flatten(0, 1)
        values = values + self.attention(rows, cosine, sine).view(shape)
        rows = self.experts_norm(values).flatten(0, 1)
        return values + self.experts(rows).view(shape)


class ToyMixtureOfExperts(nn.Module):
    """Token numbers and positions in, logits over the vocabulary out."""

    def __init__(self, layers: int, hidden: int, experts: int, vocab: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, hidden)
        self.rotary = RotaryAngles(hidden // HEADS)
        self.layers = nn.ModuleList([ExpertLayer(hidden, experts) for _ in range(layers)])
        self.norm = RMSNorm(hidden)
        self.head = nn.Linear(hidden, vocab, bias=False)

    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Two times (tokens,) int64 -> (1, tokens, vocab)."""
        values = self.embedding(input_ids).unsqueeze(0)
        shape = values.shape  # crosses every cut
        cosine, sine = self.rotary(positions)
        for layer in self.layers:
            values = layer(values, cosine, sine)
        return self.head(self.norm(values).view(shape))


def sample(
    layers: int = 4,
    hidden: int = 64,
    *,
    experts: int = 8,
    vocab: int = 512,
    device: str = "cpu",
) -> SampleModel:
    """A toy mixture of experts with random weights, cut at its attention.

    It accepts any number of tokens; ``max_size`` bounds the memory, since every expert sees every
    token.

    Args:
        layers: number of decoder layers, at least 1.
        hidden: width, a multiple of 8.
        experts: experts per layer, at least 2.
        vocab: size of the vocabulary.
        device: where the weights and inputs live.
    """
    check_layers(layers)
    check_heads(hidden, HEADS)
    if experts < CHOSEN_EXPERTS:
        raise ValueError(f"experts must be at least {CHOSEN_EXPERTS}, not {experts}.")
    with seeded_weights():
        model = for_inference(ToyMixtureOfExperts(layers, hidden, experts, vocab), device)

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        tokens = sizes["n"]
        return (token_ids((tokens,), vocab, device), torch.arange(tokens, device=device)), {}

    return SampleModel(
        name="mixture_of_experts",
        model=model,
        example_inputs=make_inputs({"n": 16})[0],
        dynamic_arg_dims={"input_ids": {0: "n"}, "positions": {0: "n"}},
        splitting_ops=(ATTENTION,),
        make_inputs=make_inputs,
        shows=f"{layers_sentence(layers)[:-1]}, and no torch.Size crosses a cut.",
        config=CompilationConfig(compile_sizes=(16,), max_size=2048),
    )
