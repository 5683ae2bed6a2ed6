"""Without what it needs of torch, or in another thread, layers are traced one by one."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
import torch
from torch import nn

from explorer.counters import counters
from explorer.torch_private import repeats
from explorer.torch_private.recorder import Recording
from explorer.torch_private.repeats import RepeatCounts, calls, writing_repeats
from explorer.torch_private.traced_code import TracedCalls
from sample_models import toy_llama
from tests.explorer.torch_private.repeats.capturing import capture_of, described, written_in
from tests.explorer.torch_private.repeats.repeated_models import Equal, Layer, Stack
from tests.explorer.torch_private.repeats.test_different_layers import target_of


def test_names_that_moved_give_a_plain_capture_and_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    target = target_of("Equal")
    plain = capture_of(target, plain=True)

    def broken(*args: Any) -> Any:
        raise AttributeError("'OutputGraph' object has no attribute 'graph'")

    monkeypatch.setattr(calls, "write_again", broken)
    found = capture_of(target, plain=False)

    assert written_in(found) == 0
    assert described(found.graph) == described(plain.graph)
    assert [each.expression for each in found.evaluations] == [
        each.expression for each in plain.evaluations
    ]
    assert "repeated layers are traced one by one: AttributeError" in caplog.text


def test_names_that_are_missing_give_a_plain_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_of("Equal")
    plain = capture_of(target, plain=True)
    monkeypatch.delattr(repeats, "calls")
    monkeypatch.setitem(sys.modules, "explorer.torch_private.repeats.calls", None)

    found = capture_of(target, plain=False)

    assert written_in(found) == 0
    assert described(found.graph) == described(plain.graph)


def test_other_threads_trace_as_ever() -> None:
    model, counts, seen = Stack([Equal(number) for number in range(5)]), RepeatCounts(), []

    def backend(graph_module: torch.fx.GraphModule, inputs: Any) -> Any:
        seen.append(len(graph_module.graph.nodes))
        return graph_module.forward

    def compile_it() -> None:
        with torch.no_grad():
            torch.compile(model, backend=backend)(torch.ones(6, 4))

    with writing_repeats(model, TracedCalls(), Recording(), counts):
        thread = threading.Thread(target=compile_it)
        thread.start()
        thread.join()

    assert len(seen) == 1
    assert (counts.traced, counts.written) == (0, 0)


def test_counters_say_how_many_were_traced() -> None:
    with counters.expect(layers_traced=2, layers_written=6):
        capture_of(toy_llama.sample(layers=8), plain=False)


def test_few_layers_and_single_functions_do_not_count() -> None:
    assert repeats.repeated_layers(Stack([Equal(0), Equal(1)])) == {}
    assert repeats.repeated_layers(nn.Sequential(*(nn.Linear(4, 4) for _ in range(5)))) == {}
    assert repeats.repeated_layers(lambda values: values) == {}


def test_own_forward_does_not_count() -> None:
    layers = [Equal(number) for number in range(4)]
    layers[1].forward = lambda values: values

    found = repeats.repeated_layers(Stack(layers))

    assert found == {Equal.forward: frozenset(map(id, (layers[0], layers[2], layers[3])))}


def test_layers_inside_of_layers_do_not_count() -> None:
    class Outer(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(Equal(number) for number in range(4))

    outers = [Outer() for _ in range(3)]

    assert set(repeats.repeated_layers(Stack(outers))) == {Outer.forward}
