"""A diagnosis in words: true for every policy and kind, each thing once, short lines."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from explorer import Diagnosis, DynamicShapesConfig, GuardPolicy, SizeRange
from explorer.artifacts import GuardOrigin, GuardRecord
from explorer.artifacts.audited import Violation
from explorer.artifacts.diagnosed import Answer, AnswerKind, Finding, FindingKind
from explorer.guards.lines import WIDTH, wrapped
from tests.explorer.comparing import compiled, filled
from tests.explorer.guards.diagnosing import CONFIG, compilation_of_cell, diagnosis_of_cell
from tests.explorer.rewriting import cell

BRANCH = """
def f(x):
    if x.shape[0] == 4:
        return x * 2
    return x + 1
"""


def plain(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def tried() -> Diagnosis:
    return diagnosis_of_cell(BRANCH, try_fixes=True)


def test_the_answer_stands_first(tried: Diagnosis) -> None:
    lines = tried.report().splitlines()
    assert lines[:3] == [
        "n = 1-40: exact, all 40 points",
        "  right for    2-3, 5-40 (38 sizes), and 1 by a capture of its own",
        "  wrong at     4 (1 size)",
    ]


def test_the_line_the_frozen_side_and_what_it_returns(tried: Diagnosis) -> None:
    x = filled(4, 3)
    apart = (x * 2 - (x + 1)).abs()
    text = plain(tried.report())
    assert ":2 if x.shape[0] == 4: n = x.size(0)" in text
    assert (
        "One graph was captured at n = 6. The test `x.shape[0] == 4` was False there, so only that "
        "side is in the graph: it returns `x + 1`. The other side returns `x * 2`."
    ) in text
    assert (
        "Unchecked, the graph returns `x + 1` instead of `x * 2`, without an error: at n = 4 "
        f"output differs in {int((apart > 2e-4).sum())} of 12 elements, "
        f"by up to {float(apart.max()):.3g}."
    ) in text
    assert "Affected: 1 of 40 sizes: 4." in text


def test_what_is_not_the_authors_doing_stands_apart(tried: Diagnosis) -> None:
    text = plain(tried.report())
    assert "Not your code: the framework assumed n >= 2 (aten.mul.Tensor" in text or (
        "Not your code: the framework assumed n >= 2 (aten.add.Tensor asked)" in text
    )
    assert "A capture at n = 1 gives the same graph, so that size is fine." in text


def test_fixes_stand_in_order_with_what_was_seen(tried: Diagnosis) -> None:
    marks = [
        line[2:4] for line in tried.report().splitlines() if line[2:4] in ("ok", "!!", "--", "no")
    ]
    assert marks == sorted(marks, key=["ok", "!!", "--", "no"].index)
    assert marks.count("ok") == 2
    text = plain(tried.report())
    assert "compiled, and equal to eager at n = 1, 3, 4, 5, 6, 40" in text
    assert "not tried: Both sides are computed, and the test picks." in text


def test_an_audit_compiles_nothing_and_says_so() -> None:
    report = compilation_of_cell(BRANCH).audit().report()
    assert "(none was tried here: `explorer check` does, without --no-try)" in report
    assert "  ok  " not in report


def test_no_line_is_wider_than_the_page(tried: Diagnosis) -> None:
    assert max(map(len, tried.report().splitlines())) <= WIDTH


def test_a_point_stays_on_one_line() -> None:
    text = "; ".join(f"rows = {number}" for number in range(1000, 1100))
    lines = wrapped(text)
    assert len(lines) > 5
    assert all(line.strip().startswith("rows = 1") for line in lines)
    assert "\u00a0" not in "".join(lines)


# ------------------------------------------------------------------------------- policies


def _under(policy: GuardPolicy, **changes: Any) -> str:
    return plain(diagnosis_of_cell(BRANCH, guard_policy=policy, **changes).report())


def test_check_raises_where_drop_is_silent() -> None:
    check, drop = _under(GuardPolicy.CHECK), _under(GuardPolicy.DROP)
    assert "CHECK: a call elsewhere raises GuardViolation" in check
    assert "Unchecked, the graph returns" in check
    assert "DROP: nothing checks a call" in drop
    assert "The graph returns `x + 1` instead of `x * 2`, without an error" in drop
    assert "Unchecked" not in drop
    assert "GuardViolation" not in drop


def test_variants_capture_another_graph_and_need_no_fix() -> None:
    text = _under(GuardPolicy.VARIANTS)
    assert "VARIANTS: a call elsewhere gets a graph of its own" in text
    assert "FIX" not in text


def test_evaluated_guards_fail_a_call_that_drop_would_let_through() -> None:
    shapes = DynamicShapesConfig(evaluate_guards=True)
    text = _under(GuardPolicy.DROP, dynamic_shapes=shapes)
    assert "evaluate_guards: a call that a test on sizes does not hold for fails" in text
    assert "nothing checks a call" not in text
    assert "Unchecked, the graph returns" in text


# ------------------------------------------------------------------------------- kinds


LOOP = """
def f(x):
    left = x.shape[0]
    while left > 8:
        x = x * 2
        left = left // 2
    return x
