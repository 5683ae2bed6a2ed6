"""What running a model in pieces costs in Python, with kernels that do nothing.

Every compiled piece and every splitting op is replaced by a function that returns a constant, so
what is left is the time that the calls themselves take: the generated stitching function, the whole
``CompiledModel`` call around it, and the alternatives. The exit status is 1 when one of them misses
its target.

    python -m tests.benchmarks.stitch_overhead --layers 80 --repeats 300
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from torch import fx
from torch.fx.passes.split_module import split_module

from explorer import CompilationConfig, CompiledModel, GuardPolicy, Session
from explorer.compilation import Compilation
from explorer.runtime.stitch import StitchedProgram
from explorer.target import CompileTarget
from sample_models import toy_llama
from tests.benchmarks.reporting import machine_description, markdown_table

TARGET_LAYERS = 80
STITCHED = "stitched function alone"
CHECKED = "CompiledModel(), guards CHECK"
DROPPED = "CompiledModel(), guards DROP"
VARIANTS = "CompiledModel(), guards VARIANTS"
STOCK = "torch.compile, all guards"
TARGET_MICROSECONDS = {STITCHED: 15.0, CHECKED: 80.0, DROPPED: 50.0}
ATTENTION = torch.ops.demo.attention.default

Call = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Microseconds per call of one row, over all its batches."""

    name: str
    lowest: float
    median: float
    ninth_decile: float
    calls: int


class NoOpBackend:
    """Compiles every piece to a function that returns the same tensors again and again."""

    name = "no-op"

    def identity(self) -> str:
        """Constant: there is nothing to set."""
        return self.name

    def compile(
        self, graph: fx.GraphModule, example_inputs: Sequence[Any], **options: Any
    ) -> Callable[..., Any]:
        """A function of one list of inputs, as Inductor's are."""
        result = (torch.zeros(()),) * (returned_count(graph.graph) or 1)

        def run(arguments: list[Any]) -> tuple[torch.Tensor, ...]:
            return result

        run.boxed = True  # type: ignore[attr-defined]
        return run


def returned_count(graph: fx.Graph) -> int | None:
    """Length of the tuple that a graph returns; None when it returns a bare value."""
    returned = graph.output_node().args[0]
    return len(returned) if isinstance(returned, tuple | list) else None


def no_op(*arguments: Any) -> None:
    """Stands for the splitting op, which writes into its last argument and returns nothing."""


@contextlib.contextmanager
def splitting_ops_replaced(made: list[FunctionType]) -> Iterator[None]:
    """Inside, every stitching function that is bound calls ``no_op`` for its splitting ops.

    Args:
        made: filled with the functions, so that one can be timed by itself.
    """
    bind = StitchedProgram.bind

    def bind_no_ops(
        program: StitchedProgram,
        bound_values: Mapping[str, Any],
        runners: Mapping[str, Any],
        extra: Mapping[str, Any] | None = None,
    ) -> FunctionType:
        ops = {name: no_op for name, value in program.scope.items() if value is ATTENTION}
        made.append(bind(program, bound_values, runners, {**(extra or {}), **ops}))
        return made[-1]

    with patch.object(StitchedProgram, "bind", bind_no_ops):
        yield


def compiled_model(
    target: CompileTarget, policy: GuardPolicy
) -> tuple[CompiledModel, FunctionType]:
    """The model in no-op pieces, called once, and the stitching function that served that call."""
    config = CompilationConfig(
        backend=NoOpBackend(),
        splitting_ops=target.splitting_ops,
        max_size=2048,
        guard_policy=policy,
    )
    session = Session(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        make_inputs=target.make_inputs,
        config=config,
    )
    model, made = session.model(), []
    with splitting_ops_replaced(made):
        model(*target.example_inputs)
    return model, made[-1]


