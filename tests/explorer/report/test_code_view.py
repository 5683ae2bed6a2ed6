"""The user's files as rows: each line knows its pieces, nodes and tests, or says why not."""

from __future__ import annotations

import importlib.util
import json
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explorer
from explorer import ConfigError
from explorer.artifacts import GuardOrigin
from explorer.compilation import Compilation
from explorer.report.code_files import source_file
from explorer.report.code_text import code_text
from explorer.report.code_tokens import CPP, PYTHON, line_spans, python_spans
from explorer.report.code_view import code_view, fx_view, generated_view
from explorer.report.code_words import MADE_BY
from explorer.report.selection import Links
from sample_models import branching, toy_llama

SCALED = """import torch
from torch import nn


def unused(x):
    return x - 1


class Scaled(nn.Module):
    # <script>alert(1)</script> & "quotes" \u202etxet esrever
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        doubled = x * 2
        if x.shape[0] == 4:
            return doubled * 3
        return doubled.relu()
"""


def compiled(model: nn.Module, **options: Any) -> Compilation:
    config = explorer.CompilationConfig(backend="eager", max_size=64, **options)
    arguments = {"dynamic_arg_dims": {"x": {0: "n"}}, "config": config}
    with torch.no_grad():
        return explorer.Session(model, (torch.ones(8, 4),), **arguments).update()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[[str, str], Any]]:
    """load(name, source) -> module of a file below the test's folder."""
    names = []

    def load_one(name: str, source: str) -> Any:
        file = tmp_path / f"{name}.py"
        file.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        names.append(name)
        spec.loader.exec_module(module)
        return module

    yield load_one
    for name in names:
        del sys.modules[name]


def row_of(view: dict[str, Any], text: str) -> dict[str, Any]:
    """The one line whose text contains something."""
    (found,) = [row for row in view["rows"] if row["kind"] == "line" and text in row["text"]]
    return found


def letters(row: dict[str, Any]) -> list[tuple[str, int]]:
    return [(each["letter"], each["count"]) for each in row["letters"]]


# ------------------------------------------------------------------------------- what a line knows


def test_a_line_of_a_layer_knows_its_pieces_and_nodes(toy: Compilation) -> None:
    row = row_of(code_view(toy), "return self.down(F.silu(gate) * up)")
    found = Links(toy).select(*row["select"])
    assert letters(row) == [("B", 11), ("C", 1)]
    assert row["pieces"] == list(found.pieces)
    assert row["count"] == len(found.nodes) == 36
    assert set(row["nodes"]) <= set(found.nodes)
    assert row["about"] == [
        "36 nodes, in pieces B ×11, C.",
        "Makes silu → f32 n × 128 (12×), mul → f32 n × 128 (12×), linear → f32 n × 32 (12×).",
    ]


def test_a_splitting_line_has_no_letter_of_a_compiled_piece(toy: Compilation) -> None:
    row = row_of(code_view(toy), "torch.ops.demo.attention(query, key, value, out)")
    assert letters(row) == [("▨", 12)]
    assert row["letters"][0]["colour"] is None
    assert row["about"][0] == "12 nodes, in 12 splitting pieces."


def test_a_line_that_only_calls_others_ran(toy: Compilation) -> None:
    row = row_of(code_view(toy), "cosine, sine = self.rotary(positions)")
    assert row["ran"] is True
    assert "nodes" not in row
    assert "select" not in row


def test_a_test_says_its_answer_and_what_each_side_does(branch: Compilation) -> None:
    view = code_view(branch)
    row = row_of(view, "if x.shape[0] == BRANCH_ROWS:")
    assert row["sites"] == [0]
    assert row["guards"] == [0]
    assert row["about"][:2] == [
        "Test `x.shape[0] == BRANCH_ROWS` was False at the capture: only that side is kept, which "
        "returns `projected + 1`; the other one returns `projected * 2`.",
        "Condition n != 4, made by a test in the model: a call that does not fulfil it raises "
        "GuardViolation.",
    ]
    assert row["decided"] == 2


