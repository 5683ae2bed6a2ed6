"""Artifacts on disk: what is found again, what is not, and that nothing stale is ever served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer import (
    ArtifactOrigin,
    StoreConfig,
    StoreMiss,
    counters,
    direct_register_custom_op,
)
from explorer.store.artifact_store import open_store
from tests.explorer.comparing import filled
from tests.explorer.keeping import Keeping, session


def test_what_was_made_is_loaded_the_next_time() -> None:
    with counters.expect(compiled=1, saved=1, loaded=0):
        first = session().compilation
    assert first.origin is ArtifactOrigin.COMPILED
    backend = Keeping()
    with counters.expect(compiled=0, saved=0, loaded=1):
        again = session(backend)
        torch.testing.assert_close(again.run(filled(4, 3)), filled(4, 3) * 3)
    assert backend.loads == 1
    assert again.compilation.origin is ArtifactOrigin.STORE
    assert again.compilation.artifacts_frame()["origin"].tolist() == ["store"]
    assert again.compilation.counts["loaded"] == 1


def test_what_was_loaded_is_in_memory_then() -> None:
    session().update()
    again = session()
    again.update()
    again.update(compile_ranges_endpoints=(8,))
    with counters.expect(compiled=0, loaded=0, reused=1):
        again.update(compile_ranges_endpoints=())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"guard_policy": "drop"}, id="guard_policy"),
        pytest.param({"backend": Keeping("2")}, id="backend"),
        pytest.param({"max_size": 32}, id="sizes"),
        pytest.param({"dynamic_shapes": "unbacked"}, id="dynamic_shapes"),
    ],
)
def test_other_settings_are_a_miss(changes: dict[str, Any]) -> None:
    from explorer import DynamicShapesConfig

    if "dynamic_shapes" in changes:
        changes = {"dynamic_shapes": DynamicShapesConfig(type=changes["dynamic_shapes"])}
    session().update()
    with counters.expect(compiled=1, loaded=0, saved=1):
        session(**changes).update()


@pytest.mark.parametrize(
    "changes",
    [{"dedupe": False}, {"out_of_range": "eager"}, {"variants_limit": 3}, {"grad": "eager"}],
)
def test_settings_that_do_not_matter_to_a_piece_are_a_hit(changes: dict[str, Any]) -> None:
    session().update()
    with counters.expect(compiled=0, loaded=1):
        session(**changes).update()


def test_another_program_is_a_miss() -> None:
    session().update()
    with counters.expect(compiled=1, loaded=0):
        session(function=lambda x: x * 4).update()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cpu instructions", "AVX2 0"),
        ("torch", "2.14.0"),
        ("python", "3.12.1"),
        ("compiler", "g++ 99"),
        ("gpu", "another"),
        ("machine", "Linux aarch64"),
        ("setting threads", "97"),
    ],
)
def test_another_machine_or_process_is_a_miss(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    from explorer import compilation_key, piece_store

    session().update()
    here = piece_store.environment_factors()
    assert here[name] != value
    for module in (piece_store, compilation_key):
        monkeypatch.setattr(module, "environment_factors", lambda: {**here, name: value})
    with counters.expect(compiled=1, loaded=0):
        session().update()


def test_without_a_compiler_the_machine_code_is_there_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from explorer import compilation_key, piece_store

    session().update()
    here = piece_store.environment_factors()
    for module in (piece_store, compilation_key):
        monkeypatch.setattr(module, "environment_factors", lambda: {**here, "compiler": "none"})
    with counters.expect(compiled=0, loaded=1, compilations_loaded=1):
        session().update()


def scaled_by(factor: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def scale(x: torch.Tensor) -> torch.Tensor:
        return x * factor

    return scale


def with_op(x: torch.Tensor) -> torch.Tensor:
    return torch.ops.explorer.kept_scale(x) * 3


def with_op_in_a_branch(x: torch.Tensor) -> torch.Tensor:
    return torch.cond(
        x.shape[0] > 4, lambda x: torch.ops.explorer.kept_scale(x) * 3, lambda x: x * 3, (x,)
    )


@pytest.mark.parametrize("function", [with_op, with_op_in_a_branch])
def test_another_body_of_a_custom_op_is_a_miss(function: Any) -> None:
    direct_register_custom_op("kept_scale", scaled_by(2.0), fake_impl=torch_like)
    session(function=function).update()
    with counters.expect(compiled=0, loaded=1):
        session(function=function).update()
    direct_register_custom_op("kept_scale", scaled_by(5.0), fake_impl=torch_like)
    with counters.expect(compiled=1, loaded=0):
        frame = session(function=function).compilation.artifacts_frame()
    assert frame["changed"].tolist() == ["custom ops"]


def torch_like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def test_the_estimate_goes_by_what_was_compiled() -> None:
    session().update()
    loaded = session()
    loaded.update()
    assert loaded.plan(compile_ranges_endpoints=(8,)).estimated_seconds is None


def test_a_miss_can_be_forbidden() -> None:
    config = StoreConfig(require_hit=True)
    with pytest.raises(StoreMiss, match=r"piece A 1–64, .*has no pieces"):
        session(store=config).update()
    session().update()
    with counters.expect(compiled=0, loaded=1):
        session(store=config).update()
    with pytest.raises(StoreMiss, match=r"nearest entry, A 1–64, differs in .*backend \(stored 1"):
        session(Keeping("other"), store=config).update()


def test_the_table_says_what_changed() -> None:
    assert session().compilation.artifacts_frame()["changed"].tolist() == [""]
    frame = session(Keeping("2")).compilation.artifacts_frame()
    assert frame["changed"].tolist() == ["backend"]
    frame = session(Keeping("2"), max_size=32).compilation.artifacts_frame()
    assert frame["changed"].tolist() == ["size bounds, size range"]


def test_what_was_loaded_is_not_said_to_be_compiled_or_in_memory() -> None:
    session().update()
    loaded = session().compilation
    assert "1 artifact, 0 ms to compile, 1 loaded from the store" in loaded.summary()
    assert "memory" not in loaded.summary()
    assert loaded.compiled.summary() == "1 artifacts, 0 compiled in 0.0 s, 0 reused, 1 loaded"
    assert "1, of which 0 compiled now, 1 loaded from the store" in loaded._repr_html_()


def test_a_plan_knows_what_is_stored() -> None:
    planned = session().plan()
    assert (len(planned.to_compile), len(planned.to_reuse)) == (1, 0)
    session().update()
    planned = session().plan()
    assert (len(planned.to_compile), len(planned.to_reuse)) == (0, 1)
    assert [(each.label, each.is_hit) for each in session().stored()] == [("A 1–64", True)]


def test_a_store_that_is_off_keeps_and_finds_nothing() -> None:
    off = StoreConfig(enabled=False)
    with counters.expect(compiled=1, saved=0):
        session(store=off).update()
    session().update()
    with counters.expect(compiled=1, loaded=0):
        session(store=off).update()


def test_a_root_of_its_own(tmp_path: Path) -> None:
    here = StoreConfig(root=tmp_path / "mine")
    session(store=here).update()
    assert (tmp_path / "mine" / "entries").is_dir()
    with counters.expect(compiled=1, loaded=0):
        session().update()
    with counters.expect(compiled=0, loaded=1):
        session(store=here).update()


def test_a_backend_that_cannot_save_keeps_nothing() -> None:
    for _ in range(2):
        with counters.expect(compiled=1, saved=0, loaded=0):
            session("eager").update()


def test_a_damaged_entry_is_made_again(store_of_the_test: Path) -> None:
    session().update()
    entries = list((store_of_the_test / "entries").iterdir())
    assert len(entries) == 2  # a piece and the whole
    for blob in (blob for entry in entries for blob in entry.iterdir()):
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.chmod(0o600)
        blob.write_bytes(content)
    with counters.expect(compiled=1, loaded=0, saved=1):
        session().update()
    with counters.expect(compiled=0, loaded=1):
        session().update()


def test_an_entry_that_cannot_be_loaded_is_made_again_and_replaced(
    store_of_the_test: Path,
) -> None:
    class Failing(Keeping):
        def deserialize(self, content: bytes) -> Callable[..., Any]:
            raise RuntimeError("made by a faulty version")

    session().update()
    with counters.expect(compiled=1, loaded=0, saved=1):
        session(Failing()).update()
    assert len(list((store_of_the_test / "quarantine").iterdir())) == 1
    with counters.expect(compiled=0, loaded=1):
        session().update()


def test_a_failed_save_does_not_fail_the_compile(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Keeping):
        def serialize(self, function: Any) -> bytes:
            raise RuntimeError("no room")

    with counters.expect(compiled=1, saved=0):
        torch.testing.assert_close(session(Failing()).run(filled(4, 3)), filled(4, 3) * 3)
    assert "piece A 1–64 is not stored: no room" in caplog.text


def test_entries_say_what_they_are() -> None:
    session().update()
    found = open_store(StoreConfig().root).ls()
    assert {each.manifest.kind for each in found} == {"piece", "compilation"}
    (stored,) = (each for each in found if each.manifest.kind == "piece")
    assert stored.manifest.label == "A 1–64"
    assert {"torch", "python", "cpu instructions", "piece", "size range", "backend"} <= set(
        stored.manifest.factors
    )
    assert not any(" at 0x" in text for text in stored.manifest.factors.values())


# ------------------------------------------------------------------------------------ with Inductor

PROGRAM = """
import json, sys, torch
from explorer import CompilationConfig, Session, StoreConfig
from sample_models import toy_llama
target = toy_llama.sample(layers=3, layer_names="opaque")
config = CompilationConfig(
    splitting_ops=target.splitting_ops, max_size=2048, store=StoreConfig(root=sys.argv[1])
)
session = Session(
    target.model, target.example_inputs, dynamic_arg_dims=target.dynamic_arg_dims, config=config
)
with torch.no_grad():
    for size in (16, 3, 1, 100):
        args, _ = target.make_inputs({"n": size})
        torch.testing.assert_close(session.run(*args), target.model(*args))
print(json.dumps(dict(session.compilation.counts)))
"""


def run_program(root: Path, cache: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache), **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_new_process_without_a_compiler_compiles_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    made = run_program(root, tmp_path / "first")
    assert (made["compiled"], made["saved"]) == (3, 3)
    loaded = run_program(root, tmp_path / "second", PATH="/nonexistent")
    assert "compiled" not in loaded
    assert loaded["loaded"] == 3
    root.rename(tmp_path / "moved")
    moved = run_program(tmp_path / "moved", tmp_path / "third", PATH="/nonexistent")
    assert "compiled" not in moved
    other = run_program(tmp_path / "moved", tmp_path / "first", ATEN_CPU_CAPABILITY="avx2")
    assert "loaded" not in other  # another instruction set
