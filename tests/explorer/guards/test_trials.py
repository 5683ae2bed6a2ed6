"""Fixes that are tried: what they came to, and that nothing stays changed."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from explorer import CancelToken, Diagnosis
from explorer.artifacts.diagnosed import TrialOutcome
from explorer.errors import Cancelled
from explorer.guards.diagnosis import Wishes, diagnose_graph
from tests.explorer.comparing import compiled, filled
from tests.explorer.guards.diagnosing import (
    CONFIG,
    compilation_of_cell,
    diagnosis_of_cell,
    trial_of,
)

BRANCH = """
def f(x):
    if x.shape[0] == 4:
        return x * 2
    return x + 1
"""


@pytest.fixture(scope="module")
def plain() -> Diagnosis:
    return diagnosis_of_cell(BRANCH, try_fixes=True)


def test_what_helps_was_compared_where_it_has_to_help_and_where_nothing_is_wrong(
    plain: Diagnosis,
) -> None:
    outcomes = {each.fix: each.outcome for each in plain.trials}
    assert outcomes == {
        "torch.cond": TrialOutcome.WORKS,
        "variants": TrialOutcome.WORKS,
        "unbacked": TrialOutcome.LOUD,
    }
    for fix in ("torch.cond", "variants"):
        trial = trial_of(plain, fix)
        assert {each["n"] for each in trial.compared} == {1, 3, 4, 5, 6, 40}
        assert trial.mismatches == 0
    assert "2 graphs" in trial_of(plain, "variants").text


def test_the_unbacked_capture_fails_with_the_line_and_without_advice(plain: Diagnosis) -> None:
    text = trial_of(plain, "unbacked").text
    assert ":2: if x.shape[0] == 4:" in text
    assert "asks whether n == 4" in text
    assert "Use " not in text


def test_the_diff_shows_the_function_only_with_the_lines_of_the_file() -> None:
    source = f"BEFORE = 1\n\n{BRANCH.strip()}\n\nAFTER = 2\n"
    diff = trial_of(diagnosis_of_cell(source, try_fixes=True), "torch.cond").diff
    assert "BEFORE" not in diff
    assert "AFTER" not in diff
    lines = diff.splitlines()
    assert lines[2].startswith("@@ -3,4 +3,")
    assert lines[3] == " def f(x):"
    assert "-    if x.shape[0] == 4:" in lines
    assert "+    return torch.cond(x.shape[0] == 4, if_true, if_false, ())" in lines


# ------------------------------------------------------------------------------- what goes wrong


OTHER_DTYPE = """
def f(x):
    if x.shape[0] == 4:
        return x.double()
    return x + 1
"""
NO_TENSOR = """
def f(x):
    factor = 2 if x.shape[0] <= 8 else 100
    return x * factor
"""
DEMANDS = """
def f(x):
    if x.shape[0] > 7:
        return x.view(-1, 4, 3).sum(1)
    return x.view(-1, 2, 3).sum(1)
