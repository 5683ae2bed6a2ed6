"""Models whose layers differ in ways that a trace sees, or do more than return a tensor.

Each is called with ``values`` of shape (n, 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {}
"""name -> (makes the model, how many of its layers may be written again)."""


class Outer(nn.Module):
    """What the models below have in common."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Stack(Outer):
    """Calls its layers one after the other."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = values * 1.5
        for layer in self.layers:
            values = layer(values)
        return values


class Layer(nn.Module):
    """What the layers below have in common; without children a layer would be traced anyway."""

    def __init__(self, number: int = 0) -> None:
        super().__init__()
        torch.manual_seed(number)
        self.inner = nn.Linear(4, 4)
        self.number = number


def model(written: int, *, outer: type[nn.Module] = Stack) -> Callable[[type[nn.Module]], Any]:
    """Registers a model of five layers of a class."""

    def register(kind: type[nn.Module]) -> type[nn.Module]:
        def make() -> nn.Module:
            return outer([kind(number) for number in range(5)])

        MODELS[kind.__name__] = (make, written)
        return kind

    return register


@model(4)
class Equal(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values).relu()


@model(0)
class Numbered(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * (self.number + 1)


@model(0)
class Scaled(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.scale = 1.0 + number / 8

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * self.scale


@model(3)
class TrueIsOne(Layer):
    """``True == 1``, and their products are of different types."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.factor = True if number == 2 else 1

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        whole = (values > 0).sum(-1, keepdim=True)
        return self.inner(values) + (whole * self.factor if self.factor is not True else -whole)


@model(3)
class NegativeZero(Layer):
    """``0.0 == -0.0``, and quotients by them are not."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.zero = -0.0 if number == 2 else 0.0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values).clamp(-1, 1) + torch.atan(1 / torch.full((4,), self.zero))


@model(3)
class Alternating(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values).relu() if self.number % 2 else self.inner(values).tanh()

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number % 2


@model(3)
class OneInTraining(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.train(number == 3)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) + (100 if self.training else 0)


@model(3)
class OneWithoutBias(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.inner = nn.Linear(4, 4, bias=number != 3)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values)


@model(3)
class OneOfAnotherClass(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.act: nn.Module = nn.Tanh() if number == 3 else nn.ReLU()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.act(self.inner(values))


@model(3)
class OneDeeper(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.parts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3 if number == 1 else 2))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            values = part(values)
        return values


@model(0)
class OwnFunction(Layer):
    """The functions have one code and close over different values."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.act = lambda values, *, _number=number: values * (number + 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.act(self.inner(values))


@model(3)
class SameListTwice(Layer):
    """In one layer the two lists are one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.first = [1.0]
        self.second = self.first if number == 2 else [1.0]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * (3.0 if self.first is self.second else 2.0)


@model(3)
class TiedInside(Layer):
    """In one layer two parameters are one, which it writes to."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.first = nn.Buffer(torch.ones(4))
        self.second = self.first if number == 2 else nn.Buffer(torch.ones(4))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.first.mul_(2)
        return self.inner(values) * self.second


