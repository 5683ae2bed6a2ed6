"""What the samples from transformers share: the lazy import, and the target around a model.

The models are built from configs with random weights, so nothing is downloaded. They are used as
they are: their outputs are the ``ModelOutput`` objects that a user of transformers gets.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from explorer import CompilationConfig
from sample_models import SampleModel
from sample_models.building import for_inference, layers_sentence, token_ids

ATTENTION_OP = "torch.nn.functional.scaled_dot_product_attention"
"""The splitting op of these samples unless another is asked for."""

VOCABULARY = 128

HEAD_SIZE = 16

INITIALIZER_RANGE = 0.1
"""Standard deviation of the random weights; with the usual 0.02 a wrong layer would hardly show."""


def import_transformers() -> ModuleType:
    """The transformers package.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ImportError(
            "This sample model is built by the transformers package, which cannot be imported "
            "here: install it with `pip install transformers`."
        ) from error


def heads_of(hidden: int) -> int:
    """Attention heads of a model of this width.

    Raises:
        ValueError: ``hidden`` is not a multiple of two heads.
    """
    if hidden < 1 or hidden % (2 * HEAD_SIZE):
        raise ValueError(f"hidden must be a multiple of {2 * HEAD_SIZE}, not {hidden}.")
    return hidden // HEAD_SIZE


def decoder_settings(layers: int, hidden: int, max_size: int) -> dict[str, Any]:
    """Settings that the configs of all decoder families have; two query heads share a key head."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads_of(hidden),
        "num_key_value_heads": heads_of(hidden) // 2,
        "head_dim": HEAD_SIZE,
        "max_position_embeddings": max_size,
        "initializer_range": INITIALIZER_RANGE,
        "use_cache": False,
        "attn_implementation": "sdpa",
    }


def target(
    name: str, model: Any, splitting_ops: tuple[str, ...], max_size: int, device: str
) -> SampleModel:
    """The target around a transformers model: one sequence, whose length ``n`` is dynamic.

    Args:
        name: name of the target.
        model: a model with ``model.config``, which takes ``input_ids`` of shape (1, tokens).
        splitting_ops: where to cut, once per layer.
        max_size: the longest sequence that is compiled for.
        device: where the weights and inputs live.
    """
    layers: int = model.config.num_hidden_layers

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (token_ids((1, sizes["n"]), VOCABULARY, device),), {}

    return SampleModel(
        name=name,
        model=for_inference(model, device),
        example_inputs=make_inputs({"n": 16})[0],
        dynamic_arg_dims={"input_ids": {1: "n"}},
        splitting_ops=splitting_ops,
        make_inputs=make_inputs,
        shows=layers_sentence(layers),
        config=CompilationConfig(compile_sizes=(16,), max_size=max_size),
    )
