"""Whether a graph answers as a plain run does: results compared, on other values too.

Padding is right only where no row has to do with another. That is tried: on the values of the call,
with its last row repeated, and on other rows, so that equal rows do not hide what depends on them.
What shows for some values only, none of which was tried, is not noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from explorer.results import Seen, judge
from explorer.runtime.static_memory import resized


class Inconclusive(Exception):
    """A trial would show nothing; the message says why."""


def difference(
    expected: Sequence[Any],
    given: Sequence[Any],
    expected_written: Mapping[str, torch.Tensor],
    given_written: Mapping[str, torch.Tensor],
) -> str:
    """What is different, in words; empty when nothing is.

    Args:
        expected: what a plain run returned.
        given: what the graph returned.
        expected_written: name -> what the plain run wrote.
        given_written: name -> what the graph wrote.
    """
    if len(expected) != len(given):
        return f"{len(given)} values are returned instead of {len(expected)}"
    for number, (wanted, got) in enumerate(zip(expected, given, strict=True)):
        if isinstance(wanted, torch.Tensor) != isinstance(got, torch.Tensor):
            return f"result {number} is a {type(got).__name__}"
        if not isinstance(wanted, torch.Tensor) and wanted != got:
            return f"result {number} is {got!r} instead of {wanted!r}"
    return judge(_seen(expected, expected_written), _seen(given, given_written)).problem


def _seen(values: Sequence[Any], written: Mapping[str, torch.Tensor]) -> Seen:
    tensors = {
        f"result {number}": value
        for number, value in enumerate(values)
        if isinstance(value, torch.Tensor)
    }
    return Seen("values", tensors | dict(written))


def other_rows(
    tensor: torch.Tensor, example: torch.Tensor, shape: Sequence[int], path: str
) -> torch.Tensor:
    """Other values for an input at a larger shape, whose rows differ.

    They are rows that the call or the example has, in a random order, so that a number that must
    be a valid index is one; elements of floating point are scaled by random factors of 0.5 to 1.

    Args:
        tensor: of the call.
        example: of the call that was captured.
        shape: wanted.
        path: of the input, in the user's words.

    Raises:
        Inconclusive: the input holds one number only, and no other is known to be valid.
    """
    dims = [dim for dim, size in enumerate(shape) if tensor.shape[dim] != size]
    random = torch.Generator().manual_seed(0)
    example = example.to(tensor.device)
    sources = [each for each in (example, tensor) if each.numel()]
    source = next((each for each in sources if _has_other_rows(each, dims)), sources[-1])
    chosen = source
    for dim in dims:
        places = torch.randint(source.shape[dim], (shape[dim],), generator=random)
        places[-1] = (places[0] + source.shape[dim] // 2) % source.shape[dim]
        chosen = chosen.index_select(dim, places.to(tensor.device))
    chosen = resized(chosen, shape)
    if tensor.dtype is torch.bool:
        flips = torch.rand(tuple(shape), generator=random) < 0.5
        return chosen ^ flips.to(tensor.device)
    if tensor.is_floating_point() or tensor.is_complex():
        factors = (torch.rand(tuple(shape), generator=random) / 2 + 0.5).to(tensor.device)
        chosen = torch.where(chosen == 0, torch.ones_like(chosen), chosen)
        return (chosen * factors).to(tensor.dtype)
    if _has_other_rows(source, dims):
        return chosen
    if not (source > 0).any():
        raise Inconclusive(
            f"{path} holds {int(source.flatten()[0])} only, in this call and in the example: "
            "compile with an example that holds several numbers"
        )
    factors = torch.rand(tuple(shape), generator=random).to(tensor.device)
    return (chosen * factors).to(tensor.dtype)


def _has_other_rows(tensor: torch.Tensor, dims: Sequence[int]) -> bool:
    return any(bool((tensor != tensor.narrow(dim, 0, 1)).any()) for dim in dims)


__all__ = ["Inconclusive", "difference", "other_rows"]
