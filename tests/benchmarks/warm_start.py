"""What the next process pays for a model that was compiled before, in processor seconds.

Every figure is of a fresh process: from a model that is already built to the end of its first call,
after everything that can be imported before was imported; the imports have columns of their own.
The exit status is 1 when a target is missed, or when a process did not do what its row is about.

    python -m tests.benchmarks.warm_start --layers 80 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.compile_time import in_fresh_process, say
from tests.benchmarks.reporting import machine_description, markdown_table
from tests.benchmarks.warm_start_process import (
    CACHED,
    COLD,
    NAMED,
    NESTED,
    PIECES,
    PIECEWISE,
    STOCK,
    TRIVIAL,
    WHOLE,
    Cell,
)

TARGET_LAYERS = 80
TARGET_SECONDS = 0.6


@dataclass(frozen=True)
class Row:
    """One line of the tables.

    Attributes:
        label: for people.
        way: how the model is compiled; rows of one way share the folders that its cold row fills.
        state: what the process has to find there.
        has_compiler: whether it finds a C++ compiler, and the folder of torch's caches; without
            one the folder is empty.
        has_target: whether it has to take at most ``TARGET_SECONDS``.
    """

    label: str
    way: str
    state: str
    has_compiler: bool = True
    has_target: bool = False


ROWS = (
    Row("explorer, cold", PIECEWISE, COLD),
    Row("explorer, warm: loaded whole", PIECEWISE, WHOLE, has_target=True),
    Row("the same without a compiler", PIECEWISE, WHOLE, has_compiler=False, has_target=True),
    Row("explorer, warm: pieces loaded", PIECEWISE, PIECES),
    Row("explorer with LayerName, cold", NAMED, COLD),
    Row("explorer with LayerName, warm", NAMED, CACHED),
    Row("torch.compile, cold", STOCK, COLD),
    Row("torch.compile, warm", STOCK, CACHED),
    Row("nested_compile_region, cold", NESTED, COLD),
    Row("nested_compile_region, warm", NESTED, CACHED),
    Row("torch.compile of x.cos(), warm", TRIVIAL, CACHED),
)
UNIT = next(row for row in ROWS if row.way == STOCK and row.state == CACHED)

Cells = dict[Row, list[Cell]]


class Folders:
    """Where the processes keep what they made: for each way a store and torch's caches."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seed = root / "seed"
        say("warming up: instruction set probes and compiled headers")
        in_fresh_process(["--warm-up"], self._seed)
        self._fresh = 0

    def store(self, way: str) -> Path:
        """The root of the artifact store."""
        return self.root / way / "store"

    def torch_caches(self, row: Row) -> Path:
        """Inductor's folder: with probes and headers at first, empty where there is no compiler."""
        if not row.has_compiler:
            self._fresh += 1
            return self.root / f"empty_{self._fresh}"
        folder = self.root / row.way / "torch"
        if not folder.exists():
            shutil.copytree(self._seed, folder)
        return folder


