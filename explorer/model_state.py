"""A model in, its state kept: buffers and attributes, to run it and leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class ModelState:
    """What a call of a model may change in it, as it was when this object was made.

    Kept are what buffers hold, which objects are registered, and which objects plain attributes
    are. What a call changes inside an attribute, such as an item of a list, is not.
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        owner = getattr(model, "__self__", model)
        modules = list(owner.named_modules()) if isinstance(owner, nn.Module) else []
        self.buffers = {
            f"{path}.{name}".strip("."): (module, name, buffer, buffer.detach().clone())
            for path, module in modules
            for name, buffer in module.named_buffers(recurse=False)
            if not buffer.is_inference()
        }
        self._attributes = [(module, _attributes(module)) for _, module in modules]

    def now(self) -> dict[str, torch.Tensor]:
        """What the buffers hold."""
        return {
            f"buffer {path}": getattr(module, name).detach().clone()
            for path, (module, name, _, _) in self.buffers.items()
        }

    def restore(self) -> None:
        """Puts everything back: the objects and what buffers held."""
        for module, attributes in self._attributes:
            _put_back(module, attributes)
        with torch.no_grad():
            for module, name, buffer, content in self.buffers.values():
                if getattr(module, name) is not buffer:
                    setattr(module, name, buffer)
                buffer.copy_(content)


def _attributes(module: nn.Module) -> dict[str, dict[str, Any]]:
    found = {name: dict(module.__dict__[name]) for name in _REGISTRIES if name in module.__dict__}
    return found | {"": {k: v for k, v in module.__dict__.items() if k not in _REGISTRIES}}


def _put_back(module: nn.Module, attributes: dict[str, dict[str, Any]]) -> None:
    for registry, before in attributes.items():
        now = module.__dict__[registry] if registry else module.__dict__
        for name in list(now):
            if name not in before and not (not registry and name in _REGISTRIES):
                del now[name]
        for name, value in before.items():
            if name not in now or now[name] is not value:
                now[name] = value
