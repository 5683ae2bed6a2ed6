"""Qwen3 from transformers with random weights: a decoder that also norms its queries and keys.

Run as it is, it accepts every length from 1 on; ``max_size`` is its ``max_position_embeddings``,
which nothing enforces.
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
    """A Qwen3 of transformers.

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
    config = transformers.Qwen3Config(**decoder_settings(layers, hidden, MAX_SIZE))
    with seeded_weights():
        model = transformers.Qwen3ForCausalLM(config)
    return target("qwen3", model, splitting_ops, MAX_SIZE, device)
