"""The plain data that every report is made from."""

import json
from collections import Counter

import pytest

from explorer.report import views
from sample_models import mixture_of_experts, toy_llama


def test_strip_has_a_cell_per_piece_in_order(toy) -> None:
    cells = views.strip_cells(toy)
    assert [cell["index"] for cell in cells] == list(range(25))
    assert Counter(cell["label"] for cell in cells) == {"A": 1, "B": 11, "C": 1, "split": 12}
    assert [cell["colour"] for cell in cells[:5]] == [0, None, 1, None, 1]
    assert cells[1]["title"] == "piece 1: splits at demo::attention, layers.0.attention"
    assert cells[2]["title"].startswith("piece 2: compiled B, 50 nodes, layers.0.attention …")


def test_strip_is_folded(toy) -> None:
    assert " ".join(map(str, views.strip_runs(toy))) == "A ▨ (B ▨)×11 C"


def test_piece_rows_count_values_and_weights(toy) -> None:
    rows = views.piece_rows(toy)
    first = {key: rows[0][key] for key in ("unique_id", "inputs", "weights", "outputs", "sizes")}
    assert first == {"unique_id": "A", "inputs": 2, "weights": 4, "outputs": 7, "sizes": "n"}
    assert rows[1]["splits_at"] == "demo::attention"
    assert rows[1]["unique_id"] is None
    assert rows[-1]["modules"] == "layers.11.attention … head"
    assert rows[1]["source"].startswith("sample_models/toy_llama.py:")


def test_group_rows(toy) -> None:
    rows = views.group_rows(toy)
    assert [(row["unique_id"], row["count"], row["artifacts"]) for row in rows] == [
        ("A", 1, 5),
        ("B", 11, 5),
        ("C", 1, 5),
    ]
    assert rows[1]["pieces"] == "2, 4, 6 … 22"


def test_artifact_rows(toy) -> None:
    rows = views.artifact_rows(toy)
    assert len(rows) == 15
    ranges = [row["size_range"] for row in rows if row["unique_id"] == "B"]
    assert ranges == ["1–8", "9–32", "33–2048", "exactly 16", "exactly 64"]
    assert {row["origin"] for row in rows} == {"compiled"}
    assert {row["backend"] for row in rows} == {"eager"}


def test_guard_rows_name_the_line(branch) -> None:
    shape = next(row for row in views.guard_rows(branch) if row["origin"] == "branch")
    assert shape["text"] == "n != 4"
    assert shape["file"] == "sample_models/branching.py"
    assert "x.shape[0] == BRANCH_ROWS" in shape["code"]
    assert isinstance(shape["line"], int)
    assert shape["code"][shape["column"] - 8 :].startswith("x.shape[0] == BRANCH_ROWS")
    assert shape["at_run_time"] == "checked" and shape["reads"] == "x.size(0)"


def test_guard_rows_have_values_and_static_dims(branch) -> None:
    rows = {row["text"]: row for row in views.guard_rows(branch)}
    assert rows["x.dtype == torch.float32"]["origin"] == "value"
    assert rows["x.size(1) == 8"]["origin"] == "static_dim"
    assert all(
        row["origin"] not in ("value", "static_dim") for row in views.size_guard_rows(branch)
    )


def test_site_rows_say_what_was_asked_and_answered(branch) -> None:
    (row,) = views.site_rows(branch)
    assert row["test"] == "x.shape[0] == BRANCH_ROWS" and row["text"] == "n == 4"
    assert (row["kind"], row["answers"], row["recorded_as"]) == ("if", "False", "guard")


def test_value_rows_are_the_conditions_on_values(branch) -> None:
    rows = views.value_guard_rows(branch)
    assert {row["origin"] for row in rows} == {"value"}
    assert "x.dtype == torch.float32" in {row["text"] for row in rows}


def test_timing_rows_have_the_steps_in_order(toy) -> None:
    steps = [row["step"] for row in views.timing_rows(toy)]
    assert steps == ["capture", "normalise", "split", "dedupe", "compile", "plan"]


def test_difference_rows_compare_each_unique_piece_with_an_earlier_one(toy) -> None:
    rows = views.difference_rows(toy)
    assert {row["b"] for row in rows} == {"B", "C"}
    assert all(row["a"] < row["b"] for row in rows)
    assert all(row["in_a"] != row["in_b"] for row in rows)


def test_facts(toy) -> None:
    facts = views.facts(toy)
    assert facts["pieces"] == "25 pieces, 13 compiled (3 unique), 12 splitting"
    assert facts["splits at"] == "demo::attention"
    assert facts["ranges"] == "n in 1–8, 9–32, 33–2048; exactly 16, 64"
    assert facts["sizes"] == "n = input_ids.size(0), positions.size(0), example 16"


def test_a_skipped_range_is_a_row_and_a_note(compile_target, branch) -> None:
    from sample_models import branching

    target = branching.sample("at_least")
    skipped = compile_target(target, compile_ranges_endpoints=(3,))
    rows = views.skipped_rows(skipped)
    assert [row["size_range"] for row in rows] == ["1–3"]
    assert "n >= 4" in rows[0]["reason"]
    assert any("1–3" in note for note in views.note_list(skipped))
    assert views.skipped_rows(branch) == []


