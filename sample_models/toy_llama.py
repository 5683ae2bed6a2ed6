"""A small Llama whose attention is a custom op that writes into a tensor it is given.

The decoder has what the large ones have: RMS norms, rotary positions, gated MLPs, and attention
that a compiler must leave alone. All layers are equal, so however deep it is, three pieces are
compiled.

With ``layer_names`` each layer also passes its name to a custom op within a compiled piece, as
layers do that keep a cache or statistics of their own: once as a text, which makes every piece
another one, once as a ``LayerName``, which does not.

Shapes: ``tokens`` is the length of the one sequence, dynamic and called ``n``; ``hidden`` is
``heads * head_size``.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from explorer import CompilationConfig, LayerName, direct_register_custom_op
from sample_models import SampleModel
from sample_models.building import (
    check_layers,
    for_inference,
    layers_sentence,
    pieces_sentence,
    seeded_weights,
    token_ids,
)

ATTENTION = "demo::attention"
"""Name of the splitting op: ``demo::attention(query, key, value, out!)``."""

LayerNames = Literal["none", "string", "opaque"]
"""Whether each layer passes its name to a custom op, and as what."""

MLP_FACTOR = 4
"""Width of the gated MLP in units of ``hidden``."""


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, out: torch.Tensor
) -> None:
    """Writes into ``out`` what each token sees of itself and of those before it.

    Args:
        query: (tokens, heads, head_size).
        key: same shape.
        value: same shape.
        out: same shape; overwritten.
    """
    query, key, value = (each.transpose(0, 1)[None] for each in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    out.copy_(attended[0].transpose(0, 1))


def register_attention() -> None:
    """Makes ``torch.ops.demo.attention``, once a process.

    A second import and a reload find the op and leave it: graphs that were captured with it stay
    valid, and an edit of ``causal_attention`` takes effect in the next process.
    ``torch.library.define`` rather than ``custom_op``: a call costs 2 instead of 21 microseconds
    on top of the kernel, and the model is run without gradients, which is what the difference
    would pay for.
    """
    if hasattr(torch.ops.demo, "attention"):
        return
    torch.library.define(
        ATTENTION, "(Tensor query, Tensor key, Tensor value, Tensor(a!) out) -> ()"
    )
    torch.library.impl(ATTENTION, "default", causal_attention)
    torch.library.register_fake(ATTENTION, lambda query, key, value, out: None)


register_attention()


def scale_by_layer(values: torch.Tensor, layer_name: LayerName) -> torch.Tensor:
    """The values times the ``gain`` of the layer that is called so."""
    return values * layer_name.resolve().gain


def scale_by_text(values: torch.Tensor, layer_name: str) -> torch.Tensor:
    """The same for a name that is a text, which has to say it all."""
    return values * gain_of(int(layer_name.partition(".")[2]))


def empty_like_values(values: torch.Tensor, layer_name: LayerName | str) -> torch.Tensor:
    """What both make, without its content."""
    return torch.empty_like(values)


def gain_of(number: int) -> float:
    """A factor of its own for each layer, close to 1."""
    return 1 + (number + 1) / 1024


for scale in (scale_by_layer, scale_by_text):
    direct_register_custom_op(scale.__name__, scale, fake_impl=empty_like_values)


class RMSNorm(nn.Module):
    """Scales each row to a root mean square of 1, then by a weight per column."""

    def __init__(self, hidden: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))
        self.epsilon = epsilon

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(..., hidden) -> (..., hidden)."""
        mean_square = values.pow(2).mean(-1, keepdim=True)
        return self.weight * values * torch.rsqrt(mean_square + self.epsilon)


