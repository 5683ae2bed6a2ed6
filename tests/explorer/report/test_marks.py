"""What the strip warns of: dropped conditions at their pieces, and how many sizes are wrong."""

from __future__ import annotations

from collections.abc import Callable

from explorer import GuardPolicy, SizeRange
from explorer.compilation import Compilation
from explorer.report.marks import guard_warning, piece_marks
from sample_models import branching


def test_a_checked_condition_is_no_mark_and_a_dropped_one_is(
    branch: Compilation, compile_target: Callable[..., Compilation]
) -> None:
    assert piece_marks(branch) == {}
    assert guard_warning(branch, None) == ""
    dropped = compile_target(branching.sample(), guard_policy=GuardPolicy.DROP)
    ((index, text),) = piece_marks(dropped).items()
    assert index == 0
    assert text.startswith("not checked at run time: ")
    assert "branching.py:" in text
    assert guard_warning(dropped, None) == "guards: 1 condition not checked at run time"


def test_an_audit_says_how_many_sizes_are_wrong(branch: Compilation) -> None:
    diagnosis = branch.diagnose(SizeRange(1, 64))
    assert guard_warning(branch, diagnosis) == "guards: 1 line, 1 of 64 sizes wrong"
    right = branch.diagnose(SizeRange(5, 64))
    assert guard_warning(branch, right) == ""


def test_a_model_without_branches_warns_of_nothing(toy: Compilation) -> None:
    assert piece_marks(toy) == {}
