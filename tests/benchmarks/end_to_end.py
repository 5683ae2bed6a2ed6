"""What a call of a small model costs in all, beside eager and ``torch.compile``.

A toy llama at size 2, where Python and dispatch weigh most, one thread, ``no_grad``. CPU seconds,
the rows taking turns. Ratios are of the lowest times: what else the machine does only adds, and
takes caches away. The exit status is 1 when a ratio misses its target.

The products of rows with all weights are timed by themselves as well, as torch's library does
them. Where the weights do not fit into the processor's cache they alone take more of eager than
the target allows; ``SmallMatrixProducts`` has Inductor write them. The target against eager is held
to the fastest of our rows, the one against ``torch.compile`` to all of them.

    python -m tests.benchmarks.end_to_end --layers 8 32 --rounds 60
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from explorer import (
    CompilationConfig,
    CompilationMode,
    CompiledModel,
    SmallMatrixProducts,
    StoreConfig,
)
from explorer.artifacts.measured import quartiles
from explorer.interleaving import Call, interleaved
from explorer.paired import paired_difference
from explorer.results import TOLERANCES
from explorer.session import session_of
from explorer.target import CompileTarget
from sample_models import toy_llama
from tests.benchmarks.reporting import machine_description, markdown_table

SIZE = 2
EAGER, STOCK = "eager", "torch.compile, marked dims"
RANGE, EXACT = "CompiledModel, range 1–2048", "CompiledModel, exact size 2"
SMALL = "the same, SmallMatrixProducts"
OURS = (RANGE, EXACT, SMALL)
PRODUCTS = "the matrix products alone"
MOST_OF_EAGER, MOST_OF_STOCK = 0.45, 1.0


def compiled(
    target: CompileTarget, root: Path, sizes: tuple[int, ...], **settings: Any
) -> CompiledModel:
    """The model in pieces, with the default guard policy and some settings of Inductor."""
    config = target.compilation_config().replace(
        compile_ranges_endpoints=(),
        compile_sizes=sizes,
        store=StoreConfig(root=root),
        inductor_config=settings,
    )
    return session_of(target, config).model()


def stock(target: CompileTarget) -> CompiledModel:
    """The whole model through ``torch.compile``, the same dims marked dynamic."""
    mode = CompilationMode.STOCK_TORCH_COMPILE
    return session_of(target, CompilationConfig(mode=mode)).model()


def calls_of(target: CompileTarget, root: Path) -> dict[str, Call]:
    """Row -> the call, each checked against eager first."""
    assert target.make_inputs is not None
    inputs, _ = target.make_inputs({"n": SIZE})
    whole = stock(target)
    whole(*target.example_inputs)  # one graph for all sizes: captured at the example's
    models = {
        EAGER: target.model,
        STOCK: whole,
        RANGE: compiled(target, root, ()),
        EXACT: compiled(target, root, (SIZE,)),
        SMALL: compiled(target, root, (SIZE,), post_grad_custom_post_pass=SmallMatrixProducts()),
    }
    expected = target.model(*inputs)
    tolerance = TOLERANCES[expected.dtype]
    for model in models.values():
        torch.testing.assert_close(model(*inputs), expected, rtol=tolerance, atol=tolerance)
    calls: dict[str, Call] = {
        name: lambda model=model: model(*inputs) for name, model in models.items()
    }
    calls[PRODUCTS] = products(target.model)
    return calls


def products(model: Any) -> Call:
    """Multiplies rows by every weight that the model multiplies by."""
    linear = [each for each in model.modules() if isinstance(each, torch.nn.Linear)]
    pairs = [(torch.ones(SIZE, each.in_features), each.weight.t()) for each in linear]

    def run() -> None:
        for rows, weight in pairs:
            torch.mm(rows, weight)

    return run


def table(times: Mapping[str, Sequence[float]], pieces: str) -> str:
    """Microseconds of CPU time a call, and ratios of the lowest ones."""
    lowest = {name: min(values) for name, values in times.items()}
    rows = []
    for name, values in times.items():
        low, high = quartiles(tuple(values))
        rows.append(
            (
                name,
                f"{lowest[name]:.0f}",
                f"{statistics.median(values):.0f}",
                f"{low:.0f} to {high:.0f}",
                f"{lowest[name] / lowest[EAGER]:.3f}",
                f"{lowest[name] / lowest[STOCK]:.3f}",
            )
        )
    return markdown_table((pieces, "lowest", "median", "quartiles", "of eager", "of stock"), rows)


def verdicts(times: Mapping[str, Sequence[float]], layers: int) -> tuple[list[str], bool]:
    """A sentence per target, and whether one is missed."""
    lines, missed = [], False
    lowest = {name: min(values) for name, values in times.items()}
    fastest = min(OURS, key=lowest.__getitem__)
    held = [(fastest, EAGER, MOST_OF_EAGER), *((ours, STOCK, MOST_OF_STOCK) for ours in OURS)]
    for ours, peer, target in held:
        ratio = lowest[ours] / lowest[peer]
        known = paired_difference(times[ours], times[peer]).can_be_told
        is_missed = ratio > target and (known or target != 1.0)
        missed |= is_missed
        said = "" if known else ", a difference that cannot be told from the noise"
        verdict = f"target at most {target}: {'MISSED' if is_missed else 'met'}{said}."
        lines.append(f"{layers} layers, {ours} over {peer}: {ratio:.3f}, {verdict}")
    return lines, missed


def main() -> int:
    """Prints a table for each depth; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 32], help="decoder layers")
    parser.add_argument("--rounds", type=int, default=60, help="runs of each row")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine_description())
    print(f"toy llama, {SIZE} tokens, no_grad, 1 thread, CPU µs a call, rounds: {options.rounds}")
    sentences, missed = [], False
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for layers in options.layers:
            target = toy_llama.sample(layers=layers)
            measured = interleaved(
                calls_of(target, Path(folder)),
                rounds=options.rounds,
                run_seconds=0.02,
                most_seconds=60,
                clock=time.process_time,
            )
            times = {name: [s * 1e6 for s in each.times] for name, each in measured.items()}
            print(f"\n{table(times, f'{layers} layers')}", flush=True)
            lines, is_missed = verdicts(times, layers)
            sentences += lines
            missed |= is_missed
    print("\n" + "\n".join(sentences))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