"""


def test_a_rewrite_that_torch_does_not_take_is_no_fix_and_says_why() -> None:
    trial = trial_of(diagnosis_of_cell(OTHER_DTYPE, try_fixes=True), "torch.cond")
    assert trial.outcome is TrialOutcome.FAILS
    assert ".to(torch.float32)" in trial.text
    assert "torch.cond" in trial.diff
    assert trial.compared == ()


def test_a_branch_that_is_not_rewritten_is_not_called_wrong() -> None:
    trial = trial_of(diagnosis_of_cell(NO_TENSOR, try_fixes=True), "torch.cond")
    assert trial.outcome is TrialOutcome.NOT_APPLICABLE
    assert "`2` is no tensor" in trial.text
    assert trial.diff == ""


def test_a_rewrite_that_refuses_a_size_is_no_fix_and_names_the_size() -> None:
    trial = trial_of(diagnosis_of_cell(DEMANDS, 12, try_fixes=True), "torch.cond")
    assert trial.outcome in (TrialOutcome.WRONG, TrialOutcome.FAILS)
    assert trial.outcome is TrialOutcome.FAILS or "it fails at n = " in trial.text


def test_variants_beyond_the_limit_are_no_fix() -> None:
    source = "def f(x):\n    for _ in range(x.shape[0] // 4):\n        x = x + 1\n    return x\n"
    diagnosis = diagnosis_of_cell(source, try_fixes=True, variants_limit=2)
    trial = trial_of(diagnosis, "variants")
    assert trial.outcome is TrialOutcome.WRONG
    assert "it fails at n = " in trial.text
    assert "variants_limit" in trial.text
    assert "torch.cond" not in {each.fix for each in diagnosis.trials}


def test_what_could_not_be_compared_where_the_graph_is_wrong_is_not_ok() -> None:
    source = "def f(x):\n    return x * 2 if x.shape[0] > 9000 else x + 1\n"
    diagnosis = diagnosis_of_cell(source, try_fixes=True, max_size=9010)
    assert [each.points for each in diagnosis.findings] == [10]
    for fix in ("torch.cond", "variants"):
        trial = trial_of(diagnosis, fix)
        assert trial.outcome is TrialOutcome.NOT_APPLICABLE
        assert "could not be compared where the graph is wrong" in trial.text


TWO = """
def f(x):
    x = x * 3 if x.shape[0] > 30 else x
    if x.shape[0] == 4:
        return x * 2
    return x + 1
"""


def test_what_is_allowed_need_not_be_fixed() -> None:
    compilation = compilation_of_cell(TWO)
    diagnosis = compilation.diagnose(allow=("n <= 30",), try_fixes=True)
    trial = trial_of(diagnosis, "torch.cond")
    assert trial.outcome is TrialOutcome.WORKS, trial.text
    assert {each["n"] for each in trial.compared} == {1, 3, 4, 5, 6, 30}
    assert "-    x = x * 3 if" not in trial.diff
    assert compilation.diagnose(allow=("n <= 30", "n != 4"), try_fixes=True).trials == ()


# ------------------------------------------------------------------------------- nothing stays


def helper(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] == 4:
        return x * 2
    return x + 1


class Drawing(nn.Module):
    """It counts and draws random numbers; its branch stands in another function."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.calls: torch.Tensor
        self.register_buffer("calls", torch.zeros(()))
        self.shown = "shown"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return helper(self.linear(x)) + torch.rand(())


def _state(model: nn.Module) -> dict[str, Any]:
    return {
        "code": helper.__code__,
        "forward": type(model).forward.__code__,
        "attributes": sorted(vars(model)),
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": [each.requires_grad for each in model.parameters()],
        "grad mode": torch.is_grad_enabled(),
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # type: ignore[union-attr]
        "torch": torch.get_rng_state(),
        "filters": list(warnings.filters),
    }


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[k], second[k]) for k in first)
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_nothing_stays_changed(mode: Callable[[], Any], recwarn: pytest.WarningsRecorder) -> None:
    torch.manual_seed(3)
    model = Drawing().eval()

    def make_inputs(sizes: Any) -> Any:
        warnings.warn("inputs are made", UserWarning, stacklevel=1)
        return (torch.randn(sizes["n"], 3) + random.random() + np.random.rand(),), {}

    compilation = compiled(
        model,
        filled(6, 3),
        config=CONFIG,
        dynamic_arg_dims={"x": {0: "n"}},
        make_inputs=make_inputs,
    ).compilation
    recwarn.clear()
    with mode():
        before = _state(model)
        diagnosis = compilation.diagnose(try_fixes=True)
        after = _state(model)
    assert trial_of(diagnosis, "torch.cond").outcome is not TrialOutcome.FAILS
    changed = [name for name in before if not _same(before[name], after[name])]
    assert changed == []
    assert list(recwarn) == []


def test_progress_names_each_fix_and_a_cancelled_trial_stops() -> None:
    compilation = compilation_of_cell(BRANCH)
    token, said = CancelToken(), []

    def progress(each: Any) -> None:
        said.append(each.what)
        token.cancel()

    wishes = Wishes(try_fixes=True, progress=progress, cancel=token)
    with pytest.raises(Cancelled):
        diagnose_graph(compilation.normalised, CONFIG, wishes)
    assert said == ["trying torch.cond"]