def test_the_side_that_was_not_taken_is_left_out(branch: Compilation) -> None:
    view = code_view(branch)
    assert row_of(view, "return projected * 2")["ran"] is False
    assert row_of(view, "return projected + 1")["ran"] is True
    assert "ran" not in row_of(view, '"""(rows, width) -> (rows, width)."""')


def test_a_dropped_condition_says_that_nothing_looks(
    compile_target: Callable[..., Compilation],
) -> None:
    dropped = compile_target(branching.sample(), guard_policy=explorer.GuardPolicy.DROP)
    row = row_of(code_view(dropped), "if x.shape[0] == BRANCH_ROWS:")
    assert "nothing looks at it at run time, so that the answer may be wrong" in row["about"][1]


def test_a_test_behind_the_other_side_is_not_reached(
    compile_target: Callable[..., Compilation],
) -> None:
    nested = compile_target(branching.sample("nested"))
    row = row_of(code_view(nested), "if n % 16 == 0:")
    assert row["ran"] is False
    assert "was not reached: it is on the other side of the test of line" in row["about"][1]


def test_every_maker_of_conditions_has_words() -> None:
    assert set(MADE_BY) == set(GuardOrigin)


# ------------------------------------------------------------------------------ what of the files


def test_only_functions_that_were_used_are_shown_and_gaps_are_counted(toy: Compilation) -> None:
    rows = code_view(toy)["rows"]
    shown = {row["number"] for row in rows if row["kind"] == "line"}
    folded = sum(
        int(row["text"].split()[1].replace(",", "")) for row in rows if row["kind"] == "fold"
    )
    file = toy.pieces[0].source_lines[0].file
    assert len(shown) + folded == len(Path(file).read_text().splitlines())
    assert len(shown) < 100
    used = {line.line for piece in toy.pieces for line in piece.source_lines}
    assert used <= shown


def test_a_line_is_that_of_its_file(toy: Compilation) -> None:
    lines = Path(toy.pieces[0].source_lines[0].file).read_text().splitlines()
    for row in code_view(toy)["rows"]:
        if row["kind"] == "line":
            assert row["text"] == lines[row["number"] - 1]


def test_two_files_stand_one_after_the_other(load: Callable[[str, str], Any]) -> None:
    load("pwx_helper", "def twice(x):\n    return x * 2\n")
    main = load(
        "pwx_main",
        "from pwx_helper import twice\nfrom torch import nn\n\n\nclass Model(nn.Module):\n"
        "    def forward(self, x):\n        return twice(x).relu()\n",
    )
    view = code_view(compiled(main.Model()))
    assert [Path(each["file"]).name for each in view["files"]] == ["pwx_main.py", "pwx_helper.py"]
    for each in view["files"]:
        assert view["rows"][each["row"]]["file"] == each["file"]
    assert row_of(view, "return x * 2")["count"] == 1
    assert row_of(view, "return twice(x).relu()")["count"] == 1


