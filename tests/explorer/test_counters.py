"""Counters: the same programs in our words, the same numbers; per process and per compilation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from explorer import (
    CompilationConfig,
    CompilationMode,
    Session,
    compilation_of,
    compile_model,
    counters,
    direct_register_custom_op,
    ignore_torch_compile,
    set_model_tag,
    skip_compiled,
    support_torch_compile,
    use_config,
)
from explorer.counters import Counters, Counts
from sample_models import toy_llama

CALLS: list[int] = []
ROWS = 100


def attention_like(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, out: torch.Tensor
) -> None:
    """Writes q + k + v into a tensor that it is given, and counts its calls."""
    CALLS.append(query.shape[0])
    out.copy_(query + key + value)


OP = "explorer::counted_attention"


@pytest.fixture(autouse=True)
def op() -> Iterator[None]:
    direct_register_custom_op("counted_attention", attention_like, mutates_args=("out",))
    CALLS.clear()
    with torch.no_grad():
        yield


def eager(**changes: Any) -> CompilationConfig:
    return CompilationConfig(backend="eager", splitting_ops=(OP,), **changes)


def attended(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    torch.ops.explorer.counted_attention(x, x, x, out)
    return out


@support_torch_compile
class TwoOps(torch.nn.Module):
    """Overall 9 x + 19."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = attended(x + 1)
        return attended(x + 2) + 4


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_two_ops(backend: str) -> None:
    with use_config(CompilationConfig(backend=backend, splitting_ops=(OP,))):
        model = TwoOps()
    with counters.expect(
        models_seen=1,
        graphs_seen=1,
        pieces_seen=5,
        compiled_pieces_seen=3,
        requested=3,
        compiled_by_eager=3 if backend == "eager" else 0,
        compiled_by_inductor=3 if backend == "inductor" else 0,
    ):
        model(torch.randn(ROWS))
    CALLS.clear()
    torch.testing.assert_close(model(torch.zeros(2)), torch.tensor([19.0, 19.0]))
    assert CALLS == [2, 2]  # splitting ops run eagerly


@pytest.mark.parametrize(
    ("is_cut", "expected"),
    [
        (False, {"pieces_seen": 1, "compiled_pieces_seen": 1, "requested": 1, "shared": 0}),
        (True, {"pieces_seen": 25, "compiled_pieces_seen": 13, "requested": 13, "shared": 10}),
    ],
)
def test_toy_llama_of_12_layers(is_cut: bool, expected: dict[str, int]) -> None:
    target = toy_llama.sample(layers=12)
    config = CompilationConfig(
        backend="eager", splitting_ops=target.splitting_ops if is_cut else ()
    )
    with counters.expect(
        graphs_seen=1, compiled_by_eager=3 if is_cut else 1, compiled_by_inductor=0, **expected
    ):
        compile_model(
            target.model,
            target.example_inputs,
            dynamic_arg_dims=target.dynamic_arg_dims,
            config=config,
        )


def test_mode_none_does_nothing() -> None:
    with use_config(eager(mode=CompilationMode.NONE)):
        model = TwoOps()
    before = counters.snapshot()
    model(torch.randn(ROWS))
    assert counters.snapshot() == before