def measure(row: Row, layers: int, repeat: int, folders: Folders) -> Cell:
    """One cell, in a process of its own.

    Raises:
        RuntimeError: it failed, or did not do what its row is about.
    """
    environment = {
        **os.environ,
        "TORCHINDUCTOR_CACHE_DIR": str(folders.torch_caches(row)),
        "XDG_CACHE_HOME": str(folders.root / "user"),
        "XDG_STATE_HOME": str(folders.root / "user"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool, whose time nobody would add up
        "OMP_NUM_THREADS": "1",
    }
    if not row.has_compiler:
        environment["PATH"] = ""
        environment.pop("CXX", None)
    command = [sys.executable, "-m", "tests.benchmarks.warm_start_process", row.way, row.state]
    command += ["--layers", str(layers), "--store", str(folders.store(row.way))]
    if row.state == PIECES:
        # It counts for a compilation and not for a piece: the compilation is not found, and the
        # one that is stored then is not found in the next repeat either.
        command += ["--variants-limit", str(100 + repeat)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{row.label} failed:\n{done.stderr[-2000:]}")
    return Cell(**json.loads(done.stdout.splitlines()[-1]))


def measure_all(rows: Sequence[Row], layers: int, repeats: int) -> Cells:
    """The cold rows once, because they fill the folders; then the warm ones, interleaved."""
    cells: Cells = {row: [] for row in rows}
    with tempfile.TemporaryDirectory(prefix="warm_start_") as name:
        folders = Folders(Path(name))
        rounds = [(0, row) for row in rows if row.state == COLD]
        rounds += [(n, row) for n in range(repeats) for row in rows if row.state != COLD]
        for repeat, row in rounds:
            cells[row].append(measure(row, layers, repeat, folders))
            say(f"{repeat + 1}/{repeats} · {row.label}: {cells[row][-1].seconds:.2f}")
    return cells


def median(cells: Sequence[Cell], value: Callable[[Cell], float | None]) -> float | None:
    """The median of one value; None where there is none."""
    values = [found for cell in cells if (found := value(cell)) is not None]
    return statistics.median(values) if values else None


def median_seconds(cells: Sequence[Cell]) -> float:
    """The median of what the rows are compared by."""
    return statistics.median(cell.seconds for cell in cells)


def seconds_text(seconds: float | None) -> str:
    """Two digits behind the point, or a dash."""
    return "-" if seconds is None else f"{seconds:.2f}"


def report(cells: Mapping[Row, Sequence[Cell]]) -> str:
    """Processor seconds of each row, medians of its processes."""
    unit = median_seconds(cells[UNIT]) if UNIT in cells else None
    header = (
        "CPU s",
        "compile",
        "first call",
        "both",
        "lowest",
        "highest",
        "ratio",
        "late imports",
        "import torch",
        "compilers",
        "explorer",
    )
    rows = []
    for row, found in cells.items():
        both = [cell.seconds for cell in found]
        rows.append(
            (
                row.label,
                seconds_text(median(found, lambda cell: cell.compile)),
                seconds_text(median(found, lambda cell: cell.first_call)),
                seconds_text(median_seconds(found)),
                seconds_text(min(both)),
                seconds_text(max(both)),
                "-" if unit is None else f"{median_seconds(found) / unit:.3f}",
                seconds_text(median(found, lambda cell: cell.late_imports)),
                seconds_text(median(found, lambda cell: cell.import_torch)),
                seconds_text(median(found, lambda cell: cell.import_compilers)),
                seconds_text(median(found, lambda cell: cell.import_explorer)),
            )
        )
    return markdown_table(header, rows)


def report_counts(cells: Mapping[Row, Sequence[Cell]]) -> str:
    """What happened in the processes of each row; all repeats have to agree, errors excepted."""
    names = list(dict.fromkeys(name for found in cells.values() for name in found[0].counts))
    rows = []
    for row, found in cells.items():
        counts = [
            "/".join(dict.fromkeys(str(cell.counts[name]) for cell in found))
            if name in found[0].counts
            else "-"
            for name in names
        ]
        rows.append((row.label, *counts, f"{max(cell.error for cell in found):.1e}"))
    return markdown_table(("what happened", *names, "error"), rows)


def verdicts(seconds: Mapping[Row, float]) -> tuple[list[str], bool]:
    """A sentence per target, and whether one is missed.

    Args:
        seconds: row -> its median.
    """
    lines, is_missed = [], False
    for row in (row for row in seconds if row.has_target):
        is_met = seconds[row] <= TARGET_SECONDS
        is_missed |= not is_met
        lines.append(
            f"Target of {TARGET_SECONDS} s for {row.label!r}: {'met' if is_met else 'MISSED'} "
            f"({seconds[row]:.2f})."
        )
    return lines, is_missed


def main() -> int:
    """Prints the tables; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=TARGET_LAYERS, help="decoder layers")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each warm row")
    parser.add_argument(
        "--ours", action="store_true", help="leave out the rows of torch.compile, and the ratios"
    )
    options = parser.parse_args()
    rows = tuple(row for row in ROWS if not options.ours or row.way in (PIECEWISE, NAMED))
    cells = measure_all(rows, options.layers, options.repeats)
    print(machine_description())
    print(
        f"toy llama, {options.layers} layers, first call with 16 tokens, no_grad, one thread; "
        f"medians of {options.repeats} processes, the cold rows once\n"
    )
    print(report(cells), report_counts(cells), sep="\n\n", end="\n\n")
    if options.layers != TARGET_LAYERS:
        print(f"The targets are for {TARGET_LAYERS} layers only.")
        return 0
    lines, is_missed = verdicts({row: median_seconds(found) for row, found in cells.items()})
    print("\n".join(lines))
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
