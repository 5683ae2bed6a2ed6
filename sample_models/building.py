"""What the sample models are built with: seeded weights and inputs, sentences about layers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def seeded_weights(seed: int = 0) -> Iterator[None]:
    """Weights made inside are the same every time; torch's random state stays as it was.

    Only the generator of the CPU is used: build there, then move.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def for_inference(model: nn.Module, device: str) -> nn.Module:
    """The model on ``device``, in evaluation mode, without gradients."""
    return model.to(device).eval().requires_grad_(False)


def token_ids(shape: tuple[int, ...], vocabulary: int, device: str) -> torch.Tensor:
    """Seeded token numbers in 0..vocabulary-1, int64."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(vocabulary, shape, generator=generator).to(device)


def check_layers(layers: int) -> None:
    """Refuses a model without layers.

    Raises:
        ValueError: ``layers`` is below 1.
    """
    if layers < 1:
        raise ValueError(f"layers must be at least 1, not {layers}.")


def layers_sentence(layers: int) -> str:
    """What a decoder of equal layers shows when each layer has one splitting op.

    The cuts lie inside the layers: the first compiled piece holds the embedding, the last one the
    head, and each one between them is the end of a layer and the start of the next.
    """
    return pieces_sentence(layers, layers, layers + 1, min(layers + 1, 3))


def pieces_sentence(layers: int, splitting: int, compiled: int, unique: int) -> str:
    """Says how many pieces there are of each kind, as "With 12 layers there are 25 pieces, ..."."""
    return (
        f"With {layers} {'layer' if layers == 1 else 'layers'} there are {splitting + compiled} "
        f"pieces, {splitting} splitting and {compiled} compiled, "
        f"of which {unique} {'is' if unique == 1 else 'are'} unique."
    )
