"""What Inductor makes of a piece and a range.

Here are its own conditions, torch's caches, and what it must not be given.
"""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import explorer
from explorer import ArtifactOrigin, CompilationConfig, SizeRange, StoreConfig, counters
from explorer.report import views

pytestmark = pytest.mark.slow
OFF = StoreConfig(enabled=False)  # torch's own caches are looked at


@pytest.fixture
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))


def norm_softmax_sum(x: torch.Tensor) -> torch.Tensor:
    return F.softmax(F.layer_norm(x, (64,)), -1).sum(0)


def compiled_sum(store: StoreConfig = OFF) -> explorer.CompiledModel:
    config = CompilationConfig(compile_ranges_endpoints=(64,), max_size=8192, store=store)
    example = (torch.randn(100, 64),)
    return explorer.compile_model(
        norm_softmax_sum, example, dynamic_arg_dims={"x": {0: "n"}}, config=config
    )


def ranges_of(model: explorer.CompiledModel) -> list[SizeRange | None]:
    return [artifact.size_range for artifact in model.compilation.artifacts]


@pytest.mark.usefixtures("empty_caches")
def test_a_hit_of_torchs_cache_keeps_the_conditions_that_the_compiler_added() -> None:
    # The first compile fills torch's caches, the second is served from them. Inductor picks its
    # accumulator at 4096, so the range 65-8192 has two artifacts; losing that condition on a hit
    # would run the wrong kernel.
    wanted = [SizeRange(1, 64), SizeRange(65, 4096), SizeRange(4097, 8192)]
    assert ranges_of(compiled_sum()) == wanted
    torch._dynamo.utils.counters.clear()
    again = compiled_sum()
    assert torch._dynamo.utils.counters["aot_autograd"]["autograd_cache_hit"] > 0
    assert ranges_of(again) == wanted
    assert again.compilation.artifacts[2].guards
    for size in (2, 64, 65, 4096, 4097, 8192):
        x = torch.randn(size, 64)
        torch.testing.assert_close(again(x), norm_softmax_sum(x), rtol=1e-4, atol=1e-2)


@pytest.mark.usefixtures("empty_caches")
def test_a_range_that_the_compiler_cut_is_loaded_from_the_store() -> None:
    made = compiled_sum(StoreConfig()).compilation
    with counters.expect(compiled=0, loaded=3):
        again = compiled_sum(StoreConfig())
    assert ranges_of(again) == [SizeRange(1, 64), SizeRange(65, 4096), SizeRange(4097, 8192)]
    found = again.compilation.artifacts
    assert {each.origin for each in found} == {ArtifactOrigin.STORE}
    assert [each.guard_records for each in found] == [each.guard_records for each in made.artifacts]
    for size in (2, 64, 65, 4096, 4097, 8192):
        x = torch.randn(size, 64)
        torch.testing.assert_close(again(x), norm_softmax_sum(x), rtol=1e-4, atol=1e-2)


@pytest.mark.usefixtures("empty_caches")
def test_conditions_of_the_compiler_are_listed_with_piece_and_place() -> None:
    rows = views.guard_rows(compiled_sum().compilation)
    row = next(row for row in rows if row["text"] == "n > 4096")
    assert row["origin"] == row["phase"] == "inductor"
    assert row["at_run_time"] == "another artifact"
    assert row["piece"] == "A 65–8192" and row["reads"] == "x.size(0)"
    assert row["framework"].startswith("_inductor/")


@pytest.mark.usefixtures("empty_caches")
def test_a_wider_range_is_not_served_the_narrower_artifact() -> None:
    def relu_twice(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) * 2

    codes = []
    for max_size in (64, 4096):
        config = CompilationConfig(max_size=max_size)
        torch._dynamo.utils.counters.clear()
        model = explorer.compile_model(
            relu_twice, (torch.randn(16, 8),), dynamic_arg_dims={"x": {0: "n"}}, config=config
        )
        codes.append(torch._dynamo.utils.counters["aot_autograd"]["autograd_cache_hit"])
        x = torch.randn(max_size, 8)
        torch.testing.assert_close(model(x), relu_twice(x))
    assert codes == [0, 0]


