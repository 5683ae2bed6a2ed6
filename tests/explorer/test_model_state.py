"""A model that was run is as it was before."""

from __future__ import annotations

import torch
from torch import nn

from explorer.model_state import ModelState


class Restless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("replaced", torch.zeros(2))
        self.step = 0
        self.removed = "here"

    def forward(self, x):
        self.seen += 1
        self.replaced = self.replaced + 1
        self.register_buffer("late", torch.ones(1))
        self.linear = nn.Linear(2, 2)
        self.step += 1
        self.added = "new"
        del self.removed
        return x


def test_buffers_attributes_and_registered_objects_are_put_back() -> None:
    model = nn.Sequential(Restless())
    inner = model[0]
    buffers, linear = dict(inner.named_buffers()), inner.linear
    state = ModelState(model)
    model(torch.ones(2))
    assert set(state.now()) == {"buffer 0.seen", "buffer 0.replaced"}
    state.restore()
    assert dict(inner.named_buffers()).keys() == buffers.keys()
    assert all(getattr(inner, name) is buffer for name, buffer in buffers.items())
    assert all(torch.equal(buffer, torch.zeros(2)) for buffer in buffers.values())
    assert inner.linear is linear
    assert (inner.step, inner.removed) == (0, "here")
    assert not hasattr(inner, "added")
    assert not hasattr(inner, "late")
    assert list(inner.state_dict()) == ["seen", "replaced", "linear.weight", "linear.bias"]


def test_a_method_stands_for_its_module_and_a_function_has_no_state() -> None:
    model = Restless()
    state = ModelState(model.forward)
    model(torch.ones(2))
    state.restore()
    assert model.step == 0
    assert ModelState(lambda x: x).now() == {}
