"""Graph passes: they run once an artifact, for the sizes that they are for, and count in keys."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

import explorer
from explorer import (
    ArtifactOrigin,
    CompilationConfig,
    CompileError,
    ConfigError,
    FunctionPass,
    GraphPass,
    PassSequence,
    SizeRange,
    passes,
)
from explorer.stages.backends import resolve_backend
from explorer.torch_private.graph_passes import PASS_SETTINGS

HOOK = "post_grad_custom_post_pass"


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))


def two_products(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Matrix products alone: Inductor needs no C++ compiler for them."""
    return x @ w @ w


def products(graph: fx.Graph) -> list[fx.Node]:
    return graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default)


def drop_last_product(graph: fx.Graph) -> None:
    """Not what the model says, so that it can be seen where the pass ran."""
    last = products(graph)[-1]
    last.replace_all_uses_with(last.all_input_nodes[0])
    graph.erase_node(last)


def do_nothing(graph: fx.Graph) -> None:
    graph.lint()


class DropInRange(GraphPass):
    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, graph: fx.Graph) -> None:
        drop_last_product(graph)

    def is_applicable_for_range(self, size_range: SizeRange) -> bool:
        return self.low <= size_range.start and size_range.end <= self.high


def config_with(graph_pass: Any, hook: str = HOOK, **settings: Any) -> CompilationConfig:
    settings = {"max_size": 64} | settings
    return CompilationConfig(inductor_config={hook: graph_pass}, **settings)


def inputs(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, 4, generator=generator), torch.randn(4, 4, generator=generator)


def session_with(graph_pass: Any, **settings: Any) -> explorer.Session:
    config = config_with(graph_pass, **settings)
    return explorer.Session(
        two_products, inputs(6), dynamic_arg_dims={"x": {0: "n"}}, config=config
    )


def uuid(graph_pass: Any) -> str:
    return passes.uuid_of(passes.as_pass(graph_pass))


# ------------------------------------------------------------------------------------------ running


def test_a_pass_runs_once_for_each_artifact_and_knows_its_sizes() -> None:
    seen: list[str] = []

    def note(graph: fx.Graph) -> None:
        seen.append(str(passes.current_size_range()))

    session = session_with(
        FunctionPass(note, uuid="notes the ranges"),
        compile_ranges_endpoints=(8, 32),
        compile_sizes=(16, 64, 128),
        max_size=8192,
    )
    with explorer.counters.expect(compiled=6):
        session.update()
    assert sorted(seen) == sorted(["1–8", "9–32", "33–8192", "16", "64", "128"])
    for n in (2, 4, 16, 24, 48, 64, 8192):
        x, w = inputs(n)
        torch.testing.assert_close(session.run(x, w), two_products(x, w))
    assert len(seen) == 6
    assert passes.current_size_range() is None


@pytest.mark.parametrize("hook", PASS_SETTINGS)
def test_every_hook_of_inductor_runs_the_pass(hook: str) -> None:
    seen: list[SizeRange | None] = []

    def note(graph: fx.Graph) -> None:
        seen.append(passes.current_size_range())

    graph_pass = FunctionPass(note, uuid=f"at {hook}")
    config = config_with(graph_pass, hook)
    x, w = inputs(6)
    fast = explorer.compile_model(two_products, (x, w), dynamic_arg_dims={"x": 0}, config=config)
    assert seen == [SizeRange(1, 64)]
    torch.testing.assert_close(fast(x, w), two_products(x, w))


def test_a_pass_for_some_sizes_changes_code_and_result_there_only() -> None:
    ranges = {"compile_ranges_endpoints": (8, 32), "compile_sizes": (64,)}
    session = session_with(DropInRange(9, 32), **ranges)
    count = {
        str(each.size_range): each.generated_code().count("extern_kernels.mm(")
        for each in session.compilation.artifacts
    }
    assert count == {"1–8": 2, "9–32": 1, "33–64": 2, "64": 2}
    for n in (2, 8, 9, 20, 32, 33, 64):
        x, w = inputs(n)
        expected = x @ w if 9 <= n <= 32 else two_products(x, w)
        torch.testing.assert_close(session.run(x, w), expected)


def test_a_sequence_runs_in_order_and_leaves_out_what_does_not_apply() -> None:
    order: list[str] = []

    def noting(name: str, low: int = 1) -> FunctionPass:
        return FunctionPass(
            lambda graph: order.append(f"{name} {passes.current_size_range()}"),
            uuid=name,
            is_applicable_for_range=lambda size_range: size_range.start >= low,
        )

    sequence = PassSequence(noting("a"), [noting("b", low=9), noting("c")])
    session_with(sequence, compile_ranges_endpoints=(8,)).update()
    assert order == ["a 1–8", "c 1–8", "a 9–64", "b 9–64", "c 9–64"]


