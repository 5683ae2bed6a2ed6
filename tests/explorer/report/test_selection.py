"""Whatever is selected, all that belongs to it is found, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from explorer import ConfigError
from explorer.compilation import Compilation
from explorer.report.selection import Links, node_id
from explorer.stages.graphs import user_location


def test_a_piece_brings_its_group_lines_and_artifacts(toy: Compilation) -> None:
    found = Links(toy).select("piece", 2)
    piece = toy.pieces[2]
    assert found.pieces == (2,)
    assert found.uniques == ("B",)
    assert set(found.lines) == {(each.file, each.line) for each in piece.source_lines}
    assert [toy.artifacts[i].unique_id for i in found.artifacts] == ["B"] * 5
    assert found.nodes == ()
    assert found.text == f"piece 2: compiled as B, {piece.node_count} nodes"


def test_a_unique_piece_brings_every_occurrence(toy: Compilation) -> None:
    found = Links(toy).select("unique", "B")
    assert found.pieces == tuple(range(2, 24, 2))
    assert found.text.startswith("unique piece B: occurs 11×")


def test_a_line_of_a_layer_brings_its_nodes_in_all_layers(toy: Compilation) -> None:
    piece = toy.pieces[2]
    node = next(each for each in piece.graph.nodes if each.op == "call_function")
    location = user_location(node)
    assert location is not None
    found = Links(toy).select("line", [location.file, location.line])
    assert node_id(piece, node) in found.nodes
    assert {int(name.partition("/")[0]) for name in found.nodes} == set(found.pieces)
    assert len(found.pieces) >= 11
    assert Links(toy).select("node", node_id(piece, node)).lines == found.lines


def test_a_guard_and_its_test_bring_each_other(branch: Compilation) -> None:
    links = Links(branch)
    site = next(i for i, each in enumerate(branch.captured.branch_sites) if each.guards)
    guard = branch.captured.branch_sites[site].guards[0]
    assert links.select("guard", guard).sites == (site,)
    assert guard in links.select("site", site).guards
    assert links.select("guard", guard).text == f"condition {branch.captured.guards[guard].text}"


def test_an_artifact_brings_its_pieces_and_only_itself(toy: Compilation) -> None:
    index = next(i for i, each in enumerate(toy.artifacts) if each.unique_id == "B")
    found = Links(toy).select("artifact", index)
    assert found.artifacts == (index,)
    assert found.pieces == tuple(range(2, 24, 2))


@pytest.mark.parametrize("kind", ["piece", "unique", "node", "line", "guard", "site", "artifact"])
@pytest.mark.parametrize("key", [-1, 10_000, "nothing", None, True, [1], ["f", "g"], {}])
def test_what_is_not_there_is_an_error_that_says_so(
    branch: Compilation, kind: str, key: Any
) -> None:
    with pytest.raises(ConfigError, match=r"in this compilation"):
        Links(branch).select(kind, key)


def test_a_view_of_a_selection_is_json(toy: Compilation) -> None:
    for kind, key in (
        ("piece", 0),
        ("node", node_id(toy.pieces[0], next(iter(toy.pieces[0].graph.nodes)))),
    ):
        view = Links(toy).select(kind, key).view()
        assert json.loads(json.dumps(view)) == view
