"""The view of groups: what is one, what is not and why, and two pieces beside each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import explorer
from explorer.compilation import Compilation
from explorer.report.blocks_text import blocks_text
from explorer.report.dedupe_view import FIRST, SECOND, comparable_source, dedupe_view, default_pair
from sample_models import toy_llama
from tests.explorer.report.block_facts import assert_same_facts, column, of_kind
from tests.explorer.report.test_html import every_text_hostile


class Scaled(nn.Module):
    """Two layers that would be one but for a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x * 2.0 + 1.0).relu()
        return (x * 3.0 + 1.0).relu()


@pytest.fixture(scope="module")
def scaled() -> Compilation:
    config = explorer.CompilationConfig(
        backend="eager", splitting_ops=("Tensor.relu",), max_size=64
    )
    session = explorer.Session(
        Scaled(), (torch.ones(8, 4),), dynamic_arg_dims={"x": {0: "n"}}, config=config
    )
    return session.update()


def test_groups_are_counted_and_select_themselves(toy: Compilation) -> None:
    view = dedupe_view(toy)
    groups = of_kind(view, "table")[0]
    assert column(groups, "piece") == ["A", "B", "C"]
    assert column(groups, "occurs") == ["1×", "11×", "1×"]
    assert [row["target"]["key"] for row in groups["rows"]] == ["A", "B", "C"]
    assert "13 compiled pieces in 3 groups: 10 pieces are not compiled" in blocks_text(view)


def test_all_forms_say_the_same(toy: Compilation, scaled: Compilation) -> None:
    for view in (dedupe_view(toy), dedupe_view(toy, (2, 4)), dedupe_view(scaled)):
        assert_same_facts(view)


def test_two_pieces_that_are_the_same_have_no_marked_line(toy: Compilation) -> None:
    view = dedupe_view(toy, (2, 22))
    assert "Pieces 2 and 22 are the same: both run the artifacts of B." in blocks_text(view)
    (beside,) = of_kind(view, "side_by_side")
    assert {line["mark"] for line in beside["lines"]} == {"same"}
    assert len(beside["lines"]) > 40


def test_a_constant_that_keeps_two_layers_apart_is_all_that_is_marked(scaled: Compilation) -> None:
    view = dedupe_view(scaled, (0, 2))
    (beside,) = of_kind(view, "side_by_side")
    changed = [line for line in beside["lines"] if line["mark"] != "same"]
    assert len(changed) == 1
    assert [text for text, differs in changed[0]["left"] if differs] == ["2"]
    assert [text for text, differs in changed[0]["right"] if differs] == ["3"]
    said = "The constant differs: 2.0 in operator.mul against 3.0 in operator.mul"
    assert said in blocks_text(view)


def test_the_first_pair_are_groups_that_are_near(scaled: Compilation, toy: Compilation) -> None:
    assert default_pair(scaled) == (0, 2)
    first, second = default_pair(toy)
    assert toy.pieces[first].unique_id != toy.pieces[second].unique_id


def test_a_model_of_one_piece_compares_it_with_itself(branch: Compilation) -> None:
    view = dedupe_view(branch)
    assert default_pair(branch) == (0, 0)
    assert "This is the same piece twice" in blocks_text(view)
    assert_same_facts(view)


def test_any_two_pieces_can_be_chosen_also_splitting_ones(toy: Compilation) -> None:
    (choices,) = of_kind(dedupe_view(toy, (1, 2)), "choices")
    first, second = choices["choices"]
    assert (first["name"], second["name"]) == (FIRST, SECOND)
    assert [each["value"] for each in first["options"]] == list(range(25))
    assert (first["value"], second["value"]) == (1, 2)
    assert first["text"].startswith("piece 1: splits at demo::attention")
    assert_same_facts(dedupe_view(toy, (1, 2)))
    assert "Pieces 1 and 3 are the same." in blocks_text(dedupe_view(toy, (1, 3)))


def test_without_dedupe_equal_pieces_say_why_they_are_not_one(
    compile_target: Callable[..., Compilation],
) -> None:
    apart = compile_target(toy_llama.sample(layers=2, hidden=32), dedupe=False)
    assert "Dedupe is switched off" in blocks_text(dedupe_view(apart))
    assert_same_facts(dedupe_view(apart))


def test_a_source_to_compare_has_an_input_per_line_and_no_places(toy: Compilation) -> None:
    lines = comparable_source(toy, toy.pieces[2]).split("\n")
    assert lines[0] == "def piece_2("
    assert '        layers_0_mlp_norm_weight: "f32[32]",' in lines
    assert "    ):" in lines
    assert not any("# File" in line for line in lines)


def test_hostile_texts_are_inert(toy: Compilation, hostile: Compilation) -> None:
    assert_same_facts(dedupe_view(hostile))
    assert_same_facts(dedupe_view(every_text_hostile(toy), (0, 2)))
