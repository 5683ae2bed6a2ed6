"""A notebook after a restart: what did not change is loaded whole, what changed is never stale."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.explorer.kernels import Kernel, new_kernel

IMPORTS = """
import json, logging, sys
import torch
from explorer import CompilationConfig, Session, StoreConfig, counters
from tests.explorer.keeping import GraphKeeping

messages = []
class Collecting(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())
logging.getLogger("explorer").addHandler(Collecting())
"""
HELPER = """
factor = 2.0
def act(x):
    return torch.sin(x) * factor
"""
MODEL = """
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)
    def forward(self, x):
        return act(self.linear(x)).softmax(-1) + act(x)
"""
COMPILE = """
model = Model()
config = CompilationConfig(
    backend=GraphKeeping(),
    splitting_ops=("Tensor.softmax",),
    max_size=64,
    store=StoreConfig(root={root!r}),
)
messages.clear()
before = counters.snapshot()
session = Session(model, (torch.rand(4, 8),), config=config)
origin = session.compilation.origin.name
def compare(*sizes):
    for rows in sizes:
        x = torch.rand(rows, 8) * 3
        with torch.no_grad():
            torch.testing.assert_close(session.run(x), model(x), rtol=0, atol=1e-6)
compare(3, 4, 50)
grown = {{name: count - before[name] for name, count in counters.snapshot().items()}}
compare(1)  # for one row the model is traced again, to see what differs
print(json.dumps({{"origin": origin, "messages": messages, **grown}}))
"""


def compiled(kernel: Kernel, root: Path) -> dict[str, Any]:
    """Compiles in a kernel and compares with eager there: a stale result fails the cell."""
    return json.loads(kernel.run(COMPILE.format(root=str(root))).splitlines()[-1])


def assert_loaded_whole(found: dict[str, Any]) -> None:
    names = ("captured", "normalised", "split", "deduped", "compiled", "compilations_loaded")
    assert [found[name] for name in names] == [0, 0, 0, 0, 0, 1]
    assert found["origin"] == "STORE"
    assert found["messages"] == []


def assert_compiled_because(found: dict[str, Any], change: str) -> None:
    assert (found["captured"], found["compilations_loaded"]) == (1, 0)
    assert found["messages"][:1] == [f"compiling Model again: {change}"]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with new_kernel() as started:
        yield started


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that a notebook of these cells filled before its kernel was restarted."""
    root = tmp_path_factory.mktemp("stored") / "store"
    with new_kernel() as first:
        for cell in (IMPORTS, HELPER, MODEL):
            first.run(cell)
        made = compiled(first, root)
    assert (made["captured"], made["compiled"], made["compilations_saved"]) == (1, 2, 1)
    assert made["messages"] == []
    return root


def test_the_same_cells_after_a_restart(stored: Path, kernel: Kernel) -> None:
    for cell in (IMPORTS, HELPER, MODEL):
        kernel.run(cell)
    assert_loaded_whole(compiled(kernel, stored))


def test_order_comments_and_blank_lines_do_not_matter(stored: Path, kernel: Kernel) -> None:
    model = MODEL.replace("    def forward", "\n    # as in the paper\n\n    def forward")
    helper = HELPER.replace("(x):\n", "(x):  # of each row\n\n")
    for cell in (IMPORTS, "# %%\n" + model, "1 + 1\n\n" + helper):
        kernel.run(cell)
    assert_loaded_whole(compiled(kernel, stored))


def test_edited_helper_after_a_restart_is_named(stored: Path, kernel: Kernel) -> None:
    kernel.run(IMPORTS)
    kernel.run(HELPER.replace("torch.sin", "torch.cos"))
    kernel.run(MODEL)
    assert_compiled_because(compiled(kernel, stored), "act of __main__: code")
    kernel.run(HELPER)
    assert_loaded_whole(compiled(kernel, stored))


def test_edit_in_a_running_kernel_is_named(kernel: Kernel, tmp_path: Path) -> None:
    for cell in (IMPORTS, HELPER, MODEL):
        kernel.run(cell)
    root = tmp_path / "store"
    assert compiled(kernel, root)["compilations_saved"] == 1
    kernel.run("factor = 100.0")
    change = "act of __main__: global factor 2.0 -> 100.0"
    assert_compiled_because(compiled(kernel, root), change)
    kernel.run(HELPER.replace("torch.sin", "torch.cos"))
    assert_compiled_because(compiled(kernel, root), "act of __main__: code")
    kernel.run(MODEL.replace("+ act(x)", "- act(x)"))
    assert_compiled_because(compiled(kernel, root), "the code of Model.forward changed")
    for cell in (HELPER, MODEL):
        kernel.run(cell)
    assert_loaded_whole(compiled(kernel, root))


FILE = "import torch\n" + HELPER + MODEL
IMPORT_FILE = """
sys.path.insert(0, {folder!r})
from model_on_disk import Model
"""


def test_code_in_memory_counts_and_not_the_file(kernel: Kernel, tmp_path: Path) -> None:
    root, path = tmp_path / "store", tmp_path / "model_on_disk.py"
    path.write_text(FILE)
    import_file = IMPORT_FILE.format(folder=str(tmp_path))
    for cell in (IMPORTS, import_file):
        kernel.run(cell)
    path.write_text(FILE.replace("torch.sin", "torch.cos"))
    assert compiled(kernel, root)["compilations_saved"] == 1  # of the code before the edit
    assert_loaded_whole(compiled(kernel, root))
    with new_kernel() as second:
        for cell in (IMPORTS, import_file):
            second.run(cell)
        assert_compiled_because(compiled(second, root), "act of model_on_disk: code")
        path.write_text(FILE)
        assert_loaded_whole(compiled(second, root))  # of the code that it imported