def test_a_piece_without_the_dispatch_size_is_told_of_all_sizes() -> None:
    seen: list[str] = []

    class Notes(GraphPass):
        def uuid(self) -> str:
            return "notes"

        def __call__(self, graph: fx.Graph) -> None:
            seen.append(f"run {passes.current_size_range()}")

        def is_applicable_for_range(self, size_range: SizeRange) -> bool:
            seen.append(f"asked {size_range}")
            return size_range.end <= 64

    session = explorer.Session(
        two_products, inputs(6), dynamic_arg_dims={}, config=config_with(Notes())
    )
    for limit, expected in ((64, ["asked 1–64", "run 1–64"]), (65, ["asked 1–65"])):
        seen.clear()
        session.update(max_size=limit)
        assert seen == expected


def test_threads_do_not_see_the_sizes_of_one_another() -> None:
    found: dict[str, SizeRange | None] = {}

    def look() -> None:
        found["other"] = passes.current_size_range()

    with passes.compiling_for(SizeRange(1, 8)):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        found["own"] = passes.current_size_range()
    assert found == {"other": None, "own": SizeRange(1, 8)}


def test_the_sizes_are_put_back_when_a_pass_fails() -> None:
    with pytest.raises(ZeroDivisionError), passes.compiling_for(SizeRange(1, 8)):
        raise ZeroDivisionError
    assert passes.current_size_range() is None


def test_outside_of_a_compile_a_sequence_runs_everything() -> None:
    graph = fx.symbolic_trace(lambda x: x + 1).graph
    seen: list[fx.Graph] = []
    PassSequence(
        FunctionPass(seen.append, uuid="a", is_applicable_for_range=lambda size_range: False)
    )(graph)
    assert seen == [graph]


def test_a_pass_that_fails_is_named() -> None:
    def breaks(graph: fx.Graph) -> None:
        raise RuntimeError("no such node")

    session = session_with(breaks)
    with pytest.raises(CompileError, match=r"graph pass \S*breaks failed .*1–64: no such node"):
        session.update()


# ------------------------------------------------------------------------------------------- reuse


def origins(compilation: explorer.Compilation) -> set[ArtifactOrigin]:
    return {artifact.origin for artifact in compilation.artifacts}


def test_the_same_pass_reuses_and_another_one_compiles() -> None:
    session = session_with(DropInRange(1, 8), compile_ranges_endpoints=(8,))
    session.update()
    with explorer.counters.expect(compiled=0, reused=2):
        session.update(inductor_config={HOOK: DropInRange(1, 8)})
    with explorer.counters.expect(compiled=2):
        session.update(inductor_config={HOOK: DropInRange(1, 64)})
    with explorer.counters.expect(compiled=2):
        session.update(inductor_config={})
    with explorer.counters.expect(compiled=0):
        back = session.update(inductor_config={HOOK: PassSequence(DropInRange(1, 8)).passes[0]})
    assert origins(back) == {ArtifactOrigin.MEMORY}
    x, w = inputs(5)
    torch.testing.assert_close(session.run(x, w), x @ w)


def test_the_store_keeps_passes_apart() -> None:
    def origin(graph_pass: Any) -> ArtifactOrigin:
        return session_with(graph_pass).compilation.origin

    assert origin(FunctionPass(do_nothing, uuid="1")) is ArtifactOrigin.COMPILED
    assert origin(FunctionPass(do_nothing, uuid="1")) is ArtifactOrigin.STORE
    assert origin(FunctionPass(do_nothing, uuid="2")) is ArtifactOrigin.COMPILED
    assert origin(None) is ArtifactOrigin.COMPILED


def test_torchs_own_cache_keeps_passes_apart() -> None:
    off = explorer.StoreConfig(enabled=False)

    def code(graph_pass: Any) -> tuple[int, bool]:
        artifact = session_with(graph_pass, store=off).compilation.artifacts[0]
        return artifact.generated_code().count("extern_kernels.mm("), artifact.from_torch_cache

    assert code(FunctionPass(do_nothing, uuid="1")) == (2, False)
    assert code(FunctionPass(do_nothing, uuid="1")) == (2, True)
    assert code(FunctionPass(drop_last_product, uuid="2")) == (1, False)
    assert code(DropInRange(1, 64)) == (1, False)
    assert code(DropInRange(1, 64)) == (1, True)


def test_an_artifact_made_with_a_pass_can_be_saved() -> None:
    artifact = session_with(do_nothing).compilation.artifacts[0]
    assert artifact.bytes is not None and artifact.bytes > 0


def test_the_identity_of_the_backend_holds_no_address() -> None:
    def identity(value: Any) -> str:
        return resolve_backend(config_with(value)).identity()

    assert identity(do_nothing) == identity(FunctionPass(do_nothing))
    assert identity(do_nothing) != identity(drop_last_product)
    assert identity(DropInRange(1, 8)) == identity(DropInRange(1, 8))
    assert "0x" not in identity(do_nothing)
    other = CompilationConfig(inductor_config={"custom_partitioner_fn": do_nothing})
    assert "0x" not in resolve_backend(other).identity()


