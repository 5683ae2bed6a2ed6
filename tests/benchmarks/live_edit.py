"""What an edit in a living session costs, and what it leaves behind in memory.

Edits: a deep model is cut at one more op, and back again, several times. After the first time
nothing may be captured or compiled, and each new plan may take 1 CPU second. Memory: a tiny model
is compiled again hundreds of times, with another range, another cut, and another capture each time;
resident memory may grow by 0.25 MB each. The exit status is 1 when a target is missed.

    python -m tests.benchmarks.live_edit --layers 80 --recompiles 300
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from explorer import CompilationConfig, Session, StoreConfig
from explorer.counters import counters
from explorer.session import session_of
from sample_models import toy_llama
from tests.benchmarks.processor_time import cpu_seconds
from tests.benchmarks.reporting import machine_description, markdown_table

MOST_CPU_SECONDS = 1.0
MOST_MEGABYTES = 0.25
WARM_UPS = 40
"""Recompiles before the first look at memory: more than the history keeps."""

ONE_MORE = "torch.nn.functional.silu"


def edits(layers: int, backend: str, store: StoreConfig, times: int) -> list[tuple[str, ...]]:
    """A row per edit: what, CPU seconds, captured, compiled; the first two fill the session."""
    target = toy_llama.sample(layers=layers)
    config = target.compilation_config().replace(
        backend=backend, store=store, compile_ranges_endpoints=(), compile_sizes=()
    )
    session = session_of(target, config)
    plain = target.splitting_ops
    cuts = [plain, (*plain, ONE_MORE)]
    rows = []
    for number in range(2 + times):
        before, started = counters.snapshot(), cpu_seconds()
        compilation = session.update(splitting_ops=cuts[number % 2])
        seconds = cpu_seconds() - started
        after = counters.snapshot()
        what = "first" if number < 2 else "edit"
        rows.append(
            (
                f"{what}: {len(compilation.pieces)} pieces",
                f"{seconds:.3f}",
                str(after["captured"] - before["captured"]),
                str(after["compiled"] - before["compiled"]),
            )
        )
    return rows


class TinyLayer(torch.nn.Module):
    """Something to cut."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.proj(x).softmax(-1)


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "another range": lambda number: {"max_size": 64 + number},
    "another cut": lambda number: {"splitting_ops": ("Tensor.softmax",) if number % 2 else ()},
    "another capture": lambda number: {"dynamic_arg_dims": {"input": {0: f"n{number}"}}},
}


def growth(kind: str, recompiles: int) -> tuple[float, float]:
    """Megabytes of resident memory, and kilobytes of Python objects, for each recompile.

    The second is counted over a tenth of them, because counting takes long.
    """
    model = torch.nn.Sequential(*[TinyLayer() for _ in range(3)])
    config = CompilationConfig(
        backend="eager",
        splitting_ops=("Tensor.softmax",),
        max_size=64,
        store=StoreConfig(enabled=False),
    )
    session = Session(model, (torch.ones(5, 3),), config=config)
    change, called = KINDS[kind], torch.ones(7, 3)

    def recompile(number: int) -> None:
        session.update(**change(number))
        session.run(called)

    for number in range(WARM_UPS):
        recompile(number)
    before = _resident_bytes()
    for number in range(WARM_UPS, WARM_UPS + recompiles):
        recompile(number)
    resident = (_resident_bytes() - before) / recompiles
    few = max(recompiles // 10, 1)
    tracemalloc.start()
    for number in range(WARM_UPS + recompiles, WARM_UPS + recompiles + 25):
        recompile(number)  # what the history drops from here on was counted when it came
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0]
    for number in range(WARM_UPS + recompiles + 25, WARM_UPS + recompiles + 25 + few):
        recompile(number)
    gc.collect()
    objects = (tracemalloc.get_traced_memory()[0] - traced) / few
    tracemalloc.stop()
    return resident / 1e6, objects / 1e3


def _resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def edit_report(options: argparse.Namespace, folder: Path) -> list[str]:
    """Prints a table per store; returns what was missed."""
    missed = []
    for name, store in {
        "store off": StoreConfig(enabled=False),
        "store on": StoreConfig(root=folder),
    }.items():
        rows = edits(options.layers, options.backend, store, options.edits)
        header = (f"{options.layers} layers, {name}", "CPU s", "captured", "compiled")
        print(markdown_table(header, rows), end="\n\n", flush=True)
        for what, seconds, captured, compiled in rows[2:]:
            if float(seconds) > MOST_CPU_SECONDS or int(captured) or int(compiled):
                missed.append(
                    f"{name}, {what}: {seconds} CPU s, {captured} captured, {compiled} compiled"
                )
    return missed


def memory_report(recompiles: int) -> list[str]:
    """Prints a table; returns what was missed."""
    rows, missed = [], []
    for kind in KINDS:
        megabytes, kilobytes = growth(kind, recompiles)
        rows.append((kind, f"{megabytes:.3f}", f"{kilobytes:.0f}"))
        if megabytes > MOST_MEGABYTES:
            missed.append(f"{kind}: {megabytes:.3f} MB for each recompile")
    header = (f"{recompiles} recompiles", "resident MB each", "Python objects, kB each")
    print(markdown_table(header, rows), end="\n\n")
    return missed


def main() -> int:
    """Prints the tables; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=80, help="decoder layers")
    parser.add_argument("--edits", type=int, default=4, help="edits after the first two")
    parser.add_argument("--backend", choices=("inductor", "eager"), default="inductor")
    parser.add_argument("--recompiles", type=int, default=300, help="of the tiny model, 0 for none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("explorer").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    print(machine_description(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        missed = edit_report(options, Path(folder))
        missed += memory_report(options.recompiles) if options.recompiles else []
    print(
        f"Targets: an edit and back captures and compiles nothing and takes at most "
        f"{MOST_CPU_SECONDS} CPU s; a recompile leaves at most {MOST_MEGABYTES} MB: "
        f"{'MISSED' if missed else 'met'}."
    )
    for sentence in missed:
        print(f"MISSED  {sentence}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
