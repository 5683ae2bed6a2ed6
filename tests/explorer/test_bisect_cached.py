"""The last rung: pieces as the artifact store hands them out, beside what is compiled afresh."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from explorer import (
    CompilationConfig,
    CompileTarget,
    GuardPolicy,
    StoreConfig,
    compile_model,
    counters,
)
from explorer.bisect import Bisection
from explorer.cli import main
from explorer.comparison import Outcome
from explorer.report.bisect_view import as_json, as_text
from explorer.store.artifact_store import open_store
from explorer.torch_private import kernels
from sample_models import branching, toy_llama
from tests.explorer.comparing import filled
from tests.explorer.test_bisect import (
    RUNGS,
    SIZES,
    Spoiling,
    calls_of_piece,
    eager,
    spoilt,
    walked,
)


class Keeping:
    """A backend that runs the graph, and keeps it as a number and what it is called."""

    name = "keeping"
    kept: dict[int, Callable[..., Any]] = {}  # noqa: RUF012 (of this process, as a library is)

    def identity(self) -> str:
        return "keeping"

    def compile(
        self, graph: fx.GraphModule, example_inputs: Any, *, size_range: Any, options: Any
    ) -> Callable[..., Any]:
        return graph.forward

    def serialize(self, function: Any) -> bytes:
        self.kept[id(function.__self__)] = function
        count = sum(node.op == "call_function" for node in function.__self__.graph.nodes)
        return json.dumps([id(function.__self__), count]).encode()

    def deserialize(self, content: bytes) -> Callable[..., Any]:
        return self.kept[json.loads(content)[0]]


class Forgetful(Keeping):
    """One whose pieces with one number of calls come back as other code."""

    def __init__(self, calls: int, change: Callable[[Any], Any] = spoilt) -> None:
        self.calls = calls
        self.change = change

    def deserialize(self, content: bytes) -> Callable[..., Any]:
        _, count = json.loads(content)
        function = super().deserialize(content)
        if count != self.calls:
            return function
        return lambda *arguments: tuple(map(self.change, function(*arguments)))


class Tripling(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 3


def small(**changes: Any) -> tuple[CompileTarget, CompilationConfig]:
    config = CompilationConfig(backend=Keeping(), max_size=64).replace(**changes)
    return CompileTarget("small", Tripling(), (filled(6, 3),), config=config), config


def stored_keys(root: Path | None = None) -> set[str]:
    return {each.key for each in open_store(root).ls()}


def test_what_is_stored_is_equal(store_of_the_test: Path) -> None:
    target, config = small()
    with counters.expect(saved=2, loaded=2):  # one for all sizes, one for size 1
        found = walked(target, config)
    assert [rung.name for rung in found.rungs] == [
        *RUNGS[:1],
        *RUNGS[2:],
        "piecewise, keeping",
        "cached",
    ]
    assert found.first is None
    last = found.rungs[-1]
    assert [check.outcome for check in last.checks] == [Outcome.EQUAL] * len(found.rungs[0].checks)
    assert last.note == f"2 artifacts loaded from {store_of_the_test}, 2 stored just now"
    assert str(store_of_the_test) in as_text(found)
    with counters.expect(saved=0, loaded=4):  # to see what is there, and for the comparison
        again = walked(target, config)
    assert again.rungs[-1].note == f"2 artifacts loaded from {store_of_the_test}"
    assert as_json(again)["rungs"][-1]["note"] == again.rungs[-1].note


@pytest.mark.parametrize(("index", "is_warm"), [(0, False), (2, True), (6, False)])
def test_store_that_hands_out_another_piece(index: int, is_warm: bool) -> None:
    target = toy_llama.sample(layers=3)
    backend = Forgetful(calls_of_piece(index))
    config = eager(target).replace(backend=backend)
    if is_warm:  # what is there must not be what the rung before is made of
        compile_model(
            target.model,
            target.example_inputs,
            dynamic_arg_dims=target.dynamic_arg_dims,
            config=config,
        )
    found = walked(target, config, sizes=SIZES)
    assert [rung.name for rung in found.rungs if not rung.is_good] == ["cached"]
    assert found.first is not None
    assert found.first.piece is not None
    assert found.first.piece.piece.index == index
    assert ("stored just now" in found.first.note) != is_warm
    text = " ".join(as_text(found).split())
    assert f"first in piece_{index} (compiled, unique" in text
    assert "right compiled afresh and wrong loaded from the artifact store" in text
    assert as_json(found)["first"] == "cached"


def test_loaded_piece_that_fails_is_named() -> None:
    def fail(value: Any) -> Any:
        raise RuntimeError("this is no kernel")

    target = toy_llama.sample(layers=3)
    config = eager(target).replace(backend=Forgetful(calls_of_piece(2), fail))
    found = walked(target, config, sizes=SIZES)
    assert found.first is not None
    assert found.first.piece is not None
    assert found.first.piece.piece.index == 2
    assert "(compiled, unique B" in as_text(found)
    assert "RuntimeError: this is no kernel" in found.first.piece.problem


def test_walk_stores_what_the_same_calls_store(tmp_path: Path) -> None:
    target, config = small(store=StoreConfig(root=tmp_path / "walked"))
    walked(target, config, sizes=[{"x_0": 5}, {"x_0": 1}])
    plain = config.replace(store=StoreConfig(root=tmp_path / "called"))
    model = compile_model(target.model, target.example_inputs, config=plain)
    model(filled(5, 3))
    model(filled(1, 3))
    assert stored_keys(tmp_path / "walked") == stored_keys(tmp_path / "called") != set()
    assert stored_keys() == set()


def test_variants_come_from_the_store() -> None:
    target = branching.sample()
    config = eager(target, guard_policy=GuardPolicy.VARIANTS).replace(backend=Keeping())
    assert walked(target, config).first is None
    with counters.expect(saved=0):
        again = walked(target, config)
    assert again.first is None
    assert "stored just now" not in again.rungs[-1].note
    assert "made again" not in again.rungs[-1].note


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"backend": "eager"}, id="eager"),
        pytest.param({"backend": Spoiling(-1)}, id="nothing is kept"),
        pytest.param({"store": StoreConfig(enabled=False)}, id="off"),
    ],
)
def test_no_cached_step_without_a_store(changes: dict[str, Any]) -> None:
    target, config = small(**changes)
    found = walked(target, config, sizes=[{}])
    assert "cached" not in [rung.name for rung in found.rungs]
    assert found.first is None
    assert stored_keys() == set()


def test_miss_that_is_forbidden() -> None:
    target, config = small(store=StoreConfig(require_hit=True))
    found = walked(target, config, sizes=[{}])
    assert [rung.name for rung in found.rungs if not rung.is_good] == ["cached"]
    assert found.first is not None
    assert "no stored artifact for piece A 1–64" in found.first.failure
    assert "`explorer cache why` says" in as_text(found)
    assert stored_keys() == set()
    compile_model(target.model, target.example_inputs, config=config.replace(store=StoreConfig()))
    assert walked(target, config, sizes=[{}]).first is None


def test_what_cannot_be_kept_is_no_difference(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Keeping):
        def serialize(self, function: Any) -> bytes:
            raise RuntimeError("no room")

    target, config = small(backend=Full())
    found = walked(target, config, sizes=[{}])
    assert found.first is None
    assert found.rungs[-1].skipped == "A 1–64 (see the warnings)"
    assert "no room" in caplog.text
    text = as_text(found)
    assert "--   cached              nothing is stored: A 1–64 (see the warnings)" in text
    assert "Every step that was compared gives eager's result." in text
    shown = as_json(found)
    assert shown["equal"] is True
    assert shown["rungs"][-1]["equal"] is None
    assert shown["rungs"][-1]["skipped"] == "A 1–64 (see the warnings)"


def test_some_that_cannot_be_kept_are_named() -> None:
    calls = calls_of_piece(2)

    class Picky(Keeping):
        def serialize(self, function: Any) -> bytes:
            content = super().serialize(function)
            if json.loads(content)[1] == calls:
                raise RuntimeError("not this one")
            return content

    target = toy_llama.sample(layers=3)
    found = walked(target, eager(target).replace(backend=Picky()), sizes=SIZES)
    assert found.first is None
    assert found.rungs[-1].checks
    assert "; made again: B " in found.rungs[-1].note


def test_what_cannot_be_loaded_is_a_failure() -> None:
    class Unreadable(Keeping):
        def deserialize(self, content: bytes) -> Callable[..., Any]:
            raise RuntimeError("made by a faulty version")

    target, config = small(backend=Unreadable())
    found = walked(target, config, sizes=[{}])
    assert found.first is not None
    assert found.first.name == "cached"
    assert found.first.failure == "what was stored cannot be loaded: A 1–64"
    assert found.first.checks == ()


def test_root_of_others_is_said(store_of_the_test: Path) -> None:
    store_of_the_test.mkdir()
    store_of_the_test.chmod(0o777)
    target, config = small()
    found = walked(target, config, sizes=[{}])
    assert found.first is None
    assert "others may write to it (mode 0777)" in found.rungs[-1].note
    assert list(store_of_the_test.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_wrong_kernel_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(factor: int, root: str) -> Bisection:
        target = CompileTarget("scaled", lambda x: (x * factor).relu(), (filled(6, 3),))
        config = CompilationConfig(max_size=64, store=StoreConfig(root=tmp_path / root))
        return walked(target, config, sizes=[{"x_0": 5}])

    right = walk(3, "right")  # it is loaded in this process from now on
    assert [rung.name for rung in right.rungs] == [*RUNGS, "piecewise, inductor", "cached"]
    assert right.first is None
    files, wrong = kernels.kernel_files, {}

    def noting(code: str) -> dict[str, Path]:
        wrong.update(files(code))
        return files(code)

    monkeypatch.setattr(kernels, "kernel_files", noting)
    assert walk(5, "other").first is None
    (file,) = wrong.values()
    monkeypatch.setattr(kernels, "kernel_files", lambda code: dict.fromkeys(files(code), file))
    found = walk(3, "wrong")
    assert [rung.name for rung in found.rungs if not rung.is_good] == ["cached"]
    assert found.first is not None
    assert found.first.piece is not None
    assert found.first.piece.piece.unique_id == "A"


def faulty() -> CompileTarget:
    """For the command line: the store hands out another function."""
    return small(backend=Forgetful(1))[0]


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    name = "tests.explorer.test_bisect_cached:faulty"
    assert main(["bisect", name, "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["first"] == "cached"
    assert shown["rungs"][-1]["piece"]["name"] == "piece_0"
    assert main(["bisect", name, "--backend", "eager"]) == 0
    assert "cached" not in capsys.readouterr().out
