"""The second audit: every question of the trace asked again."""

from __future__ import annotations

import dataclasses

import numpy as np
import sympy
from torch.utils._sympy.functions import PythonMod

from explorer import SizeRange
from explorer.artifacts import Evaluation, GuardOrigin
from explorer.guards.audit import audit
from explorer.guards.replay import replay_mask
from tests.explorer.guards.brute_force import EAGER, compilation_of, sizes_in

N = sympy.Symbol("n", integer=True, positive=True)


def asked(expression, result):
    return Evaluation(expression, result, GuardOrigin.BRANCH)


def test_truth_values_and_numbers_have_to_be_the_same() -> None:
    questions = [
        asked(sympy.Gt(N, 3), True),
        asked(N * N, 25),
        asked(sympy.Gt(N, 3), True),
        asked(sympy.Symbol("s7"), 4),
    ]
    mask, count, skipped = replay_mask(questions, {N: np.arange(1, 8)}, (7,))
    assert mask.tolist() == [False, False, False, False, True, False, False]
    assert (count, skipped) == (3, 1)


def test_a_question_that_divides_by_zero_has_no_answer() -> None:
    question = asked(PythonMod(12, N - 3), 0)
    mask, _, _ = replay_mask([question], {N: np.arange(3, 8)}, (5,))
    assert mask.tolist() == [False, True, True, True, True]


def test_a_condition_that_the_list_forgot_is_shown_and_changes_nothing() -> None:
    def model(x):
        x = x * 2 if x.shape[0] > 20 else x * 3
        return x + 1 if x.shape[0] == 7 else x

    normalised = compilation_of(model, {"n": 9}).normalised
    whole = audit(normalised, EAGER, SizeRange(1, 60))
    assert whole.replay is not None
    assert whole.replay.skipped == 0
    assert whole.replay_agrees
    forgetful = dataclasses.replace(
        normalised.captured,
        guards=tuple(guard for guard in normalised.captured.guards if guard.text != "n != 7"),
    )
    found = audit(dataclasses.replace(normalised, captured=forgetful), EAGER, SizeRange(1, 60))
    assert found.valid == ((2, 20),)
    assert found.replay_agrees is False
    assert found.replay is not None
    assert found.replay.stricter == ((7, 7),)
    assert found.replay.laxer == ()
    text = " ".join(found.report().split())
    assert "answered otherwise at 1 point that the conditions accept (7)" in text
    assert "A second look" not in whole.report()


def test_what_the_conditions_reject_for_no_question_is_laxer() -> None:
    def model(x):
        return x * 2 if x.shape[0] > 20 else x * 3

    normalised = compilation_of(model, {"n": 9}).normalised
    captured = dataclasses.replace(
        normalised.captured,
        evaluations=tuple(
            each
            for each in normalised.captured.evaluations
            if each.origin is not GuardOrigin.BRANCH
        ),
    )
    assert len(captured.evaluations) > 0
    found = audit(dataclasses.replace(normalised, captured=captured), EAGER, SizeRange(1, 60))
    assert found.replay is not None
    assert sizes_in(found.replay.laxer) == list(range(21, 61))
    assert found.valid == ((2, 20),)
    nothing = dataclasses.replace(normalised.captured, evaluations=())
    silent = audit(dataclasses.replace(normalised, captured=nothing), EAGER, SizeRange(1, 60))
    assert silent.replay_agrees is None
