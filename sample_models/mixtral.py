"""Mixtral from transformers with random weights: a decoder whose MLPs are experts.

Of the ways in which transformers can run experts, two can be captured as one graph.
``batched_mm`` copies the weights of the chosen experts for every token, which is why ``max_size``
is small. ``grouped_mm`` sorts the tokens by expert, and computes ``2 * n`` (two experts a token)
in the middle of the graph. The third, ``eager``, loops over the experts that were hit, a number
that depends on the data.

Run as it is, it accepts every length from 1 on.
"""

from sample_models import SampleModel
from sample_models.building import check_layers, seeded_weights
from sample_models.hugging_face import ATTENTION_OP, decoder_settings, import_transformers, target

ATTENTION_MODULES = "module:model.layers.*.self_attn"
"""A splitting op for the attention modules, their projections included."""

MAX_SIZE = 512

EXPERTS = 4


def sample(
    layers: int = 2,
    hidden: int = 64,
    *,
    experts_implementation: str = "batched_mm",
    splitting_ops: tuple[str, ...] = (ATTENTION_OP,),
    device: str = "cpu",
) -> SampleModel:
    """A Mixtral of transformers.

    Args:
        layers: number of decoder layers, at least 1.
        hidden: width, a multiple of 32.
        experts_implementation: how transformers runs the experts: ``batched_mm`` or ``grouped_mm``.
        splitting_ops: where to cut, once per layer; ``(ATTENTION_MODULES,)`` cuts out whole
            modules.
        device: where the weights and inputs live.

    Raises:
        ImportError: transformers is not installed.
    """
    check_layers(layers)
    transformers = import_transformers()
    config = transformers.MixtralConfig(
        **decoder_settings(layers, hidden, MAX_SIZE),
        num_local_experts=EXPERTS,
        num_experts_per_tok=2,
        experts_implementation=experts_implementation,
    )
    with seeded_weights():
        model = transformers.MixtralForCausalLM(config)
    return target("mixtral", model, splitting_ops, MAX_SIZE, device)
