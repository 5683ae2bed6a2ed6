"""What is found wrong with a capture: which test, what it returns where, what is not its fault."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from explorer import ConfigError, Diagnosis, Session, SizeRange
from explorer.artifacts import AuditStatus
from explorer.artifacts.diagnosed import AnswerKind, FindingKind
from explorer.guards.diagnosis import Wishes, diagnose_graph
from sample_models import branching
from tests.explorer.comparing import compiled, filled
from tests.explorer.guards.asserting_models import asserted
from tests.explorer.guards.diagnosing import (
    CONFIG,
    compilation_of_cell,
    diagnosis_of_cell,
    kinds,
    only_finding,
)
from tests.explorer.rewriting import cell
from tests.explorer.targets import session_of_target

Branch = branching.Branch


def diagnosis_of_sample(
    branch: Branch, *, domain: Any = None, allow: tuple[str, ...] = (), **options: Any
) -> Diagnosis:
    target = branching.sample(branch, **options)
    session = session_of_target(target)
    normalised = session.plan().unique.split.normalised
    config = target.compilation_config().replace(backend="eager")
    return diagnose_graph(normalised, config, Wishes(domain, allow))


WRONG = [
    (Branch.EQUAL, {}, FindingKind.BRANCH, {4: "wrong"}),
    (Branch.AT_LEAST, {}, FindingKind.BRANCH, {1: "wrong", 2: "wrong", 3: "wrong"}),
    (Branch.MODULO, {}, FindingKind.BRANCH, {8: "wrong"}),
    (Branch.TERNARY, {}, FindingKind.BRANCH, {17: "wrong"}),
    (Branch.WHILE, {}, FindingKind.LOOP, {9: "wrong"}),
    (Branch.RANGE, {}, FindingKind.INT, {100: "wrong"}),
]


@pytest.mark.parametrize(("branch", "options", "kind", "answers"), WRONG)
def test_a_sample_is_wrong_where_its_test_goes_the_other_way(
    branch: Branch, options: Any, kind: FindingKind, answers: dict[int, str]
) -> None:
    finding = only_finding(diagnosis_of_sample(branch, **options))
    assert finding.kind is kind
    assert answers.items() <= kinds(finding.answers).items()
    rejected = {n for v in finding.violations for a, b in v.intervals for n in range(a, b + 1)}
    assert finding.points == len(rejected)
    assert finding.location is not None
    assert finding.location.column is not None


@pytest.fixture(scope="module")
def nested() -> Diagnosis:
    return diagnosis_of_sample(Branch.NESTED)


def test_each_of_nested_branches_answers_where_it_is_the_first_to_go_another_way(
    nested: Diagnosis,
) -> None:
    found = {each.violations[0].guard.text: each for each in nested.findings}
    assert set(found) == {"n <= 512", "n != 4", "n <= 32"}
    assert kinds(found["n != 4"].answers) == {4: "wrong"}
    assert all(n > 512 for n in kinds(found["n <= 512"].answers))
    assert all(32 < n <= 512 for n in kinds(found["n <= 32"].answers))
    assert found["n <= 32"].points == 8160
    assert [each.points for each in nested.findings] == [8160, 7680, 1]


def test_a_test_that_was_never_reached_stands_with_the_one_that_hides_it(
    nested: Diagnosis,
) -> None:
    hidden = {
        each.violations[0].guard.text: [h.text for h in each.hidden] for each in nested.findings
    }
    assert hidden == {"n <= 512": ["n % 16 == 0"], "n != 4": [], "n <= 32": []}


def test_two_dims() -> None:
    finding = only_finding(diagnosis_of_sample(Branch.TWO_DIMS))
    assert finding.points == 64 * 65 // 2
    assert {each.kind for each in finding.answers} == {AnswerKind.WRONG}
    assert all(each.sizes["nx"] <= each.sizes["ny"] for each in finding.answers)


def test_an_operand_that_does_not_decide_alone_is_shown_where_it_does() -> None:
    finding = only_finding(diagnosis_of_sample(Branch.AND))
    found = kinds(finding.answers)
    wrong = {n for n, kind in found.items() if kind == "wrong"}
    assert wrong
    assert all(n % 4 == 0 for n in wrong)
    assert list(found.values()) == ["wrong"] * len(wrong) + ["same"]


def test_a_condition_that_is_stricter_than_the_graph_needs_is_no_wrong_answer() -> None:
    found = {
        each.violations[0].guard.text: each
        for each in diagnosis_of_sample(Branch.AND, rows=70).findings
    }
    assert set(kinds(found["n > 64"].answers).values()) == {"same"}
    assert set(kinds(found["(n % 4) != 0"].answers).values()) == {"wrong"}
    assert all(n > 64 for n in kinds(found["(n % 4) != 0"].answers))


@pytest.mark.parametrize("branch", [Branch.VIEW, Branch.ASSERT])
def test_where_eager_fails_nothing_is_found(branch: Branch) -> None:
    diagnosis = diagnosis_of_sample(branch)
    assert diagnosis.findings == ()
    assert diagnosis.is_clean
    assert diagnosis.audit.eager_fails


def test_a_torch_check_and_an_assert_are_declared_limits_of_the_model_itself() -> None:
    found = compiled(asserted, filled(12, 3), config=CONFIG, dynamic_arg_dims={"x": {0: "n"}})
    diagnosis = found.compilation.diagnose()
    assert diagnosis.is_clean
    assert diagnosis.audit.eager_fails == ((1, 5), (7, 7))


# ------------------------------------------------------------------------------- an int argument


def test_an_int_argument_is_a_specialization_until_it_is_allowed_or_varies() -> None:
    source = "def f(x, k):\n    return x * k\n"
    fast = compiled(
        cell(source)["f"], filled(6, 3), 5, config=CONFIG, dynamic_arg_dims={"x": {0: "n"}}
    )
    plain = fast.compilation.diagnose()
    assert [each.source for each in plain.specializations] == ["k"]
    assert not plain.is_clean
    for allow in (("k",), ("k == 5",)):
        allowed = fast.compilation.diagnose(allow=allow)
        assert allowed.is_clean
        assert allowed.unmatched == ()
    varied = fast.compilation.diagnose({"k": SizeRange(4, 6)})
    assert varied.specializations == ()
    finding = only_finding(varied)
    assert finding.kind is FindingKind.VALUE
    assert {each.sizes["k"] for each in finding.answers if each.kind is AnswerKind.WRONG} <= {4, 6}
    assert not varied.is_clean


# ---------------------------------------------------------------------------------- size 1


ONE = """
def f(x):
    return x * 2 if x.shape[0] == 1 else x + 1
