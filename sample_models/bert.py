"""BERT from transformers with random weights: an encoder that refuses long sequences.

Its learned positions end at 512. Run as it is, it accepts the lengths 1..512 and fails at 513,
and a captured graph has the guard ``n <= 512``. Its output layer shares its weight with the
embedding.
"""

from sample_models import SampleModel
from sample_models.building import check_layers, seeded_weights
from sample_models.hugging_face import (
    ATTENTION_OP,
    INITIALIZER_RANGE,
    VOCABULARY,
    heads_of,
    import_transformers,
    target,
)

ATTENTION_MODULES = "module:bert.encoder.layer.*.attention.self"
"""A splitting op for the attention modules with the projections of queries, keys and values."""

MAX_SIZE = 512
"""The number of learned positions."""


def sample(
    layers: int = 2,
    hidden: int = 64,
    *,
    splitting_ops: tuple[str, ...] = (ATTENTION_OP,),
    device: str = "cpu",
) -> SampleModel:
    """A BERT of transformers that predicts masked tokens.

    Args:
        layers: number of encoder layers, at least 1.
        hidden: width, a multiple of 32.
        splitting_ops: where to cut, once per layer; ``(ATTENTION_MODULES,)`` cuts out whole
            modules.
        device: where the weights and inputs live.

    Raises:
        ImportError: transformers is not installed.
    """
    check_layers(layers)
    transformers = import_transformers()
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads_of(hidden),
        max_position_embeddings=MAX_SIZE,
        initializer_range=INITIALIZER_RANGE,
        attn_implementation="sdpa",
    )
    with seeded_weights():
        model = transformers.BertForMaskedLM(config)
    return target("bert", model, splitting_ops, MAX_SIZE, device)