def test_code_without_source_says_so(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(SCALED, names)
    view = code_view(compiled(names["Scaled"]()))
    (note,) = [row["text"] for row in view["rows"] if row["kind"] == "note"]
    assert note.startswith("The source of <string> is not available")
    lines = [row for row in view["rows"] if row["kind"] == "line"]
    assert {row["text"] for row in lines} == {"(text not known)"}
    assert [row["number"] for row in lines if "select" in row] == [13]
    assert view["note"].startswith("Of 2 nodes, 2 do not say from which line")


def test_a_graph_without_any_line_says_so() -> None:
    names: dict[str, Any] = {}
    exec(SCALED.replace("if x.shape[0] == 4:", "if False:"), names)
    view = code_view(compiled(names["Scaled"]()))
    assert view["rows"] == []
    assert view["problem"].startswith("No node of this graph says which line it came from")
    assert code_text(view) == f"{view['problem']}\n"


def test_a_file_that_was_changed_is_not_shown_as_if_it_had_not(
    load: Callable[[str, str], Any], tmp_path: Path
) -> None:
    module = load("pwx_changed", SCALED)
    compilation = compiled(module.Scaled())
    file = tmp_path / "pwx_changed.py"
    file.write_text(SCALED.replace("import torch\n", "import torch\n# one more line\n", 1))
    linecache.checkcache(str(file))
    view = code_view(compilation)
    (note,) = [row["text"] for row in view["rows"] if row["kind"] == "note"]
    assert "changed after the capture: line 12 was `doubled = x * 2` and is `def forward(" in note
    row = row_of(view, "doubled = x * 2")
    assert row["number"] == 12
    assert "one more line" not in json.dumps(view)


def test_a_file_that_was_changed_keeps_its_text_while_python_has_it(
    load: Callable[[str, str], Any], tmp_path: Path
) -> None:
    module = load("pwx_edited", SCALED)
    compilation = compiled(module.Scaled())
    (tmp_path / "pwx_edited.py").write_text("# all gone\n")
    view = code_view(compilation)
    notes = [row["text"] for row in view["rows"] if row["kind"] == "note"]
    assert notes == ["The file was edited since: this is its text at the capture."]
    assert row_of(view, "doubled = x * 2")["count"] == 1


def test_a_notebook_cell_is_read_like_a_file() -> None:
    name = "<ipython-input-7>"
    lines: list[str] = list(SCALED.splitlines(keepends=True))
    linecache.cache[name] = (len(SCALED), None, lines, name)
    names: dict[str, Any] = {"__name__": "cell"}
    exec(compile(SCALED, name, "exec"), names)
    try:
        view = code_view(compiled(names["Scaled"]()))
    finally:
        del linecache.cache[name]
    assert [row["kind"] for row in view["rows"]].count("note") == 0
    assert row_of(view, "doubled = x * 2")["count"] == 1


def test_nodes_of_code_without_source_are_counted_beside_others() -> None:
    names: dict[str, Any] = {}
    exec(
        "from torch import nn\n"
        "class Outer(nn.Module):\n"
        "    def __init__(self, inner):\n"
        "        super().__init__()\n"
        "        self.inner = inner\n"
        "    def forward(self, x):\n"
        "        return self.inner(x) + 1\n",
        names,
    )
    view = code_view(compiled(names["Outer"](toy_llama.RMSNorm(4))))
    assert view["note"].startswith("Of 7 nodes, 1 does not say from which line")
    assert [each["path"] for each in view["files"]] == ["sample_models/toy_llama.py"]


def test_text_that_could_not_be_compared_says_so(tmp_path: Path) -> None:
    file = tmp_path / "plain.py"
    file.write_text("a = 1\n")
    assert "could not be compared" in source_file(str(file), {1: ""}).note
    assert source_file(str(file), {1: "a = 1"}).note == ""
    assert source_file(str(file), {9: "a = 1"}).problem != ""


# ------------------------------------------------------------------------------------ hostile text


def test_hostile_source_is_clean_and_stays_text(load: Callable[[str, str], Any]) -> None:
    long = f"        note = '{'y' * 100_000}'\n"
    source = SCALED.replace("        doubled", f"{long}        doubled", 1)
    view = code_view(compiled(load("pwx_hostile", source).Scaled()))
    row = row_of(view, "<script>")
    assert row["text"] == '    # <script>alert(1)</script> & "quotes" txet esrever'
    row = row_of(view, "note = 'yyy")
    assert len(row["text"]) == 400
    assert row["text"].endswith("…")
    assert len(row["full"]) == 4000
    assert max(span[1] for span in row.get("spans", [[0, 0]])) <= 400


def test_hostile_names_are_clean_in_every_view(hostile: Compilation) -> None:
    views = [code_view(hostile), fx_view(hostile, 0), generated_view(hostile, 0)]
    assert not {chr(code) for code in range(32)} & set(json.dumps(views, ensure_ascii=False))


# ------------------------------------------------------------------------------ choices, FX, text


def test_views_are_json_and_small(toy: Compilation) -> None:
    assert len(json.dumps(code_view(toy))) < 60_000
    assert len(json.dumps(fx_view(toy, 2))) < 40_000


def test_choices_name_pieces_and_artifacts_of_equal_code_once(toy: Compilation) -> None:
    view = code_view(toy)
    assert [each["label"] for each in view["pieces"][:2]] == [
        "piece 0 · A",
        "piece 1 · ▨ demo::attention",
    ]
    assert sorted(i for each in view["artifacts"] for i in each["artifacts"]) == list(
        range(len(toy.artifacts))
    )
    assert view["artifacts"][0]["label"] == "A · 1–8, 9–32, 33–2048, exactly 16 and 1 more"
    assert (view["first_piece"], view["first_artifact"]) == (0, 0)


def test_fx_lines_know_their_nodes(toy: Compilation) -> None:
    view = fx_view(toy, 2)
    computed = [n for n in toy.pieces[2].graph.nodes if n.op not in ("placeholder", "output")]
    linked = [row["nodes"][0] for row in view["rows"] if "nodes" in row]
    assert linked[-len(computed) :] == [f"2/{node.name}" for node in computed]
    row = row_of(view, " = torch.nn.functional.silu(")
    assert row["select"] == ["node", "2/silu"] or row["nodes"][0].startswith("2/silu")
    assert row["about"][0].startswith(f"Node {row['nodes'][0][2:]}: silu → f32 n × 128, from ")
    selected = Links(toy).select(*row["select"])
    assert [list(line) for line in selected.lines] == row["lines"]


def test_fx_comments_lead_to_the_line(toy: Compilation) -> None:
    row = next(r for r in fx_view(toy, 2)["rows"] if r["text"].lstrip().startswith("# File:"))
    assert row["select"][0] == "line"
    assert f":{row['select'][1][1]} in forward" in row["text"]


def test_each_input_of_a_piece_has_a_line_of_its_own(toy: Compilation) -> None:
    view = fx_view(toy, 1)
    assert [row["text"] for row in view["rows"][:6]] == [
        "def piece_1(",
        '    query_1: "f32[n, 4, 8]",',
        '    key_1: "f32[n, 4, 8]",',
        '    value: "f32[n, 4, 8]",',
        '    out: "f32[n, 4, 8]",',
        "):",
    ]
    assert view["rows"][1]["about"] == ["Input query_1: f32 n × 4 × 8."]


@pytest.mark.parametrize("index", [-1, 25, 1.0, True, None, "0"])
def test_an_unknown_piece_is_told(toy: Compilation, index: Any) -> None:
    with pytest.raises(ConfigError, match=r"There is no piece .* which has 25 pieces"):
        fx_view(toy, index)


def test_an_unknown_artifact_is_told(toy: Compilation) -> None:
    with pytest.raises(ConfigError, match=r"There is no artifact 99 in this compilation"):
        generated_view(toy, 99)


def test_text_has_letters_marks_and_reasons(branch: Compilation) -> None:
    text = code_text(code_view(branch), width=100)
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert any(line.startswith("?!") and "if x.shape[0] == BRANCH_ROWS:" in line for line in lines)
    assert any(line.startswith("×") and "return projected * 2" in line for line in lines)
    assert any(" A " in line and "return projected + 1" in line for line in lines)
    assert "^ Condition n != 4, made by a test in the model" in text


def test_text_without_reasons_is_the_source_alone(branch: Compilation) -> None:
    assert "Condition" not in code_text(code_view(branch), explains=False)


def test_text_of_a_view_with_a_problem_is_the_problem() -> None:
    assert code_text({"problem": "There is none.", "rows": []}) == "There is none.\n"


# ------------------------------------------------------------------------------------------ tokens


def test_tokens_of_python_cross_lines() -> None:
    lines = ["def f(x):  # why", '    """Two', '    lines."""', "    return 1.5"]
    assert python_spans(lines) == [
        [[0, 3, "k"], [4, 5, "d"], [11, 16, "c"]],
        [[4, 10, "s"]],
        [[0, 13, "s"]],
        [[4, 10, "k"], [11, 14, "n"]],
    ]


def test_tokens_of_what_is_no_python_are_read_line_by_line() -> None:
    assert python_spans(["x = 'open", "return 1"])[1] == [[0, 6, "k"], [7, 8, "n"]]
    assert python_spans(["%%time", "x = ("])[1] == []


def test_tokens_of_cpp() -> None:
    assert line_spans("#pragma omp for // all", CPP) == [[12, 15, "k"], [16, 22, "c"]]
    assert line_spans("n // 2  # half", PYTHON) == [[5, 6, "n"], [8, 14, "c"]]
