"""What about a model or a call is not as it was in the capture: all of it, or the weights alone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from explorer.artifacts import CapturedGraph
from explorer.runtime.state_check import NotWatched, Places
from explorer.thread_settings import thread_state
from explorer.torch_private.hooks import ModuleWatch


class StateProblems:
    """The conditions of one captured graph on everything but sizes."""

    def __init__(
        self, captured: CapturedGraph, modules: ModuleWatch, weights: Sequence[tuple[str, Any]]
    ) -> None:
        """Notes what the weights are.

        Args:
            captured: the graph.
            modules: its modules and their hooks.
            weights: source name and value of each input that is bound once.
        """
        self._captured = captured
        self._modules = modules
        names = captured.raw.function.__code__.co_varnames
        self._root = f"L['{names[0]}']" if names else ""
        tensors = [(source, value) for source, value in weights if isinstance(value, torch.Tensor)]
        self._weights = tuple((s, _metadata(v)) for s, v in tensors if self._is_found(s))

    def first(self, scope: Mapping[str, Any]) -> str | None:
        """The first condition that does not hold, or None.

        Args:
            scope: parameter and closure names -> values of the call.
        """
        guards = self._captured.raw.state
        # Guards compare dispatch keys, which inference mode takes away.
        outside = torch.is_inference_mode_enabled()
        with torch.inference_mode(False) if outside else contextlib.nullcontext():
            reason = None if guards.check(scope) else guards.explain(scope)
        if reason is None:
            reason = self._modules.problem()
        state = thread_state()
        if state != self._captured.thread_state:
            pairs = zip(self._captured.thread_state, state, strict=True)
            return next(f"{name} == {was}" for (name, was), (_, now) in pairs if was != now)
        return reason

    def of_weights(self) -> str | None:
        """The first parameter, buffer or submodule that is not as it was, or None."""
        places = Places(self._root, self._captured.raw.receiver)
        for source, expected in self._weights:
            try:
                value = places.value(source)
            except NotWatched:
                return f"tensor '{source}' is gone"
            if not isinstance(value, torch.Tensor):
                return f"tensor '{source}' is a {type(value).__name__}"
            for (name, was), (_, now) in zip(expected, _metadata(value), strict=True):
                if was != now:
                    return f"tensor '{source}' {name} was {was}, is {now}"
        return self._modules.children_problem()

    def _is_found(self, source: str) -> bool:
        if self._captured.raw.receiver is None:
            return False
        try:
            Places(self._root, self._captured.raw.receiver).value(source)
        except NotWatched:
            return False
        return True


def _metadata(tensor: torch.Tensor) -> tuple[tuple[str, Any], ...]:
    return (
        ("dtype", tensor.dtype),
        ("device", tensor.device),
        ("shape", tuple(tensor.shape)),
        ("strides", tensor.stride()),
        ("class", type(tensor)),
    )
