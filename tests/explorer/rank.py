"""One rank of ``test_ranks``: compiles what all ranks compile, and writes down what happened.

Called as ``python -m tests.explorer.rank FOLDER all|die``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, fx

from explorer import CompilationConfig, Progress, Session, StoreConfig
from explorer.environment import environment_factors
from tests.explorer.comparing import filled
from tests.explorer.keeping import GraphKeeping

SECONDS = 60  # after which a rank that waits for the other one gives up
SIZES = (2, 5, 8, 9, 40)


def model(x: torch.Tensor) -> torch.Tensor:
    return (x * 3).relu() + x.shape[0]


class Meeting(GraphKeeping):
    """Notes each compile in a file; the first one goes on when the other rank waits for it."""

    def __init__(self, folder: Path, *, dies: bool) -> None:
        super().__init__()
        self.folder = folder
        self.dies = dies

    def compile(
        self, graph: fx.GraphModule, example_inputs: Any, *, size_range: Any, options: Any
    ) -> Callable[..., Any]:
        with (self.folder / "compiled").open("a") as file:
            file.write(f"{[str(each.target) for each in graph.graph.nodes]} {size_range}\n")
        end_seconds = time.monotonic() + SECONDS
        while not (self.folder / "waits").exists():
            assert time.monotonic() < end_seconds, "the other rank does not wait"
            time.sleep(0.01)
        if self.dies and is_first(self.folder / "died"):
            os._exit(0)  # with another code torchrun would end the other rank as well
        return graph.forward


def is_first(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def main(folder: Path, what: str) -> None:
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    config = CompilationConfig(
        backend=Meeting(folder, dies=what == "die"),
        splitting_ops=("Tensor.relu",),
        compile_ranges_endpoints=(8,),
        max_size=64,
        store=StoreConfig(root=folder / "store"),
    )
    session = Session(model, (filled(6, 3),), config=config)

    def progress(now: Progress) -> None:
        if "another process" in now.what:
            (folder / "waits").touch()

    distributed.barrier()  # a rank that starts late would find all that it needs
    session.update(progress=progress)
    found = {
        "counts": dict(session.compilation.counts),
        "origins": [each.origin.value for each in session.compilation.artifacts],
        "equal": [torch.equal(session.run(filled(n, 3)), model(filled(n, 3))) for n in SIZES],
        "environment": environment_factors(),
    }
    (folder / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
