"""What a capture knew goes with it, though the model that it was of lives on."""

from __future__ import annotations

import gc
import weakref

import torch
from torch._dynamo.guards import CheckFunctionManager

from explorer import CompilationConfig, Session, StoreConfig
from explorer.torch_private.guard_lifetimes import ending_with_the_capture
from tests.explorer.comparing import filled


def test_a_capture_leaves_no_guards_on_the_model() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    config = CompilationConfig(backend="eager", max_size=64, store=StoreConfig(enabled=False))

    def capture() -> None:
        Session(model, (filled(5, 3),), config=config).run(filled(6, 3))

    def managers() -> int:
        gc.collect()
        return sum(type(each) is CheckFunctionManager for each in gc.get_objects())

    capture()
    before = managers()
    for _ in range(3):
        capture()
    assert managers() == before


def test_guards_of_torch_compile_are_left_alone() -> None:
    """Another compile that goes on in this process keeps its finalizers."""
    model, manager = torch.nn.Linear(1, 1), CheckFunctionManager.__new__(CheckFunctionManager)
    manager._weakrefs = {}
    with ending_with_the_capture():
        pass
    manager.id_ref(model, "model")
    gone = weakref.ref(manager)
    del manager
    assert gone() is not None
