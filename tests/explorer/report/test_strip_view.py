"""The strip of a compilation and of a plan, as data and as text."""

from __future__ import annotations

import json

from explorer import Session
from explorer.compilation import Compilation
from explorer.report.strip_view import MOST_IN_LEGEND, strip_text, strip_view
from sample_models import toy_llama


def test_every_piece_is_a_cell_in_order(toy: Compilation) -> None:
    view = strip_view(toy)
    assert [each["index"] for each in view["cells"]] == list(range(25))
    assert [each["unique_id"] for each in view["cells"]] == [p.unique_id for p in toy.pieces]
    assert {each["label"] for each in view["cells"] if each["colour"] is None} == {"▨"}
    assert json.loads(json.dumps(view)) == view


def test_the_legend_counts_what_is_the_same(toy: Compilation) -> None:
    assert strip_text(strip_view(toy)).splitlines() == [
        "25 pieces, 13 compiled (3 unique), 12 splitting",
        "A ▨ (B ▨)×11 C",
        "A 1×  B 11×  C 1×  ▨ split 12×",
    ]


def test_a_plan_has_the_new_pieces_before_anything_is_compiled() -> None:
    target = toy_llama.sample(layers=3, hidden=32)
    session = Session(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        config=target.compilation_config().replace(backend="eager"),
    )
    planned = session.plan(splitting_ops=("module:layers.*.mlp",))
    view = strip_view(planned)
    assert session.history == ()
    assert view["planned"]
    assert view["text"].startswith("planned, not compiled yet: 7 pieces, 4 compiled")
    assert len(view["cells"]) == 7
    assert not strip_view(planned.unique)["planned"]


def test_a_model_without_repetition_has_a_legend_that_ends(toy: Compilation) -> None:
    target = toy_llama.sample(layers=14, hidden=32)
    session = Session(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        config=target.compilation_config().replace(backend="eager", dedupe=False),
    )
    view = strip_view(session.plan())
    assert len(view["legend"]) == MOST_IN_LEGEND + 1
    assert view["more"] == "and 3 more"
    assert len(view["words"]) <= 240


def test_texts_of_a_hostile_model_are_clean(hostile: Compilation) -> None:
    view = strip_view(hostile)
    assert any("<img" in each["title"] for each in view["cells"])  # as text, which is never markup
    assert all("\n" not in each["title"] for each in view["cells"])
