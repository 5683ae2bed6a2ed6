"""A real notebook kernel: an edited cell is noticed and named, a restart changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.explorer.kernels import Kernel

IMPORTS = """
import json, torch
from explorer.artifacts.traced import TracedFunction
from explorer.store.source_changes import changed
from explorer.torch_private import capture
"""
HELPER = """
scale = 2
def act(x):
    return torch.sin(x) * scale
"""
MODEL = """
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)
    def forward(self, x):
        return act(self.linear(x)) + 1
"""
TRACE = """
raw = capture.trace(Model(), (torch.ones(4, 8),), {})
print(json.dumps([each.as_plain() for each in raw.functions]))
"""
COMPARE = """
before = [TracedFunction.of_plain(each) for each in json.loads({text!r})]
function, receiver = capture.traced_function(Model())
print(json.dumps([str(each) for each in changed(before, function, receiver=receiver)]))
"""


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Kernel]]:
    monkeypatch.setitem(os.environ, "PYTHONHASHSEED", "random")
    started: list[Kernel] = []

    class Started(Kernel):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    yield Started
    for kernel in started:
        kernel.stop()


@pytest.mark.slow  # two kernels that import torch
def test_edited_cell_is_named_and_a_restart_changes_nothing(kernels: type[Kernel]) -> None:
    first = kernels()
    text = [first.run(cell) for cell in (IMPORTS, HELPER, MODEL, TRACE)][-1]
    functions = json.loads(text)
    assert {"Model.forward", "act"} <= {each["qualname"] for each in functions}
    assert not any(each["unknown"] for each in functions)
    compare = COMPARE.format(text=text)
    assert json.loads(first.run(compare)) == []
    first.run(HELPER.replace("torch.sin", "torch.cos"))
    assert json.loads(first.run(compare)) == ["act of __main__: code"]
    first.run(HELPER.replace("scale = 2", "scale = 100"))
    assert json.loads(first.run(compare)) == ["act of __main__: global scale 2 -> 100"]

    second = kernels()
    for cell in (IMPORTS, MODEL, "# a comment\n\n" + HELPER.replace(":\n", ":  # why\n")):
        second.run(cell)
    assert json.loads(second.run(compare)) == []
    again = json.loads(second.run(TRACE))
    assert again == functions