# -------------------------------------------------------------------------------------------- uuids


def make_class(text: str) -> Any:
    """A class as a notebook cell defines it: no file has its source."""
    scope: dict[str, Any] = {"GraphPass": GraphPass, "__name__": "__main__"}
    exec(text, scope)
    return scope["Cell"]


CELL = "class Cell(GraphPass):\n    limit = {limit}\n    def __call__(self, graph): {body}\n"


def test_a_class_of_a_notebook_cell_has_a_uuid_that_follows_its_code() -> None:
    def text(limit: int = 4, body: str = "graph.lint()") -> str:
        return uuid(make_class(CELL.format(limit=limit, body=body))())

    assert text() == text()
    assert len({text(), text(limit=5), text(body="graph.eliminate_dead_code()")}) == 3


def test_an_edited_file_does_not_change_the_uuid_of_what_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    file.write_text("def run(graph):\n    graph.lint()\n")
    scope: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    before = uuid(scope["run"])
    file.write_text("def run(graph):\n    graph.eliminate_dead_code()\n")
    assert uuid(scope["run"]) == before


def helped(value: int) -> Callable[[fx.Graph], None]:
    scope: dict[str, Any] = {"__name__": "cells"}
    exec(f"def helper(graph): return {value}\ndef run(graph): helper(graph)\n", scope)
    return scope["run"]


def closed_over(value: Any) -> Callable[[fx.Graph], None]:
    return lambda graph: value


def with_default(graph: fx.Graph, scale: int = 1) -> None: ...


@dataclasses.dataclass(frozen=True)
class Frozen:
    size: int


DIFFERENT = [
    pytest.param(lambda g: g.lint(), lambda g: g.nodes, id="two lambdas"),
    pytest.param(lambda g: g.run(1), lambda g: g.run(2), id="a constant"),
    pytest.param(helped(1), helped(2), id="a helper function"),
    pytest.param(closed_over(1), closed_over(2), id="what it closes over"),
    pytest.param(closed_over(Frozen(1)), closed_over(Frozen(2)), id="an object closed over"),
    pytest.param(with_default, functools.partial(with_default, scale=2), id="a partial"),
    pytest.param(DropInRange(1, 8), DropInRange(1, 9), id="attributes"),
    pytest.param([do_nothing], [do_nothing, do_nothing], id="twice"),
    pytest.param(
        [do_nothing, drop_last_product], [drop_last_product, do_nothing], id="another order"
    ),
    pytest.param(do_nothing, FunctionPass(do_nothing, uuid="given"), id="a given uuid"),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_what_differs_has_another_uuid(a: Any, b: Any) -> None:
    assert uuid(a) == uuid(a)
    assert uuid(a) != uuid(b)


def test_a_function_that_calls_itself_has_a_uuid() -> None:
    def again(graph: fx.Graph, depth: int = 3) -> None:
        if depth:
            again(graph, depth - 1)

    assert uuid(again) == uuid(again)


NO_UUID = [
    pytest.param(closed_over(torch.ones(2)), "closes over is a Tensor", id="a tensor"),
    pytest.param(closed_over(threading.Lock()), "is a lock", id="a lock"),
    pytest.param([].append, "is a builtin_function_or_method", id="a method of C"),
]


@pytest.mark.parametrize(("graph_pass", "why"), NO_UUID)
def test_a_pass_without_a_text_asks_for_a_uuid(graph_pass: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=f"{why}.*uuid"):
        session_with(graph_pass).update()


@pytest.mark.parametrize("answer", [None, "", 7])
def test_a_uuid_that_is_no_text_is_refused(answer: Any) -> None:
    class Wrong(GraphPass):
        def uuid(self) -> str:
            return answer

        def __call__(self, graph: fx.Graph) -> None: ...

    with pytest.raises(ConfigError, match=r"uuid\(\) of \D*Wrong must return a text"):
        session_with(Wrong()).update()


@pytest.mark.parametrize("value", [7, DropInRange], ids=["number", "class"])
def test_what_is_no_pass_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="A graph pass is a function of a graph"):
        session_with(value).update()


def test_a_pass_that_changes_its_own_uuid_is_refused() -> None:
    class Counts(GraphPass):
        runs = 0

        def __call__(self, graph: fx.Graph) -> None:
            self.runs += 1

    with pytest.raises(CompileError, match=r"Counts changed its own attributes .* uuid\(\)"):
        session_with(Counts()).update()


def test_a_setting_without_a_text_is_refused() -> None:
    config = CompilationConfig(inductor_config={"custom_partitioner_fn": threading.Lock()})
    with pytest.raises(ConfigError, match=r"'custom_partitioner_fn'\] has no text"):
        explorer.compile_model(two_products, inputs(6), dynamic_arg_dims={"x": 0}, config=config)