class RotaryAngles(nn.Module):
    """The angles by which queries and keys are turned, one per position and pair of columns."""

    frequencies: torch.Tensor

    def __init__(self, head_size: int, base: float = 10000.0) -> None:
        super().__init__()
        exponents = torch.arange(0, head_size, 2, dtype=torch.float32) / head_size
        self.register_buffer("frequencies", base**-exponents, persistent=False)

    def forward(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(tokens,) -> cosine and sine, each (tokens, 1, head_size / 2)."""
        angles = positions[:, None, None].to(self.frequencies.dtype) * self.frequencies
        return angles.cos(), angles.sin()


def rotate(values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """(tokens, heads, head_size), turned by the angles."""
    first, second = values.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class Attention(nn.Module):
    """Causal attention within the sequence; the op in the middle is where the graph is cut."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(hidden, 3 * hidden, bias=False)
        self.output = nn.Linear(hidden, hidden, bias=False)

    def forward(
        self, values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> torch.Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        projected = self.query_key_value(values).unflatten(-1, (3, self.heads, -1))
        query, key, value = projected.unbind(1)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        out = torch.empty_like(query)
        torch.ops.demo.attention(query, key, value, out)
        return self.output(out.flatten(-2))


class GatedMLP(nn.Module):
    """SwiGLU: one half of the projection gates the other."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(hidden, 2 * MLP_FACTOR * hidden, bias=False)
        self.down = nn.Linear(MLP_FACTOR * hidden, hidden, bias=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        gate, up = self.gate_up(values).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class DecoderLayer(nn.Module):
    """Attention, then the MLP, each on normed values and added to what came in."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(hidden)
        self.attention = Attention(hidden, heads)
        self.mlp_norm = RMSNorm(hidden)
        self.mlp = GatedMLP(hidden)

    def forward(
        self, values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> torch.Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        values = values + self.attention(self.attention_norm(values), cosine, sine)
        return values + self.mlp(self.mlp_norm(values))


class NamedLayer(nn.Module):
    """A decoder layer whose result an op scales by the layer's gain, for which it gets the name."""

    def __init__(self, hidden: int, heads: int, number: int, layer_names: LayerNames) -> None:
        super().__init__()
        self.layer = DecoderLayer(hidden, heads)
        self.gain = gain_of(number)
        text = f"layers.{number}"
        self.layer_name = text if layer_names == "string" else LayerName(text).register(self)

    def forward(
        self, values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> torch.Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        values = self.layer(values, cosine, sine)
        if isinstance(self.layer_name, str):
            return torch.ops.explorer.scale_by_text(values, self.layer_name)
        return torch.ops.explorer.scale_by_layer(values, self.layer_name)


class ToyLlama(nn.Module):
    """Token numbers and positions in, logits over the vocabulary out."""

    def __init__(
        self,
        layers: int,
        hidden: int,
        heads: int,
        vocab: int,
        layer_names: LayerNames = "none",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, hidden)
        self.rotary = RotaryAngles(hidden // heads)
        self.layers = nn.ModuleList(
            DecoderLayer(hidden, heads)
            if layer_names == "none"
            else NamedLayer(hidden, heads, number, layer_names)
            for number in range(layers)
        )
        self.norm = RMSNorm(hidden)
        self.head = nn.Linear(hidden, vocab, bias=False)

    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Two times (tokens,) int64 -> (tokens, vocab)."""
        values = self.embedding(input_ids)
        cosine, sine = self.rotary(positions)
        for layer in self.layers:
            values = layer(values, cosine, sine)
        return self.head(self.norm(values))


def check_heads(hidden: int, heads: int) -> None:
    """Refuses sizes that give no rotary head.

    Raises:
        ValueError: ``hidden / heads`` is not a whole even number.
    """
    if heads < 1 or hidden < 1 or hidden % (2 * heads):
        raise ValueError(
            f"hidden={hidden} does not divide into heads={heads} of an even size: "
            f"make hidden a multiple of {2 * max(heads, 1)}."
        )


def check_layer_names(layer_names: str) -> None:
    """Refuses what is none of the three.

    Raises:
        ValueError: naming them.
    """
    known = get_args(LayerNames)
    if layer_names not in known:
        raise ValueError(f"layer_names is {layer_names!r}; it is one of {', '.join(known)}.")


def sample(
    layers: int = 12,
    hidden: int = 128,
    *,
    heads: int = 4,
    vocab: int = 512,
    device: str = "cpu",
    layer_names: LayerNames = "none",
) -> SampleModel:
    """A toy Llama with random weights, cut at its attention.

    It accepts any number of tokens; ``max_size`` keeps the demo light.

    Args:
        layers: number of decoder layers, at least 1.
        hidden: width, a multiple of ``2 * heads``.
        heads: attention heads.
        vocab: size of the vocabulary.
        device: where the weights and inputs live.
        layer_names: ``string`` and ``opaque`` let each layer pass its name to a custom op, as a
            text and as a ``LayerName``; numbers are the same for both.
    """
    check_layers(layers)
    check_heads(hidden, heads)
    check_layer_names(layer_names)
    with seeded_weights():
        model = for_inference(ToyLlama(layers, hidden, heads, vocab, layer_names), device)

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        tokens = sizes["n"]
        return (token_ids((tokens,), vocab, device), torch.arange(tokens, device=device)), {}

    shows = layers_sentence(layers)
    if layer_names == "string":
        shows = pieces_sentence(layers, layers, layers + 1, layers + 1)
    return SampleModel(
        name="toy_llama",
        model=model,
        example_inputs=make_inputs({"n": 16})[0],
        dynamic_arg_dims={"input_ids": {0: "n"}, "positions": {0: "n"}},
        splitting_ops=(ATTENTION,),
        make_inputs=make_inputs,
        shows=shows,
        config=CompilationConfig(
            compile_ranges_endpoints=(32,), compile_sizes=(16,), max_size=2048
        ),
    )