def stitched_call(function: FunctionType, values: Mapping[str, Any]) -> Call:
    """The stitching function with its arguments, by the names of its parameters."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    arguments = tuple(values[name] for name in names)
    return lambda: function(*arguments)


def split_graph_module(compilation: Compilation) -> fx.GraphModule:
    """What ``torch.fx`` makes of the same cut: a GraphModule that calls one submodule a piece."""
    piece_of = {
        node.name: piece.index
        for piece in compilation.pieces
        for node in piece.graph.nodes
        if node.op not in ("placeholder", "output")
    }
    whole = fx.GraphModule(torch.nn.Module(), compilation.normalised.graph)
    return split_module(whole, whole, lambda node: piece_of[node.name], keep_original_order=True)


def graph_module_calls(compilation: Compilation, values: Mapping[str, Any]) -> dict[str, Call]:
    """``GraphModule.forward`` over plain functions, and with modules where the graph is cut."""
    found = {}
    splitting = {f"submod_{i}" for i in range(1, len(compilation.pieces), 2)}
    for name, as_modules in (
        ("GraphModule.forward, pieces are functions", frozenset()),
        ("GraphModule.forward, splitting pieces are modules", splitting),
    ):
        parent = split_graph_module(compilation)
        for child, module in list(parent.named_children()):
            runner = _constant_runner(module)
            if child in as_modules:
                setattr(parent, child, _NoOpModule(runner))
            else:
                delattr(parent, child)
                parent.__dict__[child] = runner
        inputs = compilation.normalised.inputs
        flat = tuple(
            values.get(each.name, example)
            for each, example in zip(inputs, compilation.normalised.example_values, strict=True)
        )
        forward = parent.forward
        found[name] = lambda forward=forward, flat=flat: forward(*flat)
    return found


class _NoOpModule(torch.nn.Module):
    def __init__(self, runner: Callable[..., Any]) -> None:
        super().__init__()
        self.forward = runner


def _constant_runner(module: torch.nn.Module) -> Callable[..., Any]:
    """A function of the same inputs with as many outputs."""
    assert isinstance(module, fx.GraphModule)
    count, value = returned_count(module.graph), torch.zeros(())
    result = value if count is None else (value,) * count
    return lambda *arguments: result


def stock_call(target: CompileTarget, options: dict[str, Any] | None) -> Call:
    """``torch.compile`` with a backend whose graph does nothing, after its first call."""
    compiles = []

    def backend(graph: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any]:
        compiles.append(graph)
        return _constant_runner(graph)

    marked = tuple(value.clone() for value in target.example_inputs)
    for value in marked:
        torch._dynamo.mark_dynamic(value, 0)
    model = torch.compile(target.model, backend=backend, fullgraph=True, options=options)
    inputs = target.example_inputs
    model(*marked)
    model(*inputs)
    assert len(compiles) == 1, "an unmarked input must not compile again"
    return lambda: model(*inputs)


def all_calls(target: CompileTarget) -> tuple[dict[str, Call], int]:
    """Row name -> what is timed, and the number of pieces."""
    inputs = target.example_inputs
    checked, function = compiled_model(target, GuardPolicy.CHECK)
    dropped, _ = compiled_model(target, GuardPolicy.DROP)
    variants, _ = compiled_model(target, GuardPolicy.VARIANTS)
    compilation = checked.compilation
    sizes = {size.name: size.hint for size in compilation.captured.sizes}
    values = {**sizes, **dict(zip(("input_ids", "positions"), inputs, strict=True))}
    calls = {
        STITCHED: stitched_call(function, values),
        CHECKED: lambda: checked(*inputs),
        DROPPED: lambda: dropped(*inputs),
        VARIANTS: lambda: variants(*inputs),
        **graph_module_calls(compilation, values),
        STOCK: stock_call(target, None),
        "torch.compile, skip_all_guards_unsafe": stock_call(
            target, {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
        ),
    }
    return calls, len(compilation.pieces)


def measure(calls: Mapping[str, Call], repeats: int, batch_seconds: float = 0.003) -> list[Timing]:
    """Times every row once a round, so that a disturbance of the machine falls on all of them.

    Args:
        calls: what to time.
        repeats: rounds.
        batch_seconds: how long one batch of calls of one row takes, about.
    """
    timers = {name: timeit.Timer(call) for name, call in calls.items()}
    numbers = {}
    for name, timer in timers.items():
        timer.timeit(20)
        once = min(timer.repeat(5, 10)) / 10
        numbers[name] = max(1, round(batch_seconds / once))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, timer in timers.items():
            found[name].append(timer.timeit(numbers[name]) / numbers[name] * 1e6)
    return [_timing(name, numbers[name], values) for name, values in found.items()]


def _timing(name: str, number: int, values: list[float]) -> Timing:
    ordered = sorted(values)
    ninth_decile = ordered[min(len(ordered) - 1, len(ordered) * 9 // 10)]
    return Timing(name, ordered[0], statistics.median(ordered), ninth_decile, number * len(ordered))


def report(timings: Sequence[Timing], pieces: int) -> str:
    """The table; the ratio is of lowest times, to the stitching function's."""
    unit = next(each.lowest for each in timings if each.name == STITCHED)
    rows = [
        (
            each.name,
            f"{each.lowest:.1f}",
            f"{each.median:.1f}",
            f"{each.ninth_decile:.1f}",
            f"{each.lowest / pieces:.2f}",
            f"{each.lowest / unit:.2f}",
            str(each.calls),
        )
        for each in timings
    ]
    header = ("µs per call", "lowest", "median", "90 %", "per piece", "ratio", "calls")
    return markdown_table(header, rows)


def main() -> int:
    """Prints the table; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=TARGET_LAYERS, help="decoder layers")
    parser.add_argument("--repeats", type=int, default=300, help="rounds; one batch a row each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = toy_llama.sample(layers=options.layers)
    with torch.no_grad():
        calls, pieces = all_calls(target)
        timings = measure(calls, options.repeats)
    print(machine_description())
    print(
        f"toy llama, {options.layers} layers, {pieces} pieces, kernels that do nothing, no_grad, "
        f"{options.repeats} interleaved rounds\n"
    )
    print(report(timings, pieces), end="\n\n")
    if options.layers != TARGET_LAYERS:
        print(f"The targets are for {TARGET_LAYERS} layers only.")
        return 0
    lines, missed = verdicts({each.name: each.lowest for each in timings})
    print("\n".join(lines))
    return int(missed)


def verdicts(lowest: Mapping[str, float]) -> tuple[list[str], bool]:
    """A sentence per target, and whether one is missed.

    Args:
        lowest: name of a row -> its lowest time in microseconds.
    """
    limits = [(name, f"{target:.0f} µs", target) for name, target in TARGET_MICROSECONDS.items()]
    limits.append((CHECKED, f"less than {STOCK}, {lowest[STOCK]:.1f} µs,", lowest[STOCK]))
    lines = []
    for name, words, limit in limits:
        verdict = "met" if lowest[name] <= limit else "MISSED"
        lines.append(f"Target of {words} for {name}: {verdict} ({lowest[name]:.1f}).")
    return lines, any(lowest[name] > limit for name, _, limit in limits)


if __name__ == "__main__":
    sys.exit(main())
