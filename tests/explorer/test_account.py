"""CompileAccount: each second counted once, the parts add up, what dedupe saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from explorer import ArtifactOrigin, CompilationConfig, Session, StoreConfig
from explorer.artifacts.accounted import CompileAccount
from explorer.compilation import Compilation
from explorer.report.account_text import account_rows, saved_sentences
from tests.explorer.comparing import filled

CONFIG = CompilationConfig(
    splitting_ops=("Tensor.softmax",),
    compile_ranges_endpoints=(8,),
    max_size=64,
)


class Model(torch.nn.Module):
    def __init__(self, layers: int = 4) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3) for _ in range(layers)])

    def forward(self, x):
        for layer in self.layers:
            x = (layer(x) * 2 + x.sin()).softmax(-1)
        return x.cos()


def compiled(config: CompilationConfig) -> Compilation:
    return Session(Model(), (filled(5, 3),), config=config).update()


def add_up(account: CompileAccount) -> bool:
    whole = account.wall_seconds + account.earlier_seconds + account.saved_by_workers_seconds
    return sum(account.parts.values()) == pytest.approx(whole, rel=1e-6)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def inductor(root: Path) -> Compilation:
    """Compiled by Inductor in a cache of its own, so that no phase is left out."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TORCHINDUCTOR_CACHE_DIR", str(root / "inductor"))
        return compiled(CONFIG.replace(store=StoreConfig(root=root)))


@pytest.mark.slow
def test_phases_of_inductor_add_up_to_the_update(inductor: Compilation) -> None:
    account = inductor.account
    assert add_up(account)
    assert account.wall_seconds == inductor.update_seconds
    assert account.other <= 0.05 * account.wall_seconds
    for phase in ("capture", "lowering", "codegen", "kernels", "backend", "store", "load"):
        assert account.parts[phase] > 0, phase
    inside = account.lowering + account.codegen + account.kernels + account.backend
    made = sum(artifact.seconds for artifact in inductor.artifacts)
    assert inside == pytest.approx(made, rel=1e-6)
    assert inside < inductor.timings["compile"]
    assert account.saved_by_workers_seconds == 0


@pytest.mark.slow
def test_what_dedupe_saved(inductor: Compilation) -> None:
    occurs = {each.unique_id: len(each.piece_indices) for each in inductor.unique_pieces}
    assert sorted(occurs.values()) == [1, 4]
    assert inductor.account.shared == 3 * 2  # three more of one piece, in two ranges
    seconds = [a.seconds for a in inductor.artifacts if occurs[a.unique_id] == 4]
    assert inductor.account.saved_by_dedupe_seconds == pytest.approx(3 * sum(seconds))
    assert "6 artifacts not compiled" in inductor.account.report()


@pytest.mark.slow
def test_a_compilation_that_is_loaded_whole_was_loading(inductor: Compilation, root: Path) -> None:
    loaded = compiled(CONFIG.replace(store=StoreConfig(root=root)))
    assert loaded.was_loaded_whole
    account = loaded.account
    assert add_up(account)
    assert {name for name, seconds in account.parts.items() if seconds} <= {"load", "other"}
    assert account.load == loaded.timings["load"]
    assert (account.shared, account.saved_by_dedupe_seconds) == (0, 0.0)
    assert [each.compile_seconds for each in loaded.artifacts] == [
        each.compile_seconds for each in inductor.artifacts
    ]


@pytest.mark.slow
def test_pieces_that_are_loaded_one_by_one_were_loading(inductor: Compilation, root: Path) -> None:
    loaded = compiled(CONFIG.replace(store=StoreConfig(root=root), variants_limit=9))
    assert {each.origin for each in loaded.artifacts} == {ArtifactOrigin.STORE}
    account = loaded.account
    assert add_up(account)
    assert account.lowering == account.codegen == account.kernels == account.backend == 0
    assert account.load > sum(each.phases["load"] for each in loaded.artifacts) > 0
    assert [each.compile_seconds for each in loaded.artifacts] == [
        each.compile_seconds for each in inductor.artifacts
    ]


@pytest.mark.slow
def test_the_summary_has_the_phases(inductor: Compilation) -> None:
    (line,) = [each for each in inductor.summary().splitlines() if "compile: " in each]
    for words in ("lowering", "code", "kernels", "rest", "dedupe saved ~"):
        assert words in line
    assert "compile: C++ or Triton kernels" in inductor.account.report()


def test_without_inductor_all_is_the_backend() -> None:
    session = Session(Model(), (filled(5, 3),), config=CONFIG.replace(backend="eager"))
    account = session.update().account
    assert add_up(account)
    assert account.backend > 0
    assert account.lowering == account.codegen == account.kernels == 0
    assert account.shared == 6


def test_what_is_reused_takes_nothing() -> None:
    session = Session(Model(), (filled(5, 3),), config=CONFIG.replace(backend="eager"))
    session.update()
    account = session.update(compile_ranges_endpoints=(8,), variants_limit=9).account
    assert add_up(account)
    assert account.capture == account.backend == account.shared == 0


def test_what_a_plan_did_is_not_counted_into_the_update() -> None:
    session = Session(Model(), (filled(5, 3),), config=CONFIG.replace(backend="eager"))
    session.plan()
    account = session.update().account
    assert add_up(account)
    assert account.capture > 0
    assert account.earlier_seconds > 0
    assert "spent before, for a plan" in "; ".join(saved_sentences(account))


def test_workers_that_compile_at_a_time_are_added_up() -> None:
    """As two artifacts of 3 s each that were made within 4 s."""
    compilation = Session(Model(), (filled(5, 3),), config=CONFIG.replace(backend="eager")).update()
    first, second, *_ = compilation.artifacts
    made = [
        dataclasses.replace(each, phases={"kernels": 2.0, "backend": 1.0})
        for each in (first, second)
    ]
    plan = dataclasses.replace(
        compilation.plan,
        compiled=dataclasses.replace(compilation.compiled, artifacts=tuple(made)),
    )
    account = dataclasses.replace(
        compilation,
        plan=plan,
        timings={"compile": 4.0, "plan": 0.5},
        update_seconds=5.0,
        look_up_seconds=0.0,
        save_seconds=0.0,
    ).account
    assert (account.kernels, account.backend, account.plan) == (4.0, 2.0, 0.5)
    assert account.saved_by_workers_seconds == 2.0
    assert account.other == pytest.approx(0.5)
    assert add_up(account)


def test_rows_leave_out_what_took_no_time() -> None:
    account = CompileAccount(capture=1.0, plan=3.0, wall_seconds=4.0)
    assert account_rows(account) == [
        {"part": "capture: one graph", "seconds": 1.0, "share": 0.25},
        {"part": "plan", "seconds": 3.0, "share": 0.75},
    ]
    assert account_rows(CompileAccount()) == []
    assert "75%" in account.report() and "1.00 s" in account._repr_html_()