def two_sums(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.sum(0) + y.sum(0)


def test_conditions_on_another_size_are_tested_at_the_call() -> None:
    example = (torch.randn(6, 8), torch.randn(9, 8))
    dims = {"x": {0: "n"}, "y": {0: "m"}}
    made = explorer.compile_model(two_sums, example, dynamic_arg_dims=dims)
    with counters.expect(compiled=0):
        loaded = explorer.compile_model(two_sums, example, dynamic_arg_dims=dims)
    for model in (made, loaded):
        artifacts = model.compilation.artifacts
        assert any("m" in guard for each in artifacts for guard in each.guards)
        assert any("runs eagerly" in note for note in model.compilation.notes)
        for n, m in ((3, 5), (7, 4096), (7, 4097), (5000, 9000)):
            x, y = torch.randn(n, 8), torch.randn(m, 8)
            torch.testing.assert_close(model(x, y), two_sums(x, y), rtol=1e-4, atol=1e-2)


def test_a_piece_that_writes_to_memory_which_two_inputs_share_runs_eagerly() -> None:
    def write_through_a_view(x: torch.Tensor) -> torch.Tensor:
        base = x * 2
        view = base[1:]
        gate = torch.sigmoid(base)  # the cut: base and view are inputs of what follows
        view.add_(gate[1:])
        return base + gate

    config = CompilationConfig(splitting_ops=("torch.sigmoid",))
    model = explorer.compile_model(
        write_through_a_view, (torch.randn(6, 8),), dynamic_arg_dims={"x": {0: "n"}}, config=config
    )
    assert [each.backend for each in model.compilation.artifacts] == ["inductor", "eager"]
    for size in (3, 5, 17):
        x = torch.randn(size, 8)
        torch.testing.assert_close(model(x), write_through_a_view(x))


def test_size_one_has_an_artifact_of_its_own_made_at_the_first_call() -> None:
    layer = nn.Linear(8, 8)
    model = explorer.compile_model(
        layer, (torch.randn(6, 8),), dynamic_arg_dims={"input": {0: "n"}}
    )
    with explorer.counters.expect(captured=1, compiled=1), torch.no_grad():
        x = torch.randn(1, 8)
        torch.testing.assert_close(model(x), layer(x))
    with (
        explorer.counters.expect(captured=0, compiled=0),
        torch.no_grad(),
        model.record() as record,
    ):
        model(x)
    assert record.size_range == SizeRange(1, 1)


def test_an_edit_and_back_compiles_nothing() -> None:
    layer = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    session = explorer.Session(layer, (torch.randn(6, 8),), dynamic_arg_dims={"input": {0: "n"}})
    first = session.compilation
    session.update(splitting_ops=("torch.nn.functional.relu",))
    with explorer.counters.expect(captured=0, split=0, compiled=0):
        back = session.update(splitting_ops=())
    assert [each.origin for each in back.artifacts] == [ArtifactOrigin.MEMORY]
    assert len(first.pieces) == len(back.pieces) == 1


def test_ranges_with_equal_code_are_reported_and_those_with_other_code_are_not() -> None:
    config = CompilationConfig(compile_ranges_endpoints=(64, 500))
    model = explorer.compile_model(
        nn.ReLU(), (torch.randn(16, 8),), dynamic_arg_dims={"input": {0: "n"}}, config=config
    )
    # Up to 64 rows Inductor writes one thread's loop, above an OpenMP one.
    ranges = (SizeRange(65, 500), SizeRange(501, 8192))
    assert model.compilation.compiled.same_code == (("A", ranges),)


@pytest.mark.usefixtures("empty_caches")
def test_an_artifact_that_torchs_cache_had_says_so() -> None:
    example = (torch.randn(6, 8),)
    config = CompilationConfig(store=OFF)
    dims = {"input": {0: "n"}}
    first, again = (
        explorer.compile_model(nn.Tanh(), example, dynamic_arg_dims=dims, config=config)
        for _ in range(2)
    )
    made = [model.compilation.artifacts[0].from_torch_cache for model in (first, again)]
    assert made == [False, True]
    shown = again.compilation.artifacts_frame()["origin"].tolist()
    assert shown == ["compiled (torch's cache)"]
