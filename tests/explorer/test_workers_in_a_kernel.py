"""Pieces that several processes compile, from a notebook with threads of its own."""

from __future__ import annotations

import json

import pytest

from tests.explorer.kernels import new_kernel

CELL = """
import json, logging, os, threading
import torch
from explorer import CompilationConfig, Session, StoreConfig, counters
from tests.explorer.keeping import GraphKeeping

class Printing(GraphKeeping):
    def compile(self, graph, example_inputs, *, size_range, options):
        print("compiling", size_range, os.getpid() != HERE)
        return graph.forward

HERE = os.getpid()
messages = []
class Collecting(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())
logging.getLogger("explorer").addHandler(Collecting())

def model(x):
    return (x * 3 + 1).relu() * 2

def compiled(backend):
    config = CompilationConfig(
        backend=backend, splitting_ops=("Tensor.relu",), compile_ranges_endpoints=(8,),
        max_size=64, compile_workers=2, store=StoreConfig(enabled=False),
    )
    session = Session(model, (torch.rand(4, 3),), config=config)
    x = torch.rand(20, 3)
    torch.testing.assert_close(session.run(x), model(x))
    return session

end = threading.Event()
def busy():
    values = torch.ones(300, 300)
    while not end.is_set():
        torch.mm(values, values)

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
"""
IN_A_THREAD = """
found = []
thread = threading.Thread(target=lambda: found.append(compiled({backend})))
thread.start()
thread.join()
origins = [each.origin.name for each in found[0].compilation.artifacts]
told = [each for each in messages if "process" in each]
print(json.dumps([origins, counters.compiled, told]))
"""
END = """
end.set()
for thread in threads:
    thread.join()
left = open(f"/proc/self/task/{os.getpid()}/children").read()
print("left:", left)
"""


@pytest.mark.parametrize(
    "backend",
    ["Printing()", pytest.param("'inductor'", marks=pytest.mark.slow)],
)
def test_pieces_are_compiled_by_others_while_threads_of_the_notebook_work(backend: str) -> None:
    with new_kernel() as kernel:
        kernel.run(CELL)
        said = kernel.run(f"compiled({backend}); print(counters.compiled)")
        assert said.splitlines()[-1] == "4"
        for number in (2, 3):
            lines = kernel.run(IN_A_THREAD.format(backend=backend)).splitlines()
            assert json.loads(lines[-1]) == [["COMPILED"] * 4, 4 * number, []]
        if backend == "Printing()":  # what a worker prints is shown, and none is the kernel itself
            assert said.count("compiling") == said.count("True") == 4
        assert kernel.run(END).strip() == "left:"
