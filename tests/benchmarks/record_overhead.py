"""What recording costs: nothing while it is off, and at most 2 µs a piece while it is on.

The pieces do nothing, as in ``stitch_overhead``, so that what is left is the time of the calls. The
exit status is 1 when a target is missed.

    python -m tests.benchmarks.record_overhead --layers 80 --repeats 200
"""

from __future__ import annotations

import argparse
import sys

import torch

from explorer import GuardPolicy
from sample_models import toy_llama
from tests.benchmarks.reporting import machine_description, markdown_table
from tests.benchmarks.stitch_overhead import Call, compiled_model, measure, splitting_ops_replaced

TARGET_MICROSECONDS_PER_PIECE = 2.0
LARGEST_OFF_RATIO = 1.05
"""Two rows that run the same code differ by as much on a busy machine."""

NEVER, OFF, ON = "never recorded", "recorded before, now off", "recording"


def main() -> int:
    """Prints the table; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=80, help="decoder layers")
    parser.add_argument("--repeats", type=int, default=200, help="rounds; one batch a row each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = toy_llama.sample(layers=options.layers)
    inputs = target.example_inputs
    with torch.no_grad(), splitting_ops_replaced([]):
        never, _ = compiled_model(target, GuardPolicy.CHECK)
        model, _ = compiled_model(target, GuardPolicy.CHECK)
        with model.record():
            model(*inputs)
        model(*inputs)

        def recording() -> None:
            with model.record():
                model(*inputs)

        calls: dict[str, Call] = {
            NEVER: lambda: never(*inputs),
            OFF: lambda: model(*inputs),
            ON: recording,
        }
        timings = {each.name: each for each in measure(calls, options.repeats)}
    pieces = len(model.compilation.pieces)
    print(machine_description())
    print(f"toy llama, {options.layers} layers, {pieces} pieces that do nothing, no_grad\n")
    rows = [(n, f"{t.lowest:.1f}", f"{t.median:.1f}", str(t.calls)) for n, t in timings.items()]
    print(markdown_table(("µs per call", "lowest", "median", "calls"), rows), end="\n\n")
    per_piece = (timings[ON].lowest - timings[OFF].lowest) / pieces
    ratio = timings[OFF].lowest / timings[NEVER].lowest
    is_met = per_piece <= TARGET_MICROSECONDS_PER_PIECE, ratio <= LARGEST_OFF_RATIO
    words = ["met" if each else "MISSED" for each in is_met]
    print(
        f"Target of {TARGET_MICROSECONDS_PER_PIECE} µs a piece while on: {words[0]} "
        f"({per_piece:.2f}).\nTarget of no cost while off, at most {LARGEST_OFF_RATIO} of a model "
        f"that was never recorded: {words[1]} ({ratio:.3f})."
    )
    return int(not all(is_met))


if __name__ == "__main__":
    sys.exit(main())
