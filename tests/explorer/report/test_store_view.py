"""The view of the store: origins, the folder, and what changed since something was stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from explorer.artifacts import ArtifactOrigin
from explorer.compilation import Compilation
from explorer.config import StoreConfig
from explorer.report.blocks_text import blocks_text
from explorer.report.store_view import ASK, store_view
from explorer.store.nearest import ChangedFactor
from explorer.store.root import ENTRIES
from explorer.store.upkeep import entry_count_and_bytes
from explorer.stored_answer import StoredAnswer
from tests.explorer.report.block_facts import assert_same_facts, column, of_kind
from tests.explorer.report.test_html import every_text_hostile
from tests.explorer.report.test_ranges_view import changed

HOSTILE = "x\"><script>alert(1)</script>\u202e'"
ANSWERS = (
    StoredAnswer("A 1–8", True, "A 1–8", (), ""),
    StoredAnswer(
        "B 1–8",
        False,
        "B 1–8",
        (ChangedFactor("torch", "2.12.0", "2.13.0"), ChangedFactor("new", None, "1")),
        "the nearest entry, B 1–8, differs in torch",
        ("9–32",),
    ),
)


def with_store(compilation: Compilation, root: Path | None, **options: bool) -> Compilation:
    config = compilation.config.replace(store=StoreConfig(root=root, **options))
    return dataclasses.replace(compilation, config=config)


def test_origins_are_counted_and_listed(toy: Compilation, tmp_path: Path) -> None:
    def one(artifact):
        if artifact.unique_id != "B":
            return artifact
        return dataclasses.replace(
            artifact,
            origin=ArtifactOrigin.STORE,
            from_torch_cache=True,
            compile_seconds=2.5,
            changed_factors=("torch", "piece"),
        )

    view = store_view(with_store(changed(toy, each=one), tmp_path))
    assert (
        "15 artifacts: 10 compiled now, 5 loaded from the store; torch's own cache had 5 of them."
        in blocks_text(view)
    )
    (table,) = of_kind(view, "table")
    row = column(table, "piece").index("B")
    assert column(table, "origin")[row] == "loaded from the store, code from torch's cache"
    assert column(table, "took when compiled")[row] == "2.50 s"
    assert column(table, "changed since it was stored")[row] == "torch, piece"
    assert table["rows"][row]["target"] == {"kind": "artifact", "key": row}


def test_the_folder_is_looked_at_and_not_made(toy: Compilation, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    view = store_view(with_store(toy, root))
    assert not root.exists()
    (facts,) = of_kind(view, "facts")
    said = {each["label"]: each["text"] for each in facts["pairs"]}
    assert said["folder"].endswith("/cache")
    assert said["holds"] == "0 entries, 0 B"
    (root / ENTRIES / "one").mkdir(parents=True)
    (root / ENTRIES / "one" / "file").write_bytes(b"x" * 1500)
    assert "1 entry, 1.5 kB" in blocks_text(store_view(with_store(toy, root)))


def test_a_store_of_very_many_entries_is_not_counted(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / ENTRIES / str(number)).mkdir(parents=True)
    assert entry_count_and_bytes(tmp_path, most=3) is None
    assert entry_count_and_bytes(tmp_path, most=4) == (4, 0)


def test_a_store_that_is_off_says_so(toy: Compilation) -> None:
    view = store_view(with_store(toy, None, enabled=False))
    assert "The store is switched off" in blocks_text(view)
    (action,) = of_kind(view, "action")
    assert not action["enabled"]
    assert_same_facts(view)


def test_before_it_is_asked_there_is_a_button(toy: Compilation, tmp_path: Path) -> None:
    view = store_view(with_store(toy, tmp_path))
    (action,) = of_kind(view, "action")
    assert (action["name"], action["enabled"]) == (ASK, True)
    assert "The store was not asked yet" in blocks_text(view)


def test_answers_say_which_factor_changed_from_what_to_what(
    toy: Compilation, tmp_path: Path
) -> None:
    view = store_view(with_store(toy, tmp_path), ANSWERS)
    answers, factors = of_kind(view, "table")[1:]
    assert column(answers, "stored") == ["yes", "no"]
    assert [row["cells"][1]["mark"] for row in answers["rows"]] == ["good", "bad"]
    assert column(answers, "why not")[1] == "the nearest entry, B 1–8, differs in torch"
    assert column(factors, "factor") == ["torch", "new"]
    assert column(factors, "stored") == ["2.12.0", "no such factor"]
    assert column(factors, "now") == ["2.13.0", "1"]
    assert "1 of 2 artifacts not stored." in blocks_text(view)
    assert "All 1 artifact are stored" not in blocks_text(view)
    assert_same_facts(view)


def test_hostile_texts_are_inert(toy: Compilation, hostile: Compilation, tmp_path: Path) -> None:
    bad = StoredAnswer(
        HOSTILE, False, HOSTILE, (ChangedFactor(HOSTILE, HOSTILE, HOSTILE),), HOSTILE, (HOSTILE,)
    )
    assert_same_facts(store_view(with_store(hostile, tmp_path), (bad,)))
    assert_same_facts(store_view(with_store(every_text_hostile(toy), tmp_path), (bad,)))
