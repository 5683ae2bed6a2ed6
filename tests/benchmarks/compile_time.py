"""What compiling a model costs in processor seconds, against stock ``torch.compile``.

Each cell is measured in a fresh process, one process at a time: from the first look at a model that
is already built, to the end of its first call. Cold means an empty cache directory for Inductor,
warm a second process with the directory that the cold one filled.

    python -m tests.benchmarks.compile_time --layers 8 32 80 --repeats 1

It ends with 1 when a target is missed, as far as the rows and depths of a target were measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from explorer import CompilationConfig, Session
from explorer.target import CompileTarget
from sample_models import toy_llama
from tests.benchmarks.processor_time import cpu_seconds
from tests.benchmarks.reporting import machine_description, markdown_table

MAX_SIZE = 2048
OURS, WORKERS, STOCK, NESTED = "piecewise", "workers", "stock", "nested"
LABELS = {
    OURS: "piecewise-explorer, one range",
    WORKERS: "piecewise-explorer, 2 workers",
    STOCK: "torch.compile, mark_dynamic",
    NESTED: "torch.compile, nested_compile_region",
}
COLD, WARM = "cold", "warm"
DEPTH_OF_TARGETS = 80
MOST_CPU_SECONDS_PER_LAYER = 0.05
COMPILE_STEP_CPU = "compile, CPU s"


@dataclass(frozen=True)
class Measured:
    """What one process took.

    Attributes:
        cpu_seconds: user and system time of the process and of the children that it waited for.
        wall_seconds: on the clock.
        steps: wall seconds per step, and processor seconds of the compile step; of our rows only.
    """

    cpu_seconds: float
    wall_seconds: float
    steps: dict[str, float]


# --------------------------------------------------------------------------- inside a fresh process


def compile_in_pieces(target: CompileTarget, *, workers: int = 1) -> dict[str, float]:
    """A Session with one range, and one call."""
    session = Session(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        make_inputs=target.make_inputs,
        config=CompilationConfig(
            splitting_ops=target.splitting_ops, max_size=MAX_SIZE, compile_workers=workers
        ),
    )
    used: list[float] = []  # when the compile step begins, between its parts, and when it ends
    session.update(progress=lambda _: used.append(cpu_seconds()))
    session.run(*target.example_inputs)
    return {**session.compilation.timings, COMPILE_STEP_CPU: used[-1] - used[0]}


def compile_with_workers(target: CompileTarget) -> dict[str, float]:
    """The same, with two processes that compile."""
    return compile_in_pieces(target, workers=2)


def compile_whole(target: CompileTarget) -> dict[str, float]:
    """Stock ``torch.compile`` with the same dims marked dynamic, and one call.

    ``dynamic=None`` is its default: ``dynamic=True`` would make symbols of the floats too and take
    several times as long.
    """
    inputs = tuple(value.clone() for value in target.example_inputs)
    for value in inputs:
        torch._dynamo.mark_dynamic(value, 0)
    torch.compile(target.model, fullgraph=True, dynamic=None)(*inputs)
    return {}


def compile_nested(target: CompileTarget) -> dict[str, float]:
    """The same, with the decoder layer marked as a region that is compiled once."""
    region = torch.compiler.nested_compile_region(toy_llama.DecoderLayer.forward)
    with patch.object(toy_llama.DecoderLayer, "forward", region):
        return compile_whole(target)


ROWS: dict[str, Callable[[CompileTarget], dict[str, float]]] = {
    OURS: compile_in_pieces,
    WORKERS: compile_with_workers,
    STOCK: compile_whole,
    NESTED: compile_nested,
}


class TrivialModel(torch.nn.Module):
    """What ``warm_up`` compiles."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.cos() + 1.0


