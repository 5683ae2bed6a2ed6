"""A process without a compiler runs what another one compiled, without a trace; elsewhere too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # two of the processes compile with Inductor

PROGRAM = """
import json, shutil, sys
import torch
from explorer import CompilationConfig, Session, StoreConfig, counters
from sample_models import toy_llama

target = toy_llama.sample(layers=2, hidden=32, heads=2)
config = CompilationConfig(
    splitting_ops=target.splitting_ops,
    compile_ranges_endpoints=(32,),
    max_size=256,
    store=StoreConfig(root=sys.argv[1]),
)
session = Session(
    target.model, target.example_inputs, dynamic_arg_dims=target.dynamic_arg_dims, config=config
)

def compare(*sizes):
    for size in sizes:
        args, _ = target.make_inputs({"n": size})
        with torch.no_grad():
            torch.testing.assert_close(
                session.run(*args), target.model(*args), rtol=1e-4, atol=1e-5
            )

compare(16, 3, 32, 33, 200)
counts = counters.snapshot()
compare(1)  # for one token the model is traced again, to see what differs
print(json.dumps({
    **counts,
    "origin": session.compilation.origin.name,
    "cpu": torch.backends.cpu.get_cpu_capability(),
    "compiler": shutil.which("g++"),
}))
"""
PIECES, RANGES = 3, 2


def run(root: Path, cache: Path, **environment: str) -> dict[str, object]:
    """What a new process did, which compares with eager itself."""
    inherited = {name: value for name, value in os.environ.items() if name != "CXX"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        env={**inherited, "TORCHINDUCTOR_CACHE_DIR": str(cache), **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_loaded_whole(found: dict[str, object]) -> None:
    names = ("captured", "normalised", "split", "deduped", "requested", "compiled")
    assert {name: found[name] for name in names} == dict.fromkeys(names, 0)
    assert (found["compilations_loaded"], found["loaded"]) == (1, PIECES * RANGES)
    assert found["origin"] == "STORE"
    assert found["compiler"] is None


@dataclass(frozen=True)
class Made:
    """What one process left behind.

    Attributes:
        root: of the store that it filled.
        kept: a copy of it.
        inductor: the folder of torch's caches.
        found: what happened there.
    """

    root: Path
    kept: Path
    inductor: Path
    found: dict[str, object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("warm_start")
    root, kept, inductor = (folder / name for name in ("store", "kept", "inductor"))
    found = run(root, inductor)
    root.rename(kept)
    return Made(root, kept, inductor, found)


@pytest.fixture
def root(made: Made) -> Iterator[Path]:
    """The store as it was left, where it was left; no test sees what another one stored."""
    shutil.copytree(made.kept, made.root)
    yield made.root
    shutil.rmtree(made.root, ignore_errors=True)


def test_first_process_compiles_and_stores(made: Made) -> None:
    found = made.found
    assert (found["captured"], found["compiled"]) == (1, PIECES * RANGES)
    assert (found["saved"], found["compilations_saved"]) == (PIECES * RANGES, 1)
    assert found["origin"] == "COMPILED"


def test_next_process_needs_neither_trace_nor_compiler(root: Path, tmp_path: Path) -> None:
    assert_loaded_whole(run(root, tmp_path / "inductor", PATH=str(tmp_path)))


def test_a_store_that_was_moved(root: Path, tmp_path: Path) -> None:
    root.rename(tmp_path / "moved")
    assert_loaded_whole(run(tmp_path / "moved", tmp_path / "inductor", PATH=str(tmp_path)))


def test_another_instruction_set_is_a_miss(made: Made, root: Path) -> None:
    if made.found["cpu"] == "DEFAULT":
        pytest.skip("the processor has no instruction set to leave out")
    # With the folder of the first process, where torch might find what it made there.
    found = run(root, made.inductor, ATEN_CPU_CAPABILITY="default")
    assert found["cpu"] == "DEFAULT"
    assert (found["compilations_loaded"], found["loaded"]) == (0, 0)
    assert (found["captured"], found["compiled"]) == (1, PIECES * RANGES)
