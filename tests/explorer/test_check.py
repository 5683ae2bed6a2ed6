"""A check of one model: whether it passes, what was found, the same as plain data."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import pytest
import torch

from explorer import CompilationConfig, CompileTarget, GuardPolicy, SizeRange
from explorer.artifacts.diagnosed import TrialOutcome
from explorer.check import CheckResult, as_json, check_target
from explorer.errors import CaptureError
from explorer.guards.diagnosis import Wishes
from explorer.loading import load_target
from tests.explorer.checked_targets import CHECKED
from tests.explorer.rewriting import cell
from tests.explorer.targets import write_module


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checked")
    sys.path.insert(0, str(folder))
    yield write_module(folder, CHECKED)
    sys.path.remove(str(folder))


def _check(module: str, name: str, *, fix: str = "", **wishes: Any) -> CheckResult:
    target = load_target(f"{module}:{name}")
    other = load_target(f"{module}:{fix}") if fix else None
    return check_target(target, target.compilation_config(), Wishes(**wishes), fix=other)


def test_a_model_without_a_branch_passes(module: str) -> None:
    result = _check(module, "plain", try_fixes=True)
    assert result.passed
    assert result.diagnosis is not None
    assert result.diagnosis.trials == ()
    assert result.report().endswith("Plain: passed")


@pytest.mark.parametrize(
    ("allow", "passed"), [((), False), (("n != 4",), True), (("n != 5",), False)]
)
def test_a_branch_fails_until_it_is_allowed(
    module: str, allow: tuple[str, ...], passed: bool
) -> None:
    result = _check(module, "branch", allow=allow)
    assert result.passed is passed
    assert result.report().endswith("Model: passed" if passed else "Model: FAILED: see above")


def test_sizes_outside_the_domain_do_not_count(module: str) -> None:
    assert _check(module, "branch", domain=SizeRange(5, 40)).passed
    assert not _check(module, "branch", domain=SizeRange(4, 40)).passed


def test_sizes_above_max_size_are_refused(module: str) -> None:
    result = _check(module, "plain", domain=SizeRange(30, 99))
    assert not result.passed
    assert "REFUSED     n = 41–99: a call raises SizeOutOfRange" in result.report()
    assert "n = 41–99" in as_json(result)["beyond_max_size"]
    assert as_json(_check(module, "plain"))["beyond_max_size"] is None


def test_an_int_argument_fails_until_it_is_allowed_or_looked_at(module: str) -> None:
    assert not _check(module, "scaled").passed
    assert _check(module, "scaled", allow=("k",)).passed
    assert not _check(module, "scaled", domain={"k": SizeRange(4, 6)}).passed
    assert _check(module, "scaled", domain={"k": SizeRange(5, 5)}).passed


# ------------------------------------------------------------------------------- a fixed dim


@pytest.fixture(scope="module")
def fixed(module: str) -> CheckResult:
    return _check(module, "fixed", try_fixes=True, allow=("n != 7",))


def test_a_dim_that_the_model_fixes_is_named_with_its_line(fixed: CheckResult) -> None:
    assert not fixed.passed
    assert fixed.diagnosis is None
    text = fixed.report()
    assert text.startswith("FIXED DIM   ")
    assert ":17   if x.shape[0] == 4:" in text.splitlines()[0]
    assert "x.size(0) was asked to be dynamic, but the model fixed it to 4" in " ".join(
        text.split()
    )
    assert "nothing of that name was found: n != 7" in text
    assert max(map(len, text.splitlines())) <= 110


def test_variants_are_tried_on_a_fixed_dim_at_other_sizes_too(fixed: CheckResult) -> None:
    (trial,) = fixed.trials
    assert (trial.fix, trial.outcome) == ("variants", TrialOutcome.WORKS)
    assert {each["n"] for each in trial.compared} >= {2, 3, 4, 5, 9, 16, 32}
    assert "  ok  guard_policy=GuardPolicy.VARIANTS" in fixed.report()
    assert trial.seconds > 0


@pytest.mark.parametrize("allow", ["x.size(0)", "x.size(0) == 4", "n", "n == 4", "{module}.py:17"])
def test_a_fixed_dim_is_allowed_by_its_name_or_line(module: str, allow: str) -> None:
    result = _check(module, "fixed", allow=(allow.format(module=module),))
    assert result.passed
    assert "(allowed)" in result.report()
    assert result.unmatched == ()


def test_the_authors_version_is_tried_on_a_fixed_dim(module: str) -> None:
    right = _check(module, "fixed", fix="right")
    assert [(each.fix, each.outcome) for each in right.trials] == [("author", TrialOutcome.WORKS)]
    wrong = _check(module, "fixed", fix="wrong")
    assert wrong.trials[0].outcome is TrialOutcome.WRONG
    assert "not equal to eager at n = " in wrong.trials[0].text


# ------------------------------------------------------------------------------- the author's own


def test_the_authors_version_is_compared_like_a_fix(module: str) -> None:
    result = _check(module, "branch", fix="right")
    assert result.diagnosis is not None
    (trial,) = result.diagnosis.trials
    assert trial.outcome is TrialOutcome.WORKS, trial.text
    assert {each["n"] for each in trial.compared} == {1, 3, 4, 5, 6, 40}
    assert "  ok  your own version" in result.report()
    assert not result.passed


@pytest.mark.parametrize(
    ("fix", "outcome", "said"),
    [
        ("wrong", TrialOutcome.WRONG, "not equal to eager at n = 4: output differs in"),
        ("branch", TrialOutcome.WRONG, "it fails at n = 4: GuardViolation"),
        ("no_graph", TrialOutcome.FAILS, "does not trace into one graph"),
        ("fixed", TrialOutcome.FAILS, "the model fixed it to 4"),
    ],
)
def test_a_version_that_does_not_help_is_told(
    module: str, fix: str, outcome: TrialOutcome, said: str
) -> None:
    result = _check(module, "branch", fix=fix)
    assert result.diagnosis is not None
    (trial,) = result.diagnosis.trials
    assert trial.outcome is outcome
    assert said in trial.text
    assert "  no  your own version" in result.report()


def test_a_version_is_run_with_the_weights_of_the_model(module: str) -> None:
    target = load_target(f"{module}:branch")
    fixed = load_target(f"{module}:right")
    with torch.no_grad():
        fixed.model.linear.weight.add_(1)  # type: ignore[attr-defined]
    before = target.model.linear.weight.clone()  # type: ignore[attr-defined]
    result = check_target(target, target.config, Wishes(), fix=fixed)
    assert result.diagnosis is not None
    assert result.diagnosis.trials[0].outcome is TrialOutcome.WORKS
    assert torch.equal(target.model.linear.weight, before)  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------- policies


def test_under_variants_coverage_decides(module: str) -> None:
    result = _check(module, "variants", try_fixes=True)
    assert result.passed
    assert result.diagnosis is not None
    assert not result.diagnosis.is_clean
    assert result.diagnosis.trials == ()
    text = result.report()
    assert "VARIANTS    2 graphs cover all 40 points" in text
    assert "1: 4 (1 size), captured at n = 4" in text


def test_more_graphs_than_the_limit_fail_and_keep_what_was_found(module: str) -> None:
    result = _check(module, "few_variants")
    assert not result.passed
    text = " ".join(result.report().split())
    assert "BAKED BRANCH" in text
    assert "VARIANTS n = 4 needs another captured graph, and there are 1 already" in text
    assert "variants_limit" in as_json(result)["variants_limit"]
    assert max(map(len, result.report().splitlines())) <= 110


def test_under_drop_the_same_is_found(module: str) -> None:
    result = _check(module, "dropping")
    assert not result.passed
    assert "DROP: nothing checks a call" in result.report()


def test_a_model_that_cannot_be_captured_is_an_error(module: str) -> None:
    with pytest.raises(CaptureError, match="does not trace into one graph at"):
        _check(module, "no_graph")
    with pytest.raises(CaptureError, match=r":17: if x.shape\[0\] == 4: .*Use torch.cond"):
        _check(module, "unbacked")


# ------------------------------------------------------------------------------- as plain data


def test_plain_data_has_the_facts_of_the_text(module: str) -> None:
    result = _check(module, "branch", try_fixes=True)
    view = json.loads(json.dumps(as_json(result), allow_nan=False))
    assert (view["target"], view["passed"], view["policy"]) == ("Model", False, "CHECK")
    assert view["valid"] == [[2, 3], [5, 40]]
    assert view["valid_by_probe"] == [1]
    (finding,) = view["findings"]
    assert finding["kind"] == "baked branch"
    assert (finding["line"], finding["column"], finding["code"]) == (17, 11, "if x.shape[0] == 4:")
    assert finding["conditions"] == ["n != 4"]
    assert finding["returns"][0]["sizes"] == {"n": 4}
    assert finding["returns"][0]["result"] == "wrong"
    assert finding["frozen_side"] == "returns `self.linear(x) + 1`"
    assert {each["fix"]: each["outcome"] for each in view["trials"]} == {
        "torch.cond": "works",
        "variants": "works",
        "unbacked": "loud",
    }


def test_plain_data_of_a_fixed_dim_and_of_variants(module: str, fixed: CheckResult) -> None:
    view = json.loads(json.dumps(as_json(fixed), allow_nan=False))
    assert view["error"]["kind"] == "fixed dim"
    assert (view["error"]["line"], view["error"]["value"]) == (17, 4)
    assert view["trials"][0]["outcome"] == "works"
    assert view["allowed_without_match"] == ["n != 7"]
    covered = json.loads(json.dumps(as_json(_check(module, "variants")), allow_nan=False))
    assert covered["coverage"]["complete"]
    assert [each["sizes"] for each in covered["coverage"]["regions"]] == [
        [[1, 3], [5, 40]],
        [[4, 4]],
    ]


def _target_of_cell(body: str) -> CompileTarget:
    config = CompilationConfig(backend="eager", max_size=16)
    model = cell(f"def f(x):\n    {body}\n")["f"]
    dims = {"x": {0: "n"}}
    return CompileTarget("t", model, (torch.ones(6, 3),), dynamic_arg_dims=dims, config=config)


def test_infinite_differences_are_valid_json() -> None:
    made = cell("def f(x):\n    return x * float('inf') if x.shape[0] == 4 else x + 1\n")
    config = CompilationConfig(backend="eager", max_size=16)
    dims = {"x": {0: "n"}}
    target = CompileTarget(
        "t", made["f"], (torch.ones(6, 3),), dynamic_arg_dims=dims, config=config
    )
    view = as_json(check_target(target, config, Wishes()))
    json.dumps(view, allow_nan=False)
    assert view["findings"][0]["returns"][0]["largest_difference"] == "inf"


HOSTILE = "m\x1b[31m\u202eo\ndel"


@pytest.mark.parametrize("name", ["branch", "fixed", "variants"])
def test_hostile_names_are_cleaned(module: str, name: str) -> None:
    target = dataclasses.replace(load_target(f"{module}:{name}"), name=HOSTILE)
    wishes = Wishes(allow=("n != \x07\u202e9",))
    result = check_target(target, target.compilation_config(), wishes)
    for text in (result.report(), json.dumps(as_json(result), ensure_ascii=False)):
        assert not any(each in text for each in ("\x1b", "\x07", "\u202e"))
    assert as_json(result)["target"] == "m[31mo del"


def test_a_model_of_a_notebook_cell() -> None:
    made = cell("def f(x):\n    return x * 2 if x.shape[0] == 4 else x + 1\n")
    config = CompilationConfig(backend="eager", max_size=16)
    dims = {"x": {0: "n"}}
    target = CompileTarget(
        "t", made["f"], (torch.ones(6, 3),), dynamic_arg_dims=dims, config=config
    )
    result = check_target(target, config, Wishes(try_fixes=True))
    text = result.report()
    assert "BAKED BRANCH   <cell " in text
    assert "+    return torch.cond(x.shape[0] == 4, lambda: x * 2, lambda: x + 1, ())" in text


def test_the_policy_of_the_target_is_not_changed_by_a_check(module: str) -> None:
    target = load_target(f"{module}:branch")
    check_target(target, target.config, Wishes(try_fixes=True))
    assert target.config.guard_policy is GuardPolicy.CHECK
