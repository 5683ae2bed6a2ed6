"""What a compiler makes under conditions of its own is kept with them, and right in any capture."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from explorer import (
    Artifact,
    ArtifactOrigin,
    CompilationConfig,
    Session,
    StoreConfig,
    counters,
)
from explorer.piece_store import KIND
from explorer.store.artifact_store import open_store
from tests.explorer.comparing import filled
from tests.explorer.keeping import GraphKeeping


class Conditional(GraphKeeping):
    """Code that is right only where a condition has the answer that it had at the compile."""

    def __init__(self, condition: Callable[..., Any]) -> None:
        super().__init__()
        self.condition = condition

    def answer(self, inputs: Iterable[Any]) -> bool:
        """Of the condition on all sizes among the inputs of a piece."""
        return bool(self.condition(*(n for n in inputs if isinstance(n, torch.SymInt | int))))

    def compile(
        self, graph: fx.GraphModule, example_inputs: Any, *, size_range: Any, options: Any
    ) -> Callable[..., Any]:
        return self._right_where(self.answer(example_inputs), graph.forward)

    def _right_where(self, expected: bool, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            outputs = forward(*inputs)
            is_right = self.answer(inputs) == expected
            return outputs if is_right else tuple(output * 99 for output in outputs)

        run.kept = bytes([expected]) + GraphKeeping.serialize(self, forward)  # type: ignore[attr-defined]
        return run

    def serialize(self, function: Any) -> bytes:
        return function.kept

    def deserialize(self, content: bytes) -> Callable[..., Any]:
        return self._right_where(bool(content[0]), super().deserialize(content[1:]))


def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2 + x.shape[0]


def joined(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x * x.shape[0] + (y * y.shape[0]).sum(0)


def session(
    condition: Callable[..., Any], model: Any = doubled, dims: Any = None, **changes: Any
) -> Session:
    example = (filled(6, 3),) if model is not joined else (filled(6, 3), filled(9, 3))
    config = CompilationConfig(backend=Conditional(condition), max_size=24).replace(**changes)
    return Session(model, example, dynamic_arg_dims=dims, config=config)


def assert_equal_to_eager(this: Session, model: Any, sizes: Iterable[tuple[int, ...]]) -> None:
    for each in sizes:
        inputs = [filled(n, 3) for n in each]
        assert torch.equal(this.run(*inputs), model(*inputs)), each


def told(artifacts: Iterable[Artifact]) -> list[Any]:
    """What a user is told of artifacts, but for where they are from."""
    return [
        (
            each.unique_id,
            each.size_range,
            each.requested_range,
            each.guards,
            each.notes,
            [vars(record) for record in each.guard_records],
            each.backend,
            each.key,
        )
        for each in artifacts
    ]


ALONE = [(n,) for n in range(25)]
BOTH = list(product((0, 1, 2, 3, 9, 10, 11, 23, 24), (0, 1, 2, 10, 11, 12, 40)))
CASES = [
    pytest.param(lambda n: n <= 10, doubled, ALONE, ["1–10", "11–24"], id="cut once"),
    pytest.param(
        lambda n: (n > 7) + (n <= 15) == 2, doubled, ALONE, ["1–7", "8–15", "16–24"], id="cut twice"
    ),
    pytest.param(lambda n: n % 4 == 1, doubled, ALONE, None, id="tested"),
    pytest.param(lambda n, m: m <= 10, joined, BOTH, ["1–24"], id="another size"),
    pytest.param(lambda n, m: n + 1 < m, joined, BOTH, ["1–24"], id="two sizes"),
    pytest.param(
        lambda n, m: (n <= 10) + (m % 3 == 1) == 2,
        joined,
        BOTH,
        ["1–10", "11–24"],
        id="cut, tested",
    ),
]


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "pieces"])
@pytest.mark.parametrize("policy", ["check", "drop", "variants"])
@pytest.mark.parametrize(("condition", "model", "sizes", "ranges"), CASES)
def test_what_is_right_under_conditions_is_loaded_with_them(
    condition: Any, model: Any, sizes: Any, ranges: list[str] | None, policy: str, is_whole: bool
) -> None:
    made = session(condition, model, guard_policy=policy)
    assert_equal_to_eager(made, model, sizes)
    assert any(each.guards for each in made.compilation.artifacts)
    if ranges is not None:
        assert [str(each.size_range) for each in made.compilation.artifacts] == ranges
    changes = {} if is_whole else {"variants_limit": 5}  # a factor of the whole alone
    loaded = session(condition, model, guard_policy=policy, **changes)
    with counters.expect(compiled=0, captured=int(not is_whole)):
        loaded.update()
    with counters.expect(compiled=0):
        assert_equal_to_eager(loaded, model, sizes)
    assert told(loaded.compilation.artifacts) == told(made.compilation.artifacts)
    assert {each.origin for each in loaded.compilation.artifacts} == {ArtifactOrigin.STORE}
    with counters.expect(compiled=0, loaded=0):  # and is in memory then
        loaded.update(variants_limit=3)
    assert_equal_to_eager(loaded, model, sizes)


def test_a_file_of_a_session_has_them_too(tmp_path: Path) -> None:
    made = session(leaves_one, joined)
    path = made.save(tmp_path / "joined.compiled")
    with counters.expect(captured=0, compiled=0, compilations_loaded=1):
        again = Session.load(path, joined, (filled(6, 3), filled(9, 3)), root=tmp_path / "second")
        loaded = again.compilation
    assert_equal_to_eager(again, joined, BOTH)
    assert told(loaded.artifacts) == told(made.compilation.artifacts)


def leaves_one(n: Any, m: Any) -> Any:
    return m % 4 == 1


def test_conditions_are_told_in_the_words_of_the_capture_that_loads_them() -> None:
    def other(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return x * x.shape[0] + (z * z.shape[0]).sum(0)

    first = session(leaves_one, joined, {"x": {0: "n"}, "y": {0: "m"}}).compilation.artifacts
    config = CompilationConfig(backend=Conditional(leaves_one), max_size=24)
    dims = {"x": {0: "n"}, "z": {0: "rows"}}
    with counters.expect(compiled=0):
        again = Session(
            other, (filled(6, 3), filled(9, 3)), dynamic_arg_dims=dims, config=config
        ).compilation.artifacts
    assert [each.guards for each in first] == [("(m % 4) == 1",)]
    assert [each.guards for each in again] == [("(rows % 4) == 1",)]
    assert again[0].notes == (
        "graph keeping made code that is right only where (rows % 4) == 1; elsewhere the piece "
        "runs eagerly",
    )
    assert again[0].guard_records[0].sources == ("z.size(0)",)


def test_a_request_is_answered_by_what_was_kept_under_conditions() -> None:
    for policy in ("check", "variants"):
        this = session(lambda n: n <= 10, guard_policy=policy)
        assert [each.is_hit for each in this.stored()] == [False]
        this.update()
        again = session(lambda n: n <= 10, guard_policy=policy)
        assert [each.is_hit for each in again.stored()] == [True]
        assert len(again.plan().to_compile) == 0
        (other,) = session(lambda n: n <= 10, guard_policy=policy, max_size=40).stored()
        assert other.reason == "piece A is stored for the sizes 1–24, not for 1–40"


def without_20(x: torch.Tensor) -> torch.Tensor:
    return doubled(x) if x.shape[0] != 20 else x * 1000


@pytest.mark.parametrize("policy", ["check", "variants"])
@pytest.mark.parametrize("models", [(without_20, doubled), (doubled, without_20)])
def test_what_passed_over_sizes_of_one_capture_is_not_served_to_another(
    policy: str, models: tuple[Any, Any]
) -> None:
    def is_not_20(n: Any = 0) -> Any:  # one variant has no size among its inputs
        return n != 20

    for model in models:
        this = session(is_not_20, model, guard_policy=policy)
        whole = this.compilation.artifacts
        sizes = [(n,) for n in range(25) if n != 20 or policy == "variants" or model is doubled]
        assert_equal_to_eager(this, model, sizes)
        assert len(whole) == (1 if model is without_20 else 3)
    for model in models:
        this = session(is_not_20, model, guard_policy=policy)
        with counters.expect(compiled=0):
            this.update()
        sizes = [(n,) for n in range(25) if n != 20 or policy == "variants" or model is doubled]
        assert_equal_to_eager(this, model, sizes)


@pytest.mark.parametrize("enabled", [True, False])
def test_variants_of_one_model_do_not_share_what_is_right_for_one_of_them(enabled: bool) -> None:
    def branching(x: torch.Tensor) -> torch.Tensor:
        y = doubled(x).relu()  # up to here the piece is the same, and so is its key
        return y if x.shape[0] <= 12 else y + 1

    changes = {"guard_policy": "variants", "splitting_ops": ("Tensor.relu",)}
    store = StoreConfig(enabled=enabled)
    for _ in range(2):
        this = session(lambda n=0: n != 20, branching, store=store, **changes)
        assert_equal_to_eager(this, branching, ALONE)
        assert len(this.model().variants) == 2


def test_variants_share_what_has_no_conditions() -> None:
    session(lambda n: True, without_20, guard_policy="variants").update()
    with counters.expect(compiled=0, loaded=1):
        session(lambda n: True, doubled, guard_policy="variants").update()


def test_a_condition_that_no_text_says_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from explorer.guards import portable_text

    functions = dict(portable_text._functions())
    del functions["Mod"]
    monkeypatch.setattr(portable_text, "_functions", lambda: functions)
    caplog.set_level(logging.INFO, "explorer")
    for _ in range(2):
        this = session(leaves_one, joined)
        with counters.expect(compiled=1, saved=0):
            this.update()
        assert_equal_to_eager(this, joined, BOTH)
    text = "piece A 1–24 is not stored: its condition has Mod in Mod("
    assert text in caplog.text


def test_a_condition_of_another_form_is_not_read() -> None:
    session(leaves_one, joined).update()
    store = open_store(StoreConfig().root)
    (manifest,) = store.find(KIND, {})
    entry = store.get(KIND, manifest.factors)
    assert entry is not None
    blobs = {name: entry.read(name) for name in entry.names}
    listed = json.loads(blobs["artifacts.json"])
    assert listed[0]["conditions"][0][0] == "Equality(Mod(input_2_dim_0, 4), 1)"
    listed[0]["conditions"][0][0] = "pytest.fail('it was run')"
    store.clear()
    store.put(KIND, manifest.factors, {**blobs, "artifacts.json": json.dumps(listed).encode()})
    with counters.expect(compiled=1, loaded=0, saved=1):
        this = session(leaves_one, joined).update()
    assert this.artifacts[0].origin is ArtifactOrigin.COMPILED