"""
TRUTH = """
def f(x):
    if x.shape[0] < 2:
        return x * 2
    return x + 1
"""


@pytest.mark.parametrize("source", [ONE, TRUTH])
def test_a_test_that_the_framework_decided_before_is_found_by_its_line(source: str) -> None:
    finding = only_finding(diagnosis_of_cell(source))
    assert finding.kind is FindingKind.BRANCH
    assert finding.location is not None
    assert "x.shape[0]" in finding.location.text
    assert finding.frozen.endswith("`x + 1`")
    assert kinds(finding.answers) == {1: "wrong"}


def test_size_1_without_a_test_is_not_the_authors() -> None:
    source = "def f(x):\n    return x.expand(x.shape[0], 3) + x[:1].sum() if True else x\n"
    diagnosis = diagnosis_of_cell(source)
    assert all(each.kind is FindingKind.FRAMEWORK for each in diagnosis.findings)
    assert all(each.site is None for each in diagnosis.findings)


# ------------------------------------------------------------------------------- not known


def test_what_is_not_known_is_never_clean() -> None:
    compilation = compilation_of_cell("def f(x):\n    return x * 2\n")
    normalised = compilation.normalised
    assert diagnose_graph(normalised, CONFIG).is_clean
    captured = dataclasses.replace(normalised.captured, unknown=("torch has no such name",))
    found = diagnose_graph(dataclasses.replace(normalised, captured=captured), CONFIG)
    assert found.audit.status is AuditStatus.UNKNOWN
    assert not found.is_clean
    assert "torch has no such name" in found.report()


def test_a_graph_that_is_wrong_although_its_conditions_hold_is_not_clean() -> None:
    source = "def f(x):\n    return x * 2 if (x.shape[0] == 4) is False else x + 1\n"
    diagnosis = diagnosis_of_cell(source)
    assert diagnosis.mismatches
    assert not diagnosis.is_clean
    assert "MISMATCH where the conditions hold: at n = " in diagnosis.report()


def test_valid_points_are_compared_with_eager() -> None:
    diagnosis = diagnosis_of_cell("def f(x):\n    return x * 2 if x.shape[0] == 4 else x + 1\n")
    assert [each["n"] for each in diagnosis.checked] == [1, 3, 5, 40]
    assert diagnosis.mismatches == ()


# ------------------------------------------------------------------------------- what is allowed


TWO = """
def f(x):
    if x.shape[0] == 4:
        return x * 2
    return x * 3 if x.shape[0] > 30 else x + 1