"""


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (
            6,
            "The loop was left at once, as `left > 8` was False there",
        ),
        (12, "The loop was unrolled: after 1 turn in the graph `left > 8` was False."),
        (39, "The loop was unrolled: after 3 turns in the graph `left > 8` was False."),
    ],
)
def test_a_loop_says_how_often_it_ran(example: int, said: str) -> None:
    assert said in plain(diagnosis_of_cell(LOOP, example).report())


def test_sizes_that_several_turns_rule_out_are_said_once() -> None:
    text = diagnosis_of_cell(LOOP, 20).report()
    assert "  wrong at     1-17, 36-40 (22 sizes)" in text
    assert "Affected: 22 of 40 sizes: 1-17, 36-40." in text


def test_a_loop_that_is_left_by_break_is_not_counted() -> None:
    source = """
    def f(x):
        n = x.shape[0]
        turns = 0
        while n > 4:
            x = x * 2
            turns = turns + 1
            if turns == 3:
                break
        return x
    """
    text = plain(diagnosis_of_cell(source, 9).report())
    assert (
        "The loop over `n > 4` was unrolled: the graph has as many turns as it took there." in text
    )


def test_a_number_says_what_it_was() -> None:
    source = "def f(x):\n    for _ in range(x.shape[0] // 10):\n        x = x * 2\n    return x\n"
    text = plain(diagnosis_of_cell(source, 25).report())
    assert "BAKED NUMBER" in text
    assert "`range(x.shape[0] // 10)` needs n // 10 as a number, which was 2 there" in text
    assert "torch.where" not in text


def test_an_operator_is_named_and_no_branch_is_advised() -> None:
    source = "def f(x):\n    return x.view(-1, 4, 3) * 2\n"
    text = plain(diagnosis_of_cell(source, 8).report())
    assert "ASSUMPTION OF AN OPERATOR" in text
    assert "The operator aten." in text
    assert "around the branch" not in text
    assert "torch.cond" not in text


def test_a_value_is_no_branch() -> None:
    made = cell("def f(x, k):\n    return x * k\n")
    fast = compiled(made["f"], filled(6, 3), 5, config=CONFIG, dynamic_arg_dims={"x": {0: "n"}})
    text = plain(fast.compilation.diagnose({"k": SizeRange(4, 6)}).report())
    assert "BAKED VALUE" in text
    assert "A Python value is a constant of the graph: it is right only where k == 5." in text
    assert "Name it in the domain" in plain(fast.compilation.diagnose().report())


def test_dims_that_the_model_ties_are_told_apart_from_constants() -> None:
    made = cell("def f(x, y):\n    return x + y\n")
    dims = {"x": {0: "n"}, "y": {0: "m"}}
    fast = compiled(made["f"], filled(6, 3), filled(6, 3), config=CONFIG, dynamic_arg_dims=dims)
    text = plain(fast.compilation.diagnose().report())
    assert "Tied: y.size(0) has to be x.size(0)" in text
    assert "Give both dims one name" in text


def test_a_graph_that_is_right_by_luck_is_not_called_wrong() -> None:
    source = "def f(x):\n    return x * 2 if x.shape[0] == 4 else x + x\n"
    text = plain(diagnosis_of_cell(source).report())
    assert "not covered 4 (1 size)" in text
    assert "wrong at" not in text
    assert "No wrong result was seen: the graph gives eager's result at n = 4." in text
    assert "without an error" not in text


def test_what_the_graph_cannot_run_is_no_silent_answer() -> None:
    diagnosis = diagnosis_of_cell(BRANCH)
    (finding,) = diagnosis.findings
    raises = Answer({"n": 4}, AnswerKind.RAISES, "TypeError: no")
    found = dataclasses.replace(
        diagnosis, findings=(dataclasses.replace(finding, answers=(raises,)),)
    )
    text = plain(found.report())
    assert "Unchecked, the graph fails where the model does not: at n = 4 TypeError: no." in text
    assert "without an error" not in text


def test_what_is_not_known_is_said() -> None:
    diagnosis = diagnosis_of_cell(BRANCH)
    (finding,) = diagnosis.findings
    unknown = Answer({"n": 4}, AnswerKind.NOT_KNOWN, "there are no inputs")
    found = dataclasses.replace(
        diagnosis, findings=(dataclasses.replace(finding, answers=(unknown,)),)
    )
    assert "What the graph returns there is not known: there are no inputs." in plain(
        found.report()
    )


def test_an_allowed_finding_is_shown_as_allowed_and_needs_no_fix() -> None:
    diagnosis = compilation_of_cell(BRANCH).diagnose(allow=("n != 4",), try_fixes=True)
    text = diagnosis.report()
    assert "(allowed)" in text
    assert "  allowed      4 (1 size)" in text
    assert "wrong at" not in text
    assert "FIX" not in text


def test_many_intervals_stay_short() -> None:
    source = "def f(x):\n    return x * 2 if x.shape[0] % 8 == 0 else x + 1\n"
    text = diagnosis_of_cell(source, max_size=4096).report()
    assert "  wrong at     8..4096 step 8 (512 sizes)" in text
    assert "Affected: 512 of 4,096 sizes: 8..4096 step 8." in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_long_line_of_code_is_shortened_and_keeps_what_it_reads() -> None:
    source = "def f(x):\n    return x * 2 if x.shape[0] == 4 else " + "x + 1 + " * 30 + "1\n"
    title = next(
        each for each in diagnosis_of_cell(source).report().splitlines() if "BAKED" in each
    )
    assert len(title) <= WIDTH
    assert title.endswith("…   n = x.size(0)")


def test_control_characters_do_not_reach_the_page() -> None:
    guard = GuardRecord(None, "k == '\x1b[31m\u202e'", GuardOrigin.OTHER)
    violation = Violation(0, guard, None, None, (), 1, {"n": 4})
    finding = Finding(FindingKind.OTHER, (violation,), None, None, "", "", 1, ())
    text = dataclasses.replace(diagnosis_of_cell(BRANCH), findings=(finding,)).report()
    assert "k == '[31m'" in text
    assert not any(ord(each) < 32 and each != "\n" for each in text)
    assert "\u202e" not in text


def test_a_model_without_a_dynamic_dim() -> None:
    fast = compiled(lambda x: x * 2, torch.ones(3), config=CONFIG, dynamic_arg_dims={})
    diagnosis = fast.compilation.diagnose()
    assert diagnosis.report().startswith("Nothing is dynamic")
    assert diagnosis.is_clean
