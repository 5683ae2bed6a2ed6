"""One cell of ``warm_start``: a fresh process that imports, compiles, calls once and checks itself.

Nothing but the standard library is imported at the top, so that the imports can be counted.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.benchmarks.processor_time import cpu_seconds

if TYPE_CHECKING:
    import torch

    from explorer.target import CompileTarget

PIECEWISE, NAMED = "piecewise", "named"
STOCK, NESTED, TRIVIAL = "stock", "nested", "trivial"
WAYS = (PIECEWISE, NAMED, STOCK, NESTED, TRIVIAL)
"""How the model is compiled: ``named`` is ``piecewise`` with a ``LayerName`` in each layer,
``trivial`` is ``stock`` for another model, to tell what a process pays for its first compile."""

COLD, WHOLE, PIECES, CACHED = "cold", "whole", "pieces", "cached"
STATES = (COLD, WHOLE, PIECES, CACHED)
"""What has to be found: nothing, the compilation, its pieces, or either; the process checks it."""

MAX_SIZE = 2048
MOST_UNIQUE_PIECES = 3
"""Before the first attention, between two, and behind the last one."""

TOLERANCE = 1e-4

GENERATED_CODE_IMPORTS = (
    "torch._dynamo",
    "torch._inductor.standalone_compile",
    "torch._inductor.output_code",
    "torch._inductor.codecache",
    "torch._inductor.async_compile",
    "torch._inductor.select_algorithm",
    "torch._inductor.hooks",
    "torch._inductor.codegen.memory_planning",
)
"""What code that Inductor generated imports, and what loads such code."""

COMPILER = "torch._inductor.compile_fx"
"""Imported first as well, where Inductor itself runs."""


@dataclass
class Cell:
    """What one process took, in processor seconds, and what happened in it.

    Attributes:
        import_torch: torch alone.
        import_compilers: Dynamo, and what generated code needs of Inductor.
        import_explorer: this package and the sample model, which needs it.
        compile: from the built model to something to call; None where that is the first call.
        first_call: the call.
        late_imports: the part of both that went into modules that nobody had imported yet.
        error: largest absolute difference to what the model returns eagerly.
        counts: what happened, by name.
    """

    import_torch: float = 0.0
    import_compilers: float = 0.0
    import_explorer: float = 0.0
    compile: float | None = None
    first_call: float = 0.0
    late_imports: float = 0.0
    error: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the built model to the end of the first call."""
        return (self.compile or 0.0) + self.first_call

    @property
    def import_seconds(self) -> float:
        """All imports before that."""
        return self.import_torch + self.import_compilers + self.import_explorer


@contextlib.contextmanager
def late_imports_counted(cell: Cell) -> Iterator[None]:
    """Inside, the time of every import of a new module is added up."""
    original, depth = builtins.__import__, 0

    def counted(*arguments: Any, **keywords: Any) -> Any:
        nonlocal depth
        if depth:
            return original(*arguments, **keywords)
        known, started = len(sys.modules), cpu_seconds()
        depth += 1
        try:
            return original(*arguments, **keywords)
        finally:
            depth -= 1
            if len(sys.modules) != known:
                cell.late_imports += cpu_seconds() - started

    with patch.object(builtins, "__import__", counted):
        yield


def import_everything(cell: Cell, *, compiles: bool) -> None:
    """Imports in three steps, each counted.

    Args:
        cell: gets the seconds.
        compiles: whether Inductor itself will run.
    """
    started = cpu_seconds()
    importlib.import_module("torch")
    cell.import_torch = cpu_seconds() - started
    started = cpu_seconds()
    for name in (*GENERATED_CODE_IMPORTS, *([COMPILER] if compiles else [])):
        importlib.import_module(name)
    cell.import_compilers = cpu_seconds() - started
    started = cpu_seconds()
    importlib.import_module("explorer")
    importlib.import_module("sample_models.toy_llama")
    cell.import_explorer = cpu_seconds() - started


def compile_with_explorer(
    cell: Cell, target: CompileTarget, options: argparse.Namespace
) -> torch.Tensor:
    """A Session with one size range, and its first call."""
    from explorer import CompilationConfig, Session, StoreConfig, counters

    config = CompilationConfig(
        splitting_ops=target.splitting_ops,
        max_size=MAX_SIZE,
        store=StoreConfig(root=options.store),
    )
    if options.variants_limit is not None:
        config = config.replace(variants_limit=options.variants_limit)
    with late_imports_counted(cell):
        started = cpu_seconds()
        session = Session(
            target.model,
            target.example_inputs,
            dynamic_arg_dims=target.dynamic_arg_dims,
            make_inputs=target.make_inputs,
            config=config,
        )
        model = session.model()
        cell.compile = cpu_seconds() - started
        started = cpu_seconds()
        result = model(*target.example_inputs)
        cell.first_call = cpu_seconds() - started
    counts = counters.snapshot()
    cell.counts = {
        "captured": counts["captured"],
        "compiled": counts["compiled"],
        "artifacts": len(session.compilation.artifacts),
        "loaded": counts["loaded"],
        "loaded whole": counts["compilations_loaded"],
    }
    return result


