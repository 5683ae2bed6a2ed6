"""Why the store has nothing for a request: which sizes are there, or what else differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer import StoreConfig, StoreMiss
from explorer.environment import NO_COMPILER
from explorer.size_range import SizeRange
from explorer.stages.compile_plan import WantedArtifact
from explorer.stored_answer import StoredAnswer, stored_answer
from tests.explorer.keeping import Keeping, session
from tests.explorer.store.stores import store_in

REQUIRED = StoreConfig(require_hit=True)


def refusal(**changes: Any) -> str:
    with pytest.raises(StoreMiss) as found:
        session(changes.pop("backend", None), store=REQUIRED, **changes).update()
    return str(found.value)


def test_a_range_that_is_missing_is_named_with_those_that_are_there() -> None:
    session(compile_ranges_endpoints=(8,)).update()
    start = "There is no stored artifact for piece A 65–128, and store.require_hit forbids to "
    wanted = {"compile_ranges_endpoints": (8, 64), "max_size": 128}
    assert refusal(**wanted) == (
        f"{start}compile it: piece A is stored for the sizes 1–8 and 9–64, not for 65–128."
    )
    session(compile_ranges_endpoints=(100,), compile_sizes=(16,), max_size=300).update()
    assert refusal(**wanted) == (
        f"{start}compile it: piece A is stored for the sizes 1–8, 1–100, 9–64, 16 and 101–300, "
        "not for 65–128."
    )


def test_what_is_missing_for_another_reason_is_said_as_before() -> None:
    session(compile_ranges_endpoints=(8,)).update()
    assert refusal(backend=Keeping("2"), compile_ranges_endpoints=(32,)).endswith(
        "differs in backend (stored 1, now 2); size bounds (stored [(9, 64, 37)], "
        "now [(2, 32, 17)]); size range (stored 9–64, now 1–32)."
    )


def test_sizes_are_said_although_an_entry_of_another_backend_has_them() -> None:
    session().update()
    session(Keeping("2"), max_size=128).update()
    (answer,) = session(max_size=128).stored()
    assert answer.reason == "piece A is stored for the sizes 1–64, not for 1–128"
    assert answer.other_sizes == ("1–64",)
    assert answer.nearest == "A 1–64"
    assert [each.name for each in answer.changed] == ["size bounds", "size range"]
    frame = session(max_size=128).compilation.artifacts_frame()
    assert frame["changed"].tolist() == ["size bounds, size range"]


FACTORS = {
    "compiler": "g++ 13",
    "piece": "p",
    "size range": "9–64",
    "size bounds": "[(9, 64, 36)]",
    "sizes told to graph passes": "",
}


def answered(folder: Path, *stored: dict[str, str], **wanted: str) -> StoredAnswer:
    """What is said of a request when there are entries with these changes of the factors."""
    store = store_in(folder)
    for changes in stored:
        factors = FACTORS | changes
        assert store.put("piece", factors, {}, label=f"C {factors['size range']}")
    request = WantedArtifact("B", SizeRange(65, 128), key="")
    factors = FACTORS | {"size range": "65–128", "size bounds": "[(65, 128, 97)]"} | wanted
    return stored_answer(store, "piece", request, (factors,))


@pytest.mark.parametrize(
    ("stored", "wanted", "reason"),
    [
        pytest.param(
            [{"size range": "16", "size bounds": "[(16, 16, 16)]"}],
            {},
            "piece B is stored for the size 16, not for 65–128",
            id="one size",
        ),
        pytest.param(
            [{"sizes told to graph passes": "9–64"}, {"size range": "8"}],
            {"sizes told to graph passes": "65–128"},
            "piece B is stored for the sizes 8 and 9–64, not for 65–128",
            id="graph passes",
        ),
        pytest.param(
            [{}, {"compiler": "g++ 14", "size range": "1–8"}],
            {"compiler": NO_COMPILER},
            "piece B is stored for the sizes 1–8 and 9–64, not for 65–128",
            id="any compiler",
        ),
        pytest.param(
            [{}, {"size range": "65–128", "size bounds": "[(65, 128, 70)]"}],
            {},
            "the nearest entry, C 65–128, differs in size bounds (stored [(65, 128, 70)], now "
            "[(65, 128, 97)])",
            id="the sizes are there",
        ),
        pytest.param(
            [{"piece": "q"}],
            {"size range": "9–64", "size bounds": "[(9, 64, 36)]"},
            "the nearest entry, C 9–64, differs in piece (stored q, now p)",
            id="another piece",
        ),
    ],
)
def test_reason(
    tmp_path: Path, stored: list[dict[str, str]], wanted: dict[str, str], reason: str
) -> None:
    answer = answered(tmp_path, *stored, **wanted)
    assert answer.reason == reason
    assert not answer.is_hit
