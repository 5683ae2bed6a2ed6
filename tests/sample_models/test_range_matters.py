"""range_matters: what its sentence says of the code that Inductor writes for each range."""

from __future__ import annotations

import re

import pytest

from explorer import Compilation, SizeRange, StoreConfig
from explorer.comparison import compare_with_eager
from explorer.session import Session, session_of
from sample_models import range_matters, toy_llama

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session() -> Session:
    target = range_matters.sample()
    config = target.compilation_config().replace(store=StoreConfig(enabled=False))
    session = session_of(target, config)
    session.update()
    return session


@pytest.fixture
def compilation(session: Session) -> Compilation:
    return session.compilation


def test_only_the_piece_that_sums_gets_other_code(compilation: Compilation) -> None:
    lower, upper = SizeRange(1, 4096), SizeRange(4097, 16384)
    same, other = compilation.explain_ranges()
    assert [(each.first, each.second) for each in (same, other)] == [(lower, upper)] * 2
    assert (same.unique_id, same.is_same, same.diff) == ("A", True, "")
    assert (other.unique_id, other.is_same) == ("B", False)
    assert "4096" in range_matters.sample().shows
    in_first = [line for line in other.diff.splitlines() if re.match(r"-(?!-- )", line)]
    in_second = [line for line in other.diff.splitlines() if re.match(r"\+(?!\+\+ )", line)]
    assert not any("ascade" in line for line in in_first)
    assert any("cascade_sum_combine" in line for line in in_second)
    assert other.changed_lines == (len(in_first), len(in_second))
    assert compilation.explain_ranges("B") == (other,)


def test_the_report_says_both(compilation: Compilation) -> None:
    assert "piece A: the code for 1–4096 and 4097–16384 is the same" in compilation.summary()
    assert "piece B: the code for 1–4096 and 4097–16384 differs, in" in compilation.summary()


def test_both_ranges_give_what_eager_gives(session: Session) -> None:
    checks = compare_with_eager(session, [{"n": size} for size in (1, 4096, 4097, 8000)])
    assert [check.outcome.value for check in checks] == ["equal"] * 4


def test_the_toy_llama_gets_the_same_code_for_every_range() -> None:
    target = toy_llama.sample(layers=2)
    config = target.compilation_config().replace(store=StoreConfig(enabled=False))
    compilation = session_of(target, config).update()
    found = compilation.explain_ranges()
    assert [(each.unique_id, each.is_same) for each in found] == [
        ("A", True),
        ("B", True),
        ("C", True),
    ]
    assert "piece B: the code for 1–32 and 33–2048 is the same" in compilation.summary()
