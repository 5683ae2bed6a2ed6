"""Llama from transformers with random weights: a real decoder, cut at its attention.

Run as it is, it accepts every length from 1 on; positions are computed, and nothing enforces
``max_position_embeddings``. ``max_size`` is that setting. A plain call leaves the causal mask
out; a captured graph cannot look at the positions to see that it may, so it builds one of
(tokens, tokens).
"""

from sample_models import SampleModel
from sample_models.building import check_layers, seeded_weights
from sample_models.hugging_face import ATTENTION_OP, decoder_settings, import_transformers, target

ATTENTION_MODULES = "module:model.layers.*.self_attn"
"""A splitting op for the attention modules, their projections included."""

MAX_SIZE = 2048


def sample(
    layers: int = 2,
    hidden: int = 64,
    *,
    splitting_ops: tuple[str, ...] = (ATTENTION_OP,),
    device: str = "cpu",
) -> SampleModel:
    """A Llama of transformers.

    Args:
        layers: number of decoder layers, at least 1.
        hidden: width, a multiple of 32.
        splitting_ops: where to cut, once per layer; ``(ATTENTION_MODULES,)`` cuts out whole
            modules.
        device: where the weights and inputs live.

    Raises:
        ImportError: transformers is not installed.
    """
    check_layers(layers)
    transformers = import_transformers()
    config = transformers.LlamaConfig(**decoder_settings(layers, hidden, MAX_SIZE))
    with seeded_weights():
        model = transformers.LlamaForCausalLM(config)
    return target("llama", model, splitting_ops, MAX_SIZE, device)
