"""What it costs to find the valid sizes: 100 conditions over 8192 sizes.

The conditions are of the kinds that traces leave behind: comparisons, remainders, quotients, and
products of these, with parts in common. The graph was captured by hand, so that no model is run:
what is timed is evaluating the conditions, grouping the sizes by the conditions that they violate,
and putting the audit together. Each repeat makes the audit anew. The exit status is 1 when the
target is missed.

    python -m tests.benchmarks.guard_audit --repeats 30
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any, cast

import sympy
from torch import fx
from torch.utils._sympy.functions import FloorDiv, Mod, PythonMod

from explorer import CompilationConfig, SizeRange
from explorer.artifacts import CapturedGraph, GuardOrigin, GuardRecord, NormalisedGraph, Size
from explorer.guards.audit import audit
from tests.benchmarks.reporting import machine_description, markdown_table

TARGET_MILLISECONDS = 50.0
TARGET_GUARDS = 100
TARGET_SIZES = 8192
SYMBOL = sympy.Symbol("s0", integer=True, positive=True)


def conditions(count: int) -> list[Any]:
    """Conditions on one size, of five kinds in turn."""
    found = []
    for number in range(count):
        step = number // 5 + 2
        found.append(
            (
                sympy.Ne(SYMBOL, 7 * step),
                sympy.Ne(Mod(SYMBOL, step), 1),
                sympy.Ge(FloorDiv(SYMBOL, step), 1),
                sympy.Ne(PythonMod(16 * SYMBOL, 64 * step), 16),
                sympy.Le(SYMBOL * FloorDiv(SYMBOL, step), 2**26 - step),
            )[number % 5]
        )
    return found


def graph_with(expressions: list[Any]) -> NormalisedGraph:
    """A capture made by hand that relies on these conditions."""
    size = Size("n", (("x", 0),), SYMBOL, (SYMBOL,), hint=16, low=2, high=None)
    guards = tuple(GuardRecord(each, str(each), GuardOrigin.BRANCH) for each in expressions)
    nothing = cast(Any, None)
    graph = fx.Graph()
    captured = CapturedGraph(
        graph, (), (), (size,), guards, (), (), nothing, nothing, hints={"n": 16}
    )
    return NormalisedGraph(captured, graph, (), (), ())


def main() -> int:
    """Prints the table; 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--guards", type=int, default=TARGET_GUARDS)
    parser.add_argument("--sizes", type=int, default=TARGET_SIZES)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    normalised = graph_with(conditions(options.guards))
    domain = SizeRange(1, options.sizes)
    groups = len(audit(normalised, CompilationConfig(), domain).groups)
    seconds = []
    for _ in range(options.repeats):
        started = time.process_time()
        audit(normalised, CompilationConfig(), domain)
        seconds.append(time.process_time() - started)
    milliseconds = sorted(each * 1e3 for each in seconds)
    median = statistics.median(milliseconds)
    print(machine_description())
    print(
        f"{options.guards} conditions, {options.sizes} sizes, {groups} groups, "
        f"{options.repeats} repeats, CPU time\n"
    )
    cells = (milliseconds[0], median, milliseconds[-1])
    row = ("audit", *(f"{each:.1f}" for each in cells))
    print(markdown_table(("ms", "lowest", "median", "highest"), [row]), end="\n\n")
    if (options.guards, options.sizes) != (TARGET_GUARDS, TARGET_SIZES):
        print(f"The target is for {TARGET_GUARDS} conditions and {TARGET_SIZES} sizes only.")
        return 0
    verdict = "met" if median <= TARGET_MILLISECONDS else "MISSED"
    print(f"Target of {TARGET_MILLISECONDS:.0f} ms of CPU time: {verdict} ({median:.1f}).")
    return int(median > TARGET_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main())
