"""One call in, all that it shows out; and whether two calls showed the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from explorer.example_inputs import Inputs, copied
from explorer.model_state import ModelState
from explorer.random_state import random_state_kept
from explorer.stages import inputs
from explorer.torch_private.transforms import transforms_left

TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float64: 1e-7,
    torch.complex128: 1e-7,
    torch.float32: 1e-4,
    torch.complex64: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 2e-2,
}
"""Element type -> how far equal results may lie apart, relative and absolute; others not at all."""


@dataclass(frozen=True, eq=False)
class Seen:
    """All that one call shows.

    Attributes:
        kind: the kind of its output, with the value of one that is no container.
        tensors: every tensor that it made or wrote, by where it is.
    """

    kind: str
    tensors: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Judgement:
    """What two calls have in common.

    Attributes:
        largest: largest difference of two elements; None when there was nothing to compare.
        problem: what is different, in words; empty when nothing is.
    """

    largest: float | None
    problem: str

    @property
    def is_equal(self) -> bool:
        """Whether they showed the same within the tolerance of the element types."""
        return not self.problem


def see(
    run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], state: ModelState
) -> Seen:
    """Runs once, with a random state that is the same each time.

    Args:
        run: the model, or what stands for it.
        args: positional arguments; they may be written to.
        kwargs: keyword arguments.
        state: of the model; what its buffers hold afterwards is seen as well.
    """
    with torch.no_grad(), transforms_left(), random_state_kept():
        output = run(*args, **kwargs)
    tensors = {leaf.path: leaf.tensor for leaf in inputs.tensor_leaves({"output": output})}
    given = inputs.tensor_leaves({"args": args, "kwargs": dict(kwargs)})
    tensors |= {f"input {leaf.path}": leaf.tensor for leaf in given}
    return Seen(_kind(output), tensors | state.now())


def seen_or_error(
    run: Callable[..., Any], given: Inputs, model: Callable[..., Any]
) -> Seen | Exception:
    """Runs once on a copy of the inputs and puts the model's state back; an error is the result.

    Args:
        run: the model, or what stands for it.
        given: positional and keyword arguments; they stay as they are.
        model: whose state is kept.
    """
    args, kwargs = copied(*given)
    state = ModelState(model)
    try:
        return see(run, args, kwargs, state)
    except Exception as error:  # whatever the user's model raises
        return error
    finally:
        state.restore()


def _kind(output: Any) -> str:
    if isinstance(output, bool | int | float | str | None):
        return f"{type(output).__name__} {output!r}"
    return type(output).__name__


def judge(expected: Seen, given: Seen) -> Judgement:
    """Compares what two calls showed."""
    if expected.kind != given.kind:
        return Judgement(None, f"the output is {given.kind} instead of {expected.kind}")
    if list(expected.tensors) != list(given.tensors):
        return Judgement(None, "the output has other tensors in it")
    largest: float | None = None
    problems = []
    for name, wanted in expected.tensors.items():
        difference, problem = _difference(wanted, given.tensors[name])
        if difference is not None:
            largest = difference if largest is None else max(largest, difference)
        if problem:
            problems.append(f"{name} {problem}")
    return Judgement(largest, "; ".join(problems[:3]))


def _difference(expected: torch.Tensor, given: torch.Tensor) -> tuple[float | None, str]:
    """The largest difference of two elements, and what is wrong in words, if anything."""
    for what in ("dtype", "shape", "device"):
        wanted, got = getattr(expected, what), getattr(given, what)
        if wanted != got:
            return None, f"has {what} {got} instead of {wanted}"
    if expected.numel() == 0:
        return 0.0, ""
    wanted, same, apart = _apart(expected, given)
    largest = float(apart.max())
    tolerance = TOLERANCES.get(expected.dtype, 0.0)
    # A number is not close to an infinity, although the tolerance beside one is infinite.
    allowed = same | (apart.isfinite() & (apart <= tolerance + tolerance * wanted.abs()))
    count = int((~allowed).sum())
    return largest, f"differs in {count:,} of {expected.numel():,} elements" if count else ""


def _apart(
    expected: torch.Tensor, given: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What was wanted, where it is the same, how far it is apart; NaN is the same as NaN."""
    wide = torch.complex128 if expected.is_complex() else torch.float64
    wanted, got = expected.to(wide), given.to(wide)
    same = (wanted == got) | (wanted.isnan() & got.isnan())
    apart = (wanted - got).abs().masked_fill(same, 0.0)
    return wanted, same, apart.nan_to_num(nan=math.inf, posinf=math.inf)


@dataclass(frozen=True)
class Farthest:
    """The element in which two calls differ most.

    Attributes:
        name: of the tensor.
        index: of the element; empty for a tensor of no dimension.
        expected: the element.
        given: the other one.
    """

    name: str
    index: tuple[int, ...]
    expected: Any
    given: Any


def farthest(expected: Seen, given: Seen) -> Farthest | None:
    """Where two calls differ most; None where no two elements can be compared, or none differ."""
    found: Farthest | None = None
    most = 0.0
    for name, wanted in expected.tensors.items():
        got = given.tensors.get(name)
        if got is None or _difference(wanted, got)[0] is None or wanted.numel() == 0:
            continue
        apart = _apart(wanted, got)[2]
        here = float(apart.max())
        if here > most:
            place = int(apart.argmax())
            index = tuple(int(each) for each in np.unravel_index(place, tuple(wanted.shape)))
            found = Farthest(name, index, wanted[index].item(), got[index].item())
            most = here
    return found