@support_torch_compile
class Part(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return attended(x + self.factor) * self.factor


class TwoParts(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with set_model_tag("attn_one"):
            self.one = Part(2.0)
        with set_model_tag("attn_two"):
            self.two = Part(3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x)) + self.one(x)


def test_two_children_under_two_tags() -> None:
    with use_config(eager()):
        model = TwoParts()
    with counters.expect(
        models_seen=2, graphs_seen=2, pieces_seen=6, compiled_pieces_seen=4, requested=4
    ):
        given = model(torch.ones(ROWS))
    parts = model.one.forward, model.two.forward
    torch.testing.assert_close(
        given, parts[1](parts[0](torch.ones(ROWS))) + parts[0](torch.ones(ROWS))
    )


@pytest.mark.parametrize("sizes", [(16, 64, 128)])
def test_ranges_and_sizes(sizes: tuple[int, ...]) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return x * 2 + 1

    config = CompilationConfig(
        backend="eager", compile_ranges_endpoints=(8, 32), compile_sizes=sizes, max_size=8192
    )
    with counters.expect(requested=6, compiled=6):
        model = compile_model(function, (torch.ones(64),), config=config)
    found = {str(each.size_range) for each in model.compilation.artifacts}
    assert found == {"1–8", "9–32", "33–8192", "16", "64", "128"}
    with counters.expect(requested=0, compiled=0):
        for size in (4, 16, 24, 48, 64, 8192):
            model(torch.ones(size))


@support_torch_compile
class A(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return attended(x + x) * 3


@ignore_torch_compile
class B(A):
    pass


@support_torch_compile
class C(B):
    pass


@pytest.mark.parametrize(
    ("cls", "counts"), [(A, (1, 3, 2, 2)), (B, (0, 0, 0, 0)), (C, (1, 3, 2, 2))]
)
def test_inheritance(cls: type, counts: tuple[int, ...]) -> None:
    with use_config(eager()):
        model = cls()
    names = ("graphs_seen", "pieces_seen", "compiled_pieces_seen", "requested")
    with counters.expect(**dict(zip(names, counts, strict=True))):
        model(torch.randn(ROWS))


@support_torch_compile(enable_if=lambda config: config.max_size == 200)
class Half(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return attended(x + x) * 3


@support_torch_compile(enable_if=lambda config: config.max_size == 300)
class Whole(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Half(), Half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(attended(self.one(x)) + 1)


@pytest.mark.parametrize(("size", "counts"), [(200, (2, 6, 4, 4)), (300, (1, 7, 4, 4))])
def test_two_inner_halves_or_the_outer_model(size: int, counts: tuple[int, ...]) -> None:
    with use_config(eager(max_size=size)):
        model = Whole()
    names = ("graphs_seen", "pieces_seen", "compiled_pieces_seen", "requested")
    x = torch.randn(ROWS)
    with counters.expect(**dict(zip(names, counts, strict=True))):
        given = model(x)
    with skip_compiled():
        torch.testing.assert_close(given, model(x))


def test_frozen_branch_through_the_modes() -> None:
    """The modes on one model: trace once freezes the branch, stock and eager do not."""

    def branch(x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] >= 4 else x * 100

    found = {}
    for mode in CompilationMode:
        config = CompilationConfig(backend="eager", mode=mode, guard_policy="drop")  # type: ignore[arg-type]
        model = compile_model(branch, (torch.tensor([1.0, 2, 3, 4]),), config=config)
        model(torch.tensor([1.0, 2, 3, 4]))
        found[mode.name] = model(torch.tensor([1.0, 2, 3])).tolist()
    assert found == {
        "NONE": [100, 200, 300],
        "STOCK_TORCH_COMPILE": [100, 200, 300],
        "DYNAMO_TRACE_ONCE": [2, 4, 6],
        "PIECEWISE": [2, 4, 6],
    }


def test_stock_compile_of_a_whole_model() -> None:
    config = CompilationConfig(backend="eager", mode=CompilationMode.STOCK_TORCH_COMPILE)
    model = torch.nn.Linear(3, 3)
    with counters.expect(stock_compiled=1, captured=0, compiled=0):
        compiled = compile_model(model, (torch.ones(2, 3),), config=config)
        for count in (2, 1, 5):
            rows = torch.randn(count, 3)
            torch.testing.assert_close(compiled(rows), model(rows))


# ------------------------------------------------------------------------------- counting itself


def test_counts_of_one_compilation() -> None:
    config = CompilationConfig(backend="eager")
    session = Session(lambda x: x + 1, (torch.ones(3),), config=config)
    first = session.update()
    second = session.update(compile_ranges_endpoints=(8,))
    assert first.counts["captured"] == first.counts["compiled"] == 1
    assert "captured" not in second.counts
    assert (second.counts["compiled"], second.counts["requested"]) == (2, 2)
    third = session.update(compile_ranges_endpoints=())
    assert third.counts == {"requested": 1, "reused": 1}


def test_counts_of_parts_stay_apart() -> None:
    with use_config(eager()):
        model = TwoParts()
    model(torch.ones(ROWS))
    assert compilation_of(model.one).counts == compilation_of(model.two).counts
    assert compilation_of(model.one).counts["pieces_seen"] == 3


def test_expect_says_what_differs() -> None:
    own = Counters()
    with (
        pytest.raises(AssertionError, match=r"\{'captured': 2\}, they grew by \{'captured': 1\}"),
        own.expect(captured=2, compiled=0),
    ):
        own.add(captured=1)
    with pytest.raises(TypeError, match="no counter 'caught'"), own.expect(caught=1):
        pass


def test_other_counts_take_part_in_their_thread_only() -> None:
    own, counts = Counters(), Counts()
    with own.also_for(counts):
        own.add(captured=1, split=2)
        other = threading.Thread(target=own.add, kwargs={"captured": 5})
        other.start()
        other.join()
    own.add(captured=10)
    assert (own.captured, counts.captured, counts.split) == (16, 1, 2)


class Looking:
    """A backend that notes for which sizes it sees symbols."""

    name = "looking"

    def __init__(self) -> None:
        self.symbolic: dict[str, bool] = {}

    def identity(self) -> str:
        return self.name

    def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
        dims = [
            dim for each in example_inputs if isinstance(each, torch.Tensor) for dim in each.shape
        ]
        self.symbolic[str(size_range)] = any(isinstance(dim, torch.SymInt) for dim in dims)
        return graph.forward


def test_a_size_of_its_own_has_no_symbols() -> None:
    backend = Looking()
    config = CompilationConfig(
        backend=backend, compile_ranges_endpoints=(8,), compile_sizes=(16,), max_size=64
    )
    with counters.expect(requested=3, compiled=3, compiled_by_eager=0):
        compile_model(lambda x: x * 2 + 1, (torch.ones(20, 3),), config=config)
    assert backend.symbolic == {"1–8": True, "9–64": True, "16": False}
