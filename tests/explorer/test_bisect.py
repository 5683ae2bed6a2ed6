"""The ladder from eager to compiled pieces: which rung and which piece are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx

from explorer import CompilationConfig, CompileTarget, GuardPolicy, InputError
from explorer.bisect import Bisection, bisect
from explorer.cli import main
from explorer.cli_bisect import sizes_of
from explorer.comparison import Outcome
from explorer.errors import ConfigError
from explorer.report.bisect_view import as_json, as_text
from explorer.stages.backends import EagerBackend
from sample_models import branching, toy_llama

SIZES = [{"n": 16}, {"n": 5}]
RUNGS = ["eager, once more", "stock torch.compile", "trace once, eager", "piecewise, eager"]


class Spoiling:
    """A backend that spoils the results of pieces with one number of calls."""

    name = "spoiling"

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def identity(self) -> str:
        return f"spoiling {self.calls}"

    def compile(self, graph: fx.GraphModule, inputs: Any, **options: Any) -> Callable[..., Any]:
        count = sum(node.op == "call_function" for node in graph.graph.nodes)

        def run(*arguments: Any) -> Any:
            return tuple(spoilt(each) for each in graph(*arguments))

        return run if count == self.calls else graph.forward


def spoilt(value: Any) -> Any:
    return value * 1.01 if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def calls_of_piece(index: int) -> int:
    target = toy_llama.sample(layers=3)
    from explorer.session import session_of

    pieces = session_of(target, eager(target)).compilation.pieces
    return sum(node.op == "call_function" for node in pieces[index].graph.nodes)


def eager(target: CompileTarget, **changes: Any) -> CompilationConfig:
    return target.compilation_config().replace(backend="eager", **changes)


def walked(target: CompileTarget, config: CompilationConfig, **options: Any) -> Bisection:
    return bisect(target, config, **options)


def test_all_rungs_are_equal() -> None:
    target = toy_llama.sample(layers=2)
    steps: list[str] = []
    found = walked(
        target, eager(target), sizes=SIZES, progress=lambda progress: steps.append(progress.what)
    )
    assert [rung.name for rung in found.rungs] == RUNGS
    assert found.first is None
    assert all(len(rung.checks) == 2 for rung in found.rungs)
    assert steps == [*RUNGS, "compared"]
    assert "Every step gives eager's result." in as_text(found)
    assert as_json(found)["equal"] is True


@pytest.mark.parametrize("index", [0, 2, 6])
def test_backend_that_spoils_a_piece(index: int) -> None:
    target = toy_llama.sample(layers=3)
    config = eager(target).replace(backend=Spoiling(calls_of_piece(index)))
    found = walked(target, config, sizes=SIZES)
    assert found.first is not None
    assert found.first.name == "piecewise, spoiling"
    assert found.first.piece is not None
    assert found.first.piece.piece.index == index
    text = as_text(found)
    assert f"first in piece_{index} (compiled, unique" in text
    assert "the backend is the cause" in text
    assert as_json(found)["rungs"][-1]["piece"]["name"] == f"piece_{index}"


def test_pieces_that_are_wrong_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    target = toy_llama.sample(layers=3)
    spoiling = Spoiling(calls_of_piece(2))
    monkeypatch.setattr(EagerBackend, "compile", lambda self, *a, **k: spoiling.compile(*a, **k))
    found = walked(target, eager(target), sizes=SIZES)
    assert found.first is not None
    assert found.first.name == "piecewise, eager"
    assert found.first.piece is not None
    assert found.first.piece.piece.index == 2
    assert "the cut is the cause" in as_text(found)


def test_frozen_branch_is_found_where_the_graph_is_captured() -> None:
    target = branching.sample()
    checked = walked(target, eager(target))
    dropped = walked(target, eager(target, guard_policy=GuardPolicy.DROP))
    for found, outcome in ((checked, Outcome.REFUSED), (dropped, Outcome.DIFFERENT)):
        assert found.first is not None
        assert found.first.name == "trace once, eager"
        assert found.first.first_bad is not None
        assert found.first.first_bad.outcome is outcome
        assert dict(found.first.first_bad.sizes) == {"n": 4}
    variants = walked(target, eager(target, guard_policy=GuardPolicy.VARIANTS))
    assert variants.first is None


def test_model_that_does_not_repeat_its_result() -> None:
    count = [0.0]

    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            count[0] += 1
            return x + count[0]

    target = CompileTarget("counting", Counting(), (torch.ones(4),))
    found = walked(target, eager(target), sizes=[{}])
    assert found.first is not None
    assert found.first.name == "eager, once more"
    assert "make it deterministic" in " ".join(as_text(found).split())


def test_model_that_cannot_be_captured() -> None:
    def printing(x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return x + 1

    target = CompileTarget("printing", printing, (torch.ones(4),))
    found = walked(target, eager(target))
    trace = next(rung for rung in found.rungs if rung.name == "trace once, eager")
    assert "does not trace into one graph" in trace.failure
    assert "cannot be made: The model does not trace" in as_text(found)
    json.dumps(as_json(found), allow_nan=False)


def test_size_of_another_name() -> None:
    target = toy_llama.sample(layers=1)
    with pytest.raises(InputError, match="no size named 'm'"):
        walked(target, eager(target), sizes=[{"m": 3}])


def test_written_sizes() -> None:
    assert sizes_of([]) is None
    assert sizes_of(["n=17", " n = 4 , m=2"]) == [{"n": 17}, {"n": 4, "m": 2}]
    for text in ("n", "n=", "n=-1", "n=1,n=2", "=3", ""):
        with pytest.raises(ConfigError, match="--size"):
            sizes_of([text])


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--backend", "eager", "--size", "n=3", "--size", "n=4"]
    assert main(["bisect", "sample_models.branching:sample", *options]) == 1
    out = capsys.readouterr().out
    assert "NOT  trace once, eager" in out
    assert "First step that differs: trace once, eager." in out
    assert main(["bisect", "sample_models.branching:sample", *options[:4], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first"] is None
    assert main(["bisect", "sample_models.branching:sample", "--size", "n"]) == 2