def test_frames_have_a_row_per_thing(toy) -> None:
    assert len(toy.pieces_frame()) == 25
    assert len(toy.artifacts_frame()) == 15
    columns = list(toy.guards_frame().columns)
    assert columns[:4] == ["text", "origin", "at_run_time", "reads"]
    assert {"file", "line", "column", "code", "op", "phase", "piece", "framework"} <= {*columns}


@pytest.mark.parametrize(
    "rows",
    [
        views.facts,
        views.strip_cells,
        views.piece_rows,
        views.group_rows,
        views.artifact_rows,
        views.skipped_rows,
        views.guard_rows,
        views.site_rows,
        views.value_guard_rows,
        views.timing_rows,
        views.rewrite_rows,
        views.input_rows,
        views.difference_rows,
        views.note_list,
        views.generated_codes,
        views.graph_view,
    ],
    ids=lambda function: function.__name__,
)
def test_every_view_is_ready_for_json(rows, toy, branch, hostile) -> None:
    for compilation in (toy, branch, hostile):
        json.dumps(rows(compilation))


def test_generated_code_is_there_once_for_equal_ranges(toy) -> None:
    codes = views.generated_codes(toy)
    assert [code["unique_id"] for code in codes] == ["A", "B", "C"]
    assert codes[0]["ranges"] == "1–8, 9–32, 33–2048, exactly 16, exactly 64"
    assert codes[0]["code"].startswith("def forward(")


def test_piece_source_speaks_the_users_language(toy) -> None:
    source = views.piece_source(toy, toy.pieces[0])
    assert source.startswith("def piece_0(")
    assert '"f32[n, 32]"' in source
    assert "# File: sample_models/toy_llama.py:" in source
    assert "= None" not in source


# ---------------------------------------------------------------------------------------- the graph


def edges(view: dict) -> set[tuple[str, str, str]]:
    return {(edge["source"], edge["target"], edge["kind"]) for edge in view["edges"]}


def test_repeated_layers_are_drawn_once(toy) -> None:
    view = views.graph_view(toy)["pieces"]
    drawn = [node for node in view["nodes"] if node["kind"] in ("compiled", "splitting")]
    assert [len(node["pieces"]) for node in drawn] == [1, 1, 11, 11, 1]
    assert view["folds"] == [{"id": 0, "first": 2, "length": 2, "count": 11}]
    assert [node["fold"] for node in drawn] == [None, None, 0, 0, None]


def test_edges_follow_the_data_through_folds_and_writes(toy) -> None:
    assert edges(views.graph_view(toy)["pieces"]) == {
        ("i_input_ids", "p0", "flow"),
        ("i_positions", "p0", "flow"),
        ("p0", "p1", "flow"),
        ("p0", "p2", "flow"),  # the residual
        ("p1", "p2", "write"),  # attention wrote into the tensor that it was given
        ("p2", "p3", "flow"),
        ("p2", "p2", "carried"),
        ("p3", "p2", "carried"),
        ("p2", "p24", "flow"),
        ("p3", "p24", "write"),
        ("p24", "output", "flow"),
        ("r2", "p2", "flow"),
    }


def test_values_that_many_pieces_read_are_cut(toy) -> None:
    view = views.graph_view(toy)["pieces"]
    assert view["cut"] == [{"value": "cosine", "readers": 11}, {"value": "sine", "readers": 11}]
    references = [node["lines"] for node in view["nodes"] if node["kind"] == "reference"]
    assert references == [["reads cosine, sine"]]
    assert view["nodes"][3]["lines"][-1] == "makes cosine, sine for many"


def test_a_value_that_two_pieces_read_keeps_its_edges(compile_target) -> None:
    view = views.graph_view(compile_target(toy_llama.sample(layers=2, hidden=32)))["pieces"]
    assert view["cut"] == []
    assert all(node["kind"] != "reference" for node in view["nodes"])


def test_edges_join_nodes_that_are_there(toy, branch, hostile) -> None:
    for compilation in (toy, branch, hostile):
        view = views.graph_view(compilation)
        for graph in (view["pieces"], *view["bodies"].values()):
            ids = [node["id"] for node in graph["nodes"]]
            assert len(set(ids)) == len(ids)
            assert {
                end for edge in graph["edges"] for end in (edge["source"], edge["target"])
            } <= set(ids)


def test_body_names_operations_shapes_and_weights(toy) -> None:
    body = views.graph_view(toy)["bodies"]["A"]
    lines = [node["lines"] for node in body["nodes"]]
    assert ["pow 2", "pow_1: f32 n × 32"] in lines
    assert ["getitem [:, None, None]", "getitem: i64 n × 1 × 1"] in lines
    assert any(line[-1] == "layers.0.attention.query_key_value.weight" for line in lines)
    operation = next(node for node in body["nodes"] if node["lines"][0].startswith("embedding"))
    assert operation["op"] == "torch.nn.functional.embedding"
    assert operation["source"].startswith("sample_models/toy_llama.py:")


def test_body_cuts_what_many_nodes_read(toy) -> None:
    body = views.graph_view(toy)["bodies"]["B"]
    assert body["cut"] == ["cosine", "sine"]
    reads = [node["lines"][0] for node in body["nodes"] if node["kind"] == "reference"]
    assert Counter(reads) == {"reads cosine": 4, "reads sine": 4}


def test_mixture_of_experts_repeats_too(compile_target) -> None:
    view = views.graph_view(compile_target(mixture_of_experts.sample()))["pieces"]
    assert [each["count"] for each in view["folds"]] == [3]