def compile_with_torch(
    cell: Cell, target: CompileTarget, compile_and_call: Callable[[CompileTarget], torch.Tensor]
) -> torch.Tensor:
    """``torch.compile``, which compiles in its first call."""
    from torch._dynamo.utils import counters

    with late_imports_counted(cell):
        started = cpu_seconds()
        result = compile_and_call(target)
        cell.first_call = cpu_seconds() - started
    cell.counts = {
        "FX hits": counters["inductor"]["fxgraph_cache_hit"],
        "FX misses": counters["inductor"]["fxgraph_cache_miss"],
        "AOT hits": counters["aot_autograd"]["autograd_cache_hit"],
        "AOT misses": counters["aot_autograd"]["autograd_cache_miss"],
        "AOT bypasses": counters["aot_autograd"]["autograd_cache_bypass"],
    }
    return result


def whole(target: CompileTarget) -> torch.Tensor:
    """Stock, with the same dims marked dynamic; ``dynamic=True`` would make symbols of floats."""
    import torch

    inputs = tuple(value.clone() for value in target.example_inputs)
    for value in inputs:
        torch._dynamo.mark_dynamic(value, 0)
    return torch.compile(target.model, fullgraph=True, dynamic=None)(*inputs)


def unmarked(target: CompileTarget) -> torch.Tensor:
    """Stock, for the one size of the example."""
    import torch

    return torch.compile(target.model, fullgraph=True)(*target.example_inputs)


def nested(target: CompileTarget) -> torch.Tensor:
    """The same, with the decoder layer marked as a region that is compiled once."""
    import torch

    from sample_models import toy_llama

    region = torch.compiler.nested_compile_region(toy_llama.DecoderLayer.forward)
    with patch.object(toy_llama.DecoderLayer, "forward", region):
        return whole(target)


COMPILES_WHOLE: Mapping[str, Callable[[CompileTarget], torch.Tensor]] = {
    STOCK: whole,
    NESTED: nested,
    TRIVIAL: unmarked,
}
"""The ways of ``torch.compile``."""


def target_of(options: argparse.Namespace) -> CompileTarget:
    """The toy Llama; for ``trivial`` the model that the seed of the caches was made with."""
    if options.way == TRIVIAL:
        import torch

        from explorer.target import CompileTarget
        from tests.benchmarks.compile_time import TrivialModel

        return CompileTarget("trivial", TrivialModel(), (torch.ones(16, 4),))
    from sample_models import toy_llama

    names = "opaque" if options.way == NAMED else "none"
    return toy_llama.sample(layers=options.layers, layer_names=names)


def check(cell: Cell, options: argparse.Namespace) -> None:
    """That the process did what its row is about.

    Raises:
        AssertionError: it did something else, or the numbers are wrong.
    """
    counts = cell.counts
    assert cell.error < TOLERANCE, f"it differs from eager by {cell.error}"
    if options.way in COMPILES_WHOLE:
        if options.state != COLD:
            hits = counts["FX hits"] + counts["AOT hits"]
            assert hits and not counts["FX misses"], f"the caches are not warm: {counts}"
        return
    artifacts = min(MOST_UNIQUE_PIECES, options.layers + 1)
    expected = {
        COLD: {"captured": 1, "compiled": artifacts, "loaded": 0, "loaded whole": 0},
        WHOLE: {"captured": 0, "compiled": 0, "loaded": artifacts, "loaded whole": 1},
        PIECES: {"captured": 1, "compiled": 0, "loaded": artifacts, "loaded whole": 0},
        CACHED: {"compiled": 0, "loaded": artifacts},
    }[options.state]
    expected["artifacts"] = artifacts
    found = {name: counts[name] for name in expected}
    assert found == expected, f"expected {expected}, found {found}"


def measure(options: argparse.Namespace) -> Cell:
    """Measures one cell in this process, which must be fresh."""
    cell = Cell()
    way = COMPILES_WHOLE.get(options.way)
    import_everything(cell, compiles=options.state == COLD or way is not None)
    import torch

    torch.set_num_threads(1)
    target = target_of(options)
    with torch.no_grad():
        if way is None:
            result = compile_with_explorer(cell, target, options)
        else:
            result = compile_with_torch(cell, target, way)
        cell.error = float((result - target.model(*target.example_inputs)).abs().max())
    check(cell, options)
    return cell


def parse() -> argparse.Namespace:
    """The command line that ``warm_start`` writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("state", choices=STATES)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--variants-limit", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(asdict(measure(parse()))))