def warm_up() -> None:
    """Does everything once on a trivial module: imports, instruction set probes, compiled headers.

    It takes the same paths as the rows, so that none of them pays for another's imports.
    """
    values = torch.ones(16, 4)
    torch.compile(TrivialModel(), fullgraph=True)(values)
    session = Session(
        TrivialModel(),
        (values,),
        dynamic_arg_dims={"values": {0: "n"}},
        config=CompilationConfig(max_size=MAX_SIZE),
    )
    session.run(values)
    torch.compiler.reset()


def measure_here(row: str, layers: int) -> Measured:
    """Measures one cell in this process, which must be fresh."""
    target = toy_llama.sample(layers=layers)
    with torch.no_grad():
        warm_up()
        started, clock = cpu_seconds(), time.perf_counter()
        steps = ROWS[row](target)
        return Measured(cpu_seconds() - started, time.perf_counter() - clock, steps)


# ----------------------------------------------------------------------------------- the other side


def in_fresh_process(arguments: Sequence[str], cache: Path) -> str:
    """Runs this script with other arguments; returns what it printed last.

    Compilation stays in that process and in children that it waits for (no pool of workers), so
    that the processor time of all of it is known.
    """
    environment = {
        **os.environ,
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "XDG_CACHE_HOME": str(cache / "user"),  # the store of artifacts is cold and warm with it
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.benchmarks.compile_time", *arguments]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{found.stderr[-2000:]}")
    return found.stdout.strip().splitlines()[-1] if found.stdout.strip() else ""


def measure_cell(row: str, layers: int, seed: Path, folder: Path) -> dict[str, Measured]:
    """Cold, then warm, in two processes with one cache directory.

    Args:
        row: key of ``ROWS``.
        layers: decoder layers.
        seed: cache directory in which only the warm-up was compiled; its copy is the cold start.
        folder: where the copy goes.
    """
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(seed, cache)
    found = {}
    for state in (COLD, WARM):
        printed = in_fresh_process(["--measure", row, str(layers)], cache)
        found[state] = Measured(**json.loads(printed))
    return found


Cells = dict[tuple[str, int, str], list[Measured]]


def measure_all(rows: Sequence[str], layers: Sequence[int], repeats: int) -> Cells:
    """Every row at every depth, cold and warm, the rows interleaved."""
    cells: Cells = {}
    with tempfile.TemporaryDirectory(prefix="compile_time_") as name:
        seed = Path(name) / "seed"
        say("warming up: instruction set probes and compiled headers")
        in_fresh_process(["--warm-up"], seed)
        for repeat in range(repeats):
            for depth in layers:
                for row in rows:
                    found = measure_cell(row, depth, seed, Path(name))
                    for state, measured in found.items():
                        cells.setdefault((row, depth, state), []).append(measured)
                    seconds = ", ".join(f"{k} {v.cpu_seconds:.1f}" for k, v in found.items())
                    say(f"{repeat + 1}/{repeats} · {depth} layers · {LABELS[row]}: {seconds}")
    return cells


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def lowest(cells: Cells, row: str, depth: int, state: str, unit: str = "cpu") -> float:
    """The lowest processor time among the repeats, or the lowest time on the clock."""
    return min(getattr(each, f"{unit}_seconds") for each in cells[row, depth, state])


def seconds_text(seconds: Iterable[float]) -> str:
    """Lowest, and the highest when there are several."""
    found = sorted(seconds)
    return f"{found[0]:.1f}" + (f" to {found[-1]:.1f}" if len(found) > 1 else "")


def report(cells: Cells, rows: Sequence[str], layers: Sequence[int]) -> str:
    """One table a state: seconds, ratio of processor seconds to stock, seconds per layer."""
    parts = []
    for state in (COLD, WARM):
        header = [state]
        for depth in layers:
            header += [f"{depth} layers, CPU s", "ratio", "wall s"]
        header += [f"slope {a}-{b}" for a, b in pairwise(layers)]
        table = []
        for row in rows:
            cell = [LABELS[row]]
            for depth in layers:
                found = cells[row, depth, state]
                cell.append(seconds_text(each.cpu_seconds for each in found))
                cell.append(_ratio(cells, row, depth, state))
                cell.append(seconds_text(each.wall_seconds for each in found))
            cell += [f"{slope(cells, row, a, b, state):.3f}" for a, b in pairwise(layers)]
            table.append(cell)
        parts.append(markdown_table(header, table))
    return "\n\n".join(parts)