"""


@pytest.mark.parametrize(
    "allow", ["n != 4", "n!=4", "n == 4", "x.shape[0] == 4", "{file}:2", "{name}:2"]
)
def test_a_finding_is_allowed_by_its_condition_its_test_or_its_line(allow: str) -> None:
    compilation = compilation_of_cell(TWO)
    file = compilation.captured.branch_sites[0].location.file
    allow = allow.format(file=file, name=file.rpartition("/")[2])
    diagnosis = compilation.diagnose(allow=(allow,))
    allowed = {
        v.guard.text: each.is_allowed for each in diagnosis.findings for v in each.violations
    }
    assert allowed == {"n != 4": True, "n <= 30": False}
    assert not diagnosis.is_clean
    assert diagnosis.unmatched == ()
    assert compilation.diagnose(allow=(allow, "n <= 30")).is_clean


def test_an_input_allows_all_that_reads_it() -> None:
    assert compilation_of_cell(TWO).diagnose(allow=("x.size(0)",)).is_clean


def test_what_is_allowed_and_not_there_is_said() -> None:
    diagnosis = compilation_of_cell(TWO).diagnose(allow=("n != 5",))
    assert diagnosis.unmatched == ("n != 5",)
    assert "nothing of that name was found: n != 5" in diagnosis.report()


def test_a_name_that_does_not_vary_is_refused() -> None:
    with pytest.raises(ConfigError, match="domain names 'm', which does not vary"):
        compilation_of_cell(TWO).diagnose({"m": SizeRange(1, 4)})


def test_the_model_keeps_its_gradients() -> None:
    model = torch.nn.Linear(3, 3)
    fast = compiled(model, filled(6, 3), config=CONFIG, dynamic_arg_dims={"input": {0: "n"}})
    fast.compilation.diagnose()
    assert all(each.requires_grad for each in model.parameters())


def test_a_side_of_torch_cond_that_inductor_cannot_compile_is_a_trap() -> None:
    scope = cell(
        """
        def model(x):
            return torch.cond(x.shape[0] == 4, lambda x: x * 2, lambda x: x, (x,))
        """
    )
    session = Session(scope["model"], (filled(6, 4),), dynamic_arg_dims={"x": {0: "n"}})
    normalised = session.plan().unique.split.normalised
    (trap,) = diagnose_graph(normalised, session.config).traps
    assert ".clone()" in trap
    eager = session.config.replace(backend="eager")
    assert diagnose_graph(normalised, eager).traps == ()
