"""Step 5: one artifact per unique piece and range, and none that is right for a part of it only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

import explorer
from explorer import (
    CompilationConfig,
    CompileError,
    ConfigError,
    GuardPolicy,
    GuardViolation,
    Session,
    SizeRange,
    counters,
)
from tests.explorer.comparing import EAGER, compiled, filled

RANGES = EAGER.replace(compile_ranges_endpoints=(8, 32), compile_sizes=(16,), max_size=64)


class WatchingBackend:
    """The eager backend; notes what it was given, and may add conditions as a compiler does."""

    name = "watching"

    def __init__(self, condition: Callable[[Any], object] | None = None) -> None:
        self.condition = condition
        self.seen: list[tuple[SizeRange | None, Any]] = []

    def identity(self) -> str:
        return f"watching {id(self)}"

    def compile(
        self,
        graph: Any,
        example_inputs: Any,
        *,
        size_range: SizeRange | None,
        options: Mapping[str, Any],
    ) -> Any:
        sizes = [each for each in example_inputs if isinstance(each, torch.SymInt | int)]
        self.seen.append((size_range, sizes[0] if sizes else None))
        if self.condition is not None:
            for each in sizes:
                bool(self.condition(each))
        return graph.forward


def doubles(x):
    return x * 2 + x.shape[0]


def test_backend_is_given_the_bounds_of_the_range() -> None:
    backend = WatchingBackend()
    compiled(doubles, filled(5, 3), config=RANGES.replace(backend=backend))
    found = {}
    for size_range, size in backend.seen:
        if isinstance(size, torch.SymInt):
            bounds = size.node.shape_env.var_to_range[size.node.expr]
            found[str(size_range)] = (int(bounds.lower), int(bounds.upper), size.node.hint)
        else:
            found[str(size_range)] = size
    assert found == {"1–8": (2, 8, 5), "9–32": (9, 32, 21), "33–64": (33, 64, 49), "16": 16}


def test_backend_may_use_the_bounds_without_a_guard() -> None:
    backend = WatchingBackend(lambda n: n <= 64)
    fast = compiled(doubles, filled(5, 3), config=RANGES.replace(backend=backend))
    assert all(artifact.guards == () for artifact in fast.compilation.artifacts)
    assert len(fast.compilation.artifacts) == 4


SPLITTING_CONDITIONS = [
    pytest.param(lambda n: n <= 40, ["1–8", "9–32", "33–40", "41–64", "16"], id="threshold"),
    pytest.param(lambda n: n > 10, ["1–8", "9–10", "11–32", "33–64", "16"], id="lower"),
    pytest.param(
        lambda n: (n <= 20) + (n <= 50), ["1–8", "9–20", "21–32", "33–50", "51–64", "16"], id="two"
    ),
]


@pytest.mark.parametrize(("condition", "ranges"), SPLITTING_CONDITIONS)
def test_condition_of_the_compiler_cuts_the_range(condition: Any, ranges: list[str]) -> None:
    backend = WatchingBackend(condition)
    fast = compiled(doubles, filled(5, 3), config=RANGES.replace(backend=backend))
    compilation = fast.compilation
    assert [str(artifact.size_range) for artifact in compilation.artifacts] == ranges
    assert [str(each) for each in compilation.size_ranges] == ranges[:-1]
    cut = [a for a in compilation.artifacts if a.size_range != a.requested_range]
    assert any(artifact.guards for artifact in cut)
    for n in range(65):
        with fast.record() as record:
            assert torch.equal(fast(filled(n, 3)), doubles(filled(n, 3)))
        if n > 1:
            assert record.size_range is not None and n in record.size_range


@pytest.mark.parametrize("policy", ["check", "drop", "variants"])
def test_a_range_that_was_cut_is_reused_as_a_whole(policy: str) -> None:
    # Only one of the two artifacts has a condition: above 40 nothing is left to ask.
    backend = WatchingBackend(lambda n: n <= 40)
    config = EAGER.replace(backend=backend, max_size=64, guard_policy=policy)
    session = Session(doubles, (filled(5, 3),), config=config)
    session.update()
    session.update(compile_ranges_endpoints=(50,))
    with counters.expect(compiled=0, reused=2):
        again = session.update(compile_ranges_endpoints=())
    assert [str(each.size_range) for each in again.artifacts] == ["1–40", "41–64"]
    for n in (3, 40, 41, 64):
        assert torch.equal(session.run(filled(n, 3)), doubles(filled(n, 3)))


def test_condition_that_no_range_can_tell_is_tested_at_the_call() -> None:
    class Wrong(WatchingBackend):
        """Right for even sizes only or for odd sizes only, as the condition that it added says."""

        def compile(self, graph: Any, example_inputs: Any, **rest: Any) -> Any:
            even = [bool(n % 2 == 0) for n in example_inputs if isinstance(n, torch.SymInt | int)]
            forward = graph.forward

            def run(*args: Any) -> Any:
                outputs = forward(*args)
                given = [len(a) % 2 == 0 for a in args if isinstance(a, torch.Tensor)]
                return outputs if given == even else tuple(output * 99 for output in outputs)

            return run

    config = EAGER.replace(backend=Wrong(), max_size=64)
    fast = compiled(doubles, filled(6, 3), config=config)
    for n in range(2, 65):
        assert torch.equal(fast(filled(n, 3)), doubles(filled(n, 3))), n


def test_condition_on_another_size_is_tested_at_the_call() -> None:
    class Wrong(WatchingBackend):
        def compile(self, graph: Any, example_inputs: Any, **rest: Any) -> Any:
            super().compile(graph, example_inputs, **rest)
            forward = graph.forward

            def run(*args: Any) -> Any:
                outputs = forward(*args)
                large = any(len(a) > 10 for a in args if isinstance(a, torch.Tensor))
                return tuple(output * 99 for output in outputs) if large else outputs

            return run

    def model(x, y):
        return x * 2 + y.sum(0)

    fast = compiled(
        model,
        filled(5, 3),
        filled(6, 3),
        dynamic_arg_dims={"x": {0: "n"}, "y": {0: "m"}},
        config=EAGER.replace(backend=Wrong(lambda n: n <= 10), max_size=10),
    )
    for m in (2, 6, 10, 11, 40):
        assert torch.equal(fast(filled(4, 3), filled(m, 3)), model(filled(4, 3), filled(m, 3)))


def test_range_without_a_valid_size_is_not_compiled_and_says_why() -> None:
    def model(x):
        return x + 1 if x.shape[0] > 8 else x - 1

    fast = compiled(model, filled(20, 3), config=RANGES)
    compilation = fast.compilation
    assert [str(each) for each in compilation.size_ranges] == ["9–32", "33–64"]
    (skipped,) = compilation.compiled.skipped
    assert skipped.size_range == SizeRange(1, 8)
    assert "x_0 > 8" in skipped.reason and "test_compile.py:" in skipped.reason
    assert any("1–8 is not compiled" in note for note in compilation.notes)
    for n in (2, 8):
        with pytest.raises(GuardViolation, match=r"x_0 > 8"):
            fast(filled(n, 3))
    assert torch.equal(fast(filled(9, 3)), filled(9, 3) + 1)


def test_exact_size_that_is_not_valid_is_not_compiled() -> None:
    def model(x):
        return x + 1 if x.shape[0] != 16 else x - 1

    fast = compiled(model, filled(5, 3), config=RANGES)
    assert SizeRange(16, 16) in [skip.size_range for skip in fast.compilation.compiled.skipped]
    with pytest.raises(GuardViolation, match="x_0 != 16"):
        fast(filled(16, 3))
    assert torch.equal(fast(filled(17, 3)), filled(17, 3) + 1)


def test_every_range_is_compiled_when_guards_are_dropped() -> None:
    def model(x):
        return x + 1 if x.shape[0] > 8 else x - 1

    config = RANGES.replace(guard_policy=GuardPolicy.DROP)
    fast = compiled(model, filled(20, 3), config=config)
    assert len(fast.compilation.artifacts) == 4
    assert torch.equal(fast(filled(4, 3)), filled(4, 3) + 1)


def test_size_1_in_the_first_range_alone() -> None:
    fast = compiled(doubles, filled(5, 3), config=EAGER.replace(compile_ranges_endpoints=(2,)))
    assert [str(each) for each in fast.compilation.size_ranges] == ["1–2", "3–256"]
    for n in (0, 1, 2, 3):
        assert torch.equal(fast(filled(n, 3)), doubles(filled(n, 3)))


def test_piece_that_does_not_depend_on_the_size_has_one_artifact() -> None:
    weight = torch.ones(3, 3)

    def model(x):
        scale = (weight * 2).sum(1)
        y = x.relu()
        return y * scale

    fast = compiled(model, filled(5, 3), config=RANGES.replace(splitting_ops=("Tensor.relu",)))
    of_piece: dict[str, list[SizeRange | None]] = {}
    for artifact in fast.compilation.artifacts:
        of_piece.setdefault(artifact.unique_id, []).append(artifact.size_range)
    assert sorted(len(found) for found in of_piece.values()) == [1, 4]
    assert [None] in of_piece.values()


def test_notes_of_the_range_table_reach_the_compilation() -> None:
    config = EAGER.replace(compile_ranges_endpoints=(32, 8, 8, 999, 1), max_size=64)
    fast = compiled(doubles, filled(5, 3), config=config)
    notes = " ".join(fast.compilation.notes)
    for part in ("endpoints sorted", "duplicate", "endpoint 999 dropped", "endpoint 1 dropped"):
        assert part in notes
    assert [str(each) for each in fast.compilation.size_ranges] == ["1–8", "9–32", "33–64"]


def test_largest_max_size() -> None:
    config = CompilationConfig(backend="eager", max_size=2**31 - 1)
    fast = compiled(doubles, filled(5, 3), config=config)
    assert torch.equal(fast(filled(7, 3)), doubles(filled(7, 3)))


class Raising(WatchingBackend):
    def compile(self, graph: Any, example_inputs: Any, **rest: Any) -> Any:
        raise RuntimeError("first line\nsecond line")


class Boxed(WatchingBackend):
    def compile(self, graph: Any, example_inputs: Any, **rest: Any) -> Any:
        def run(arguments: list[Any]) -> Any:
            values = list(arguments)
            arguments.clear()
            return graph.forward(*values)

        run.boxed = True  # type: ignore[attr-defined]
        return run


def test_failing_backend_is_named_with_piece_range_and_lines() -> None:
    with pytest.raises(CompileError, match=r"'watching' failed on piece_0 .* for sizes 1–8") as at:
        compiled(doubles, filled(5, 3), config=RANGES.replace(backend=Raising()))
    assert "test_compile.py:" in str(at.value)
    assert "first line" in str(at.value) and "second line" not in str(at.value)
    assert "\n" not in str(at.value)


def test_backend_of_one_list_may_empty_it() -> None:
    fast = compiled(
        lambda x: ((x * 2).relu() + x, x),
        filled(5, 3),
        config=RANGES.replace(backend=Boxed(), splitting_ops=("Tensor.relu",)),
    )
    for _ in range(2):
        x = filled(7, 3)
        result, same = fast(x)
        assert torch.equal(result, (x * 2).relu() + x)
        assert same is x


def test_unknown_inductor_setting_names_the_nearest() -> None:
    config = CompilationConfig(inductor_config={"max_autotun": True})
    with pytest.raises(ConfigError, match=r"no setting 'max_autotun'; nearest: .*max_autotune"):
        explorer.compile_model(doubles, (filled(5, 3),), config=config)


@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_a_setting_that_is_an_alias_is_taken_and_said_to_store_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = CompilationConfig(inductor_config={"force_disable_caches": True}, max_size=64)
    with explorer.counters.expect(compiled=1, saved=0):
        fast = explorer.compile_model(doubles, (filled(5, 3),), config=config)
    torch.testing.assert_close(fast(filled(7, 3)), doubles(filled(7, 3)))
    assert "inductor_config has force_disable_caches" in caplog.text


@pytest.mark.slow
def test_ranges_and_sizes_under_inductor_equal_eager() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.GELU(), torch.nn.Linear(8, 3))
    config = CompilationConfig(compile_ranges_endpoints=(8,), compile_sizes=(16,), max_size=64)
    fast = explorer.compile_model(model, (filled(5, 3),), config=config)
    for n in (0, 1, 2, 8, 9, 15, 16, 17, 64):
        with torch.no_grad():
            torch.testing.assert_close(fast(filled(n, 3)), model(filled(n, 3)))
            torch.testing.assert_close(fast(filled(3, n).t()), model(filled(3, n).t()))


@pytest.mark.slow
def test_changed_weights_under_inductor() -> None:
    model = torch.nn.Linear(3, 3)
    fast = explorer.compile_model(model, (filled(5, 3),), config=CompilationConfig(max_size=64))
    with torch.no_grad():
        for change in (
            lambda: model.weight.mul_(3),
            lambda: setattr(model, "weight", torch.nn.Parameter(torch.ones(3, 3))),
            lambda: setattr(model.weight, "data", torch.arange(9.0).reshape(3, 3).t()),
            lambda: model.double(),
        ):
            change()
            x = filled(7, 3).to(model.weight.dtype)
            try:
                result = fast(x)
            except GuardViolation as error:
                assert "dtype" in str(error)
            else:
                torch.testing.assert_close(result, model(x))