def slope(cells: Cells, row: str, few: int, many: int, state: str) -> float:
    """Processor seconds for each further layer between two depths."""
    rise = lowest(cells, row, many, state) - lowest(cells, row, few, state)
    return rise / (many - few)


def _ratio(cells: Cells, row: str, depth: int, state: str) -> str:
    if (STOCK, depth, state) not in cells:
        return "-"
    return f"{lowest(cells, row, depth, state) / lowest(cells, STOCK, depth, state):.2f}"


def report_steps(cells: Cells, row: str, layers: Sequence[int]) -> str:
    """Where a row of ours spends its time: wall seconds per step, of the first repeat."""
    columns = [(depth, state) for state in (COLD, WARM) for depth in layers]
    found: list[Mapping[str, Any]] = [cells[row, *column][0].steps for column in columns]
    rows = [[step, *(f"{each[step]:.2f}" for each in found)] for step in found[0]]
    header = [f"{LABELS[row]}, wall s", *(f"{depth} {state}" for depth, state in columns)]
    return markdown_table(header, rows)


def targets(cells: Cells, layers: Sequence[int]) -> list[tuple[str, float, float]]:
    """What is asked of a cold start: (what, measured, at most), of what was measured."""
    at, found = DEPTH_OF_TARGETS, []
    for row, other, unit, most in (
        (OURS, STOCK, "cpu", 0.15),
        (OURS, NESTED, "cpu", 1.05),
        (WORKERS, NESTED, "wall", 0.8),
    ):
        if (row, at, COLD) in cells and (other, at, COLD) in cells:
            ratio = lowest(cells, row, at, COLD, unit) / lowest(cells, other, at, COLD, unit)
            found.append((f"{unit} s, {LABELS[row]} to {LABELS[other]}", ratio, most))
    if len(layers) > 1 and layers[-1] == at and (OURS, at, COLD) in cells:
        rise = slope(cells, OURS, layers[-2], layers[-1], COLD)
        found.append((f"cpu s per layer, {LABELS[OURS]}", rise, MOST_CPU_SECONDS_PER_LAYER))
    return found


def report_targets(found: Sequence[tuple[str, float, float]]) -> str:
    """One row a target."""
    rows = [
        [what, f"{measured:.3f}", f"{most:g}", "met" if measured <= most else "MISSED"]
        for what, measured, most in found
    ]
    return markdown_table([f"cold, {DEPTH_OF_TARGETS} layers", "measured", "at most", ""], rows)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; the hidden options are for the processes that this script starts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 32, 80], help="depths")
    parser.add_argument("--repeats", type=int, default=2, help="lowest of them counts")
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(ROWS), help="what is compiled"
    )
    parser.add_argument("--warm-up", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    """Prints the tables."""
    options = parse()
    torch.set_num_threads(1)
    if options.warm_up:
        with torch.no_grad():
            warm_up()
        return 0
    if options.measure:
        row, layers = options.measure
        print(json.dumps(asdict(measure_here(row, int(layers)))))
        return 0
    layers = sorted(set(options.layers))
    cells = measure_all(options.rows, layers, options.repeats)
    print(machine_description())
    print(
        f"toy llama, hidden 128, first call with 16 tokens, {options.repeats} repeats, lowest "
        f"of them. Imports, instruction set probes and compiled headers are not counted.\n"
    )
    print(report(cells, options.rows, layers))
    for row in (each for each in (OURS, WORKERS) if each in options.rows):
        print(f"\n{report_steps(cells, row, layers)}")
    found = targets(cells, layers)
    if found:
        print(f"\n{report_targets(found)}")
    return int(any(measured > most for _, measured, most in found))


if __name__ == "__main__":
    sys.exit(main())