@model(4)
class WritesToItsInput(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values.mul_(2)
        return self.inner(values) + values


@model(4)
class ReturnsItsInput(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values.add_(self.inner(values))
        return values


@model(0)
class ReturnsAView(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values.add_(self.inner(values))
        return values[:, :]


@model(0)
class Counts(Layer):
    """It changes an attribute, and its result depends on it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.calls = 0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.inner(values) * self.calls


@model(0)
class AssignsABuffer(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.register_buffer("last", torch.zeros(4))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.last = values.sum(0)
        return self.inner(values)


@model(4)
class Branches(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = self.inner(values)
        if values.shape[0] > 5:
            return values.relu()
        return values.tanh()


@model(4)
class Reshapes(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        rows = values.shape[0]
        return self.inner(values.view(rows * 2, 2).reshape(rows, 4)) + rows // 2


@model(0)
class OwnSize(Layer):
    """Each has a size that only the run knows."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        rows = (values[:, 0] > 0).nonzero().squeeze(-1)
        return self.inner(values) + rows.sum() + rows.numel()


@model(0)
class Conditional(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.cond(
            values.sum() > 0, lambda x: x.relu(), lambda x: x.tanh(), (self.inner(values),)
        )


@model(0)
class Hooked(Layer):
    """Hooks are in no guard that is checked at a call."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.inner.register_forward_hook(self.scaled)

    def scaled(self, module: nn.Module, given: Any, result: torch.Tensor) -> torch.Tensor:
        return result * (self.number + 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values)


@model(3)
class OneHooked(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        if number == 3:
            self.inner.register_forward_pre_hook(lambda module, given: (given[0] * 10,))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values)


@model(4)
class LocalState(Layer):
    """What a layer makes it may change."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = []
        for part in self.inner(values).chunk(2, dim=-1):
            found.append(part.relu())
        named = {"first": found[0]}
        named["second"] = found[1]
        return torch.cat(list(named.values()), dim=-1)


class Pairs(Outer):
    """Hands a pair on."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        residual: Any = None
        for layer in self.layers:
            values, residual = layer(values, residual=residual)
        return values + residual


@model(3, outer=Pairs)
class WithResidual(Layer):
    """The first has no residual."""

    def forward(
        self, values: torch.Tensor, residual: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        residual = values if residual is None else residual + values
        return self.inner(residual), residual + 1


@model(3, outer=Pairs)
class HandsResidualOn(Layer):
    def forward(
        self, values: torch.Tensor, residual: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        residual = values * 2 if residual is None else residual
        return [self.inner(values) + residual, residual]


class Counting(Outer):
    """Changes its layers while it calls them."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        layer: Any
        for number, layer in enumerate(self.layers):
            layer.factor = number + 1.0
            values = layer(values)
        return values


@model(0, outer=Counting)
class ChangedFromOutside(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.factor = 1.0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * self.factor


class ChangingFirst(Outer):
    """Changes all of its layers, then calls them: they do not show it before the trace ends."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        layer: Any
        for number, layer in enumerate(self.layers):
            layer.factor = number + 1.0
        values = values * 2
        for layer in self.layers:
            values = layer(values)
        return values


@model(0, outer=ChangingFirst)
class ChangedBefore(Layer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.factor = number + 1.0 if number else 0.5

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * self.factor


class AddingUp(Outer):
    """Hands all of its layers one tensor, which each of them makes deeper."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = values + 1
        total = values.sum()
        for layer in self.layers:
            total = total + layer(values).flatten()[0]
        return total + values.sum()


@model(0, outer=AddingUp)
class DeepensItsInput(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values.unsqueeze_(0)
        return self.inner(values)


class Shared(nn.Module):
    """Changes an object that its layers look at."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.state: dict[str, float] = {"factor": 1.0}
        for layer in layers:
            layer.state = self.state  # type: ignore[assignment]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            values = layer(values)
            self.state["factor"] = self.state["factor"] + 1.0
        self.state["factor"] = 1.0
        return values


@model(0, outer=Shared)
class LooksAtShared(Layer):
    state: dict[str, float]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * self.state["factor"]


class Narrowing(Outer):
    """Hands its layers fewer and fewer rows."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        layer: Any
        for layer in self.layers:
            values = layer(torch.cat((values, values)))[: values.shape[0]]
            values = layer.inner(values)
        return values


@model(4, outer=Narrowing)
class Doubled(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) + values.shape[0]


class Unrolled(Outer):
    """Calls its layers from lines of their own, one of them under another mode."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = values + 1
        values = self.layers[0](values)
        values = self.layers[1](values)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values = self.layers[2](values).float()
        values = self.layers[3](values)
        return self.layers[4](values)


@model(3, outer=Unrolled)
class OneUnderAutocast(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values)


class Twice(nn.Module):
    """Calls each layer twice, and ties the parameters of two of them."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        layers[3].inner.weight = layers[1].inner.weight  # type: ignore[union-attr]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = values + 1
        for layer in self.layers:
            values = layer(values)
        for layer in self.layers:
            values = layer(values)
        return values


@model(4, outer=Twice)
class CalledTwice(Layer):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values)


class Given(nn.Module):
    """Hands each layer what it does not look at, and a module."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.helper = nn.Linear(4, 4)
        self.unused = object()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = values + 1
        for layer in self.layers:
            values = layer(values, self.helper, {"a": values, "b": (None, 2)}, cache=self.unused)
        return values


@model(0, outer=Given)
class TakesAModule(Layer):
    """Torch gives the module another name each time that it is called."""

    def forward(
        self, values: torch.Tensor, helper: nn.Module, named: dict[str, Any], cache: Any
    ) -> torch.Tensor:
        return self.inner(values) + helper(named["a"]) * named["b"][1]


@model(4, outer=Given)
class TakesMore(Layer):
    def forward(
        self, values: torch.Tensor, helper: nn.Module, named: dict[str, Any], cache: Any
    ) -> torch.Tensor:
        return self.inner(values) + named["a"] * named["b"][1]


class Collecting(Outer):
    """Hands its layers a list that they add to."""

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values, seen = values + 1, []
        for layer in self.layers:
            values = layer(values, seen)
        return (values, *seen)


@model(0, outer=Collecting)
class AddsToAList(Layer):
    def forward(self, values: torch.Tensor, seen: list[torch.Tensor]) -> torch.Tensor:
        values = self.inner(values)
        seen.append(values.sum())
        return values
