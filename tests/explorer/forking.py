"""A backend whose pieces other processes may compile, and sessions on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from explorer import (
    CompilationConfig,
    Session,
    StoreConfig,
)
from tests.explorer.comparing import filled
from tests.explorer.keeping import GraphKeeping

SECONDS = 60  # after which a test that hangs has failed
HERE = os.getpid()
NOT_STORED = StoreConfig(enabled=False)


class Backend(GraphKeeping):
    """Keeps graphs; says where it compiled what, and does what the test asks for.

    Attributes:
        folder: gets a file ``<range> <process> <nanoseconds> <nodes>`` per compile.
        acts: by range, what is done first in a process that is not the test's.
    """

    def __init__(self, folder: Path, **acts: Callable[[], None]) -> None:
        super().__init__()
        self.folder = folder
        self.acts = {name.strip("_").replace("_", "–"): act for name, act in acts.items()}

    def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
        nodes = len(graph.graph.nodes)
        (self.folder / f"{size_range} {os.getpid()} {time.monotonic_ns()} {nodes}").touch()
        act = self.acts.get(str(size_range))
        if act is not None and os.getpid() != HERE:
            act()
        return super().compile(graph, example_inputs, size_range=size_range, options=options)

    def generated_code(self, function: Any) -> str:
        return function.__self__.code

    def compiled(self) -> list[str]:
        """Ranges in the order in which they were begun, all processes together."""
        found = sorted(self.folder.iterdir(), key=lambda each: int(each.name.split()[2]))
        return [each.name.split()[0] for each in found]

    def node_counts(self) -> list[int]:
        """Nodes of the graphs in that order."""
        found = sorted(self.folder.iterdir(), key=lambda each: int(each.name.split()[2]))
        return [int(each.name.split()[3]) for each in found]

    def processes(self) -> set[int]:
        return {int(each.name.split()[1]) for each in self.folder.iterdir()}


class Model(torch.nn.Module):
    """Three pieces: one of four nodes, a relu at which it is cut, and one of two."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 3 + 1 - x / 2).relu() * x.shape[0]


def session(backend: Any, **changes: Any) -> Session:
    config = CompilationConfig(
        backend=backend,
        splitting_ops=("Tensor.relu",),
        compile_ranges_endpoints=(8,),
        max_size=64,
        compile_workers=2,
    )
    return Session(Model(), (filled(6, 3),), config=config.replace(**changes))


def facts(of: Session) -> list[Any]:
    return [
        (
            each.unique_id,
            each.size_range,
            each.requested_range,
            each.key,
            each.origin,
            each.guards,
            each.code,
            each.bytes,
            each.notes,
            each.changed_factors,
        )
        for each in of.compilation.artifacts
    ]


def assert_runs_as_eager(this: Session) -> None:
    for size in (2, 8, 9, 64):
        x = filled(size, 3)
        torch.testing.assert_close(this.run(x), Model()(x), rtol=0, atol=0)


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def raises() -> None:
    raise ValueError("first line\nsecond line") from KeyError("below")


def children() -> set[int]:
    """Processes that this one began, dead ones that nobody waited for too."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found
