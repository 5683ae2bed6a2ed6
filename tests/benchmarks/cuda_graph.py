"""What CUDA graphs save per call at small sizes, where launching kernels is what takes time.

A toy llama on a GPU: the model itself, its pieces without graphs, each piece as a graph, and the
whole call as one graph. Every row is compared with the model's own results first. Without a CUDA
device it says so and ends well.

    python -m tests.benchmarks.cuda_graph --layers 12 --backend eager
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from explorer import CompilationConfig, CompiledModel, CUDAGraphMode, StoreConfig, compile_model
from explorer.target import CompileTarget
from sample_models import toy_llama
from tests.benchmarks.reporting import machine_description, markdown_table

NAMES = {
    CUDAGraphMode.NONE: "pieces, no graphs",
    CUDAGraphMode.PIECEWISE: "PIECEWISE",
    CUDAGraphMode.FULL: "FULL",
}
CALLS_PER_BATCH = 20


def compiled(
    sample: CompileTarget, mode: CUDAGraphMode, backend: str, sizes: tuple[int, ...]
) -> CompiledModel:
    """The sample with graphs at all sizes, captured."""
    config = CompilationConfig(
        backend=backend,
        splitting_ops=sample.splitting_ops,
        max_size=max(2048, *sizes),
        cudagraph_mode=mode,
        cudagraph_capture_sizes=sizes,
        cudagraph_copy_inputs=True,
        store=StoreConfig(enabled=False),
    )
    fast = compile_model(
        sample.model,
        sample.example_inputs,
        dynamic_arg_dims=sample.dynamic_arg_dims,
        config=config,
    )
    if mode is not CUDAGraphMode.NONE:
        fast.capture_cuda_graphs()
    return fast


def microseconds_per_call(call: Callable[[], Any], repeats: int) -> float:
    """Median over batches of calls, each batch from first launch to the end on the device."""
    for _ in range(3):
        call()
    found = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(CALLS_PER_BATCH):
            call()
        torch.cuda.synchronize()
        found.append((time.perf_counter() - started) / CALLS_PER_BATCH * 1e6)
    return statistics.median(found)


def rows_of(
    sample: CompileTarget, backend: str, sizes: tuple[int, ...], repeats: int
) -> tuple[list[list[str]], list[str]]:
    """The table, and a line about the graphs of each mode."""
    assert sample.make_inputs is not None
    models: dict[str, Callable[..., Any]] = {"eager": sample.model}
    notes = []
    for mode, name in NAMES.items():
        models[name] = fast = compiled(sample, mode, backend, sizes)
        graphs = fast.cuda_graphs
        if graphs:
            megabytes = sum(each.bytes for each in graphs) / 2**20
            notes.append(f"{name}: {len(graphs)} graphs, {megabytes:.0f} MiB for their captures")
    table = []
    for name, model in models.items():
        cells = [name]
        for size in sizes:
            args, _ = sample.make_inputs({"n": size})
            torch.testing.assert_close(model(*args), sample.model(*args), rtol=1e-3, atol=1e-3)
            cells.append(f"{microseconds_per_call(lambda: model(*args), repeats):,.0f}")  # noqa: B023
        table.append(cells)
    return table, notes


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--backend", choices=("eager", "inductor"), default="eager")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("There is no CUDA device here, so there is nothing to measure.")
        return 0
    sizes = tuple(options.sizes)
    sample = toy_llama.sample(options.layers, options.hidden, device="cuda")
    with torch.no_grad():
        table, notes = rows_of(sample, options.backend, sizes, options.repeats)
    print(f"{torch.cuda.get_device_name()}, {machine_description()}")
    print(
        f"toy_llama, {options.layers} layers, hidden {options.hidden}, backend {options.backend}; "
        f"microseconds per call, median of {options.repeats} batches of {CALLS_PER_BATCH}\n"
    )
    print(markdown_table(["", *(f"n = {size}" for size in sizes)], table))
    print("\n" + "\n".join(notes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
