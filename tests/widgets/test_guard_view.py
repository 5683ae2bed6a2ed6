"""The guards widget in Python: what it holds, and what it says when somebody acts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from explorer import Compilation, GuardPolicy, Session
from explorer.session import session_of
from explorer.trying import try_size
from sample_models import branching
from widgets.domain_text import parse_domain, sizes_of
from widgets.guard_view import MOST_TRIALS, GuardView


@pytest.fixture(scope="module")
def session() -> Session:
    target = branching.sample()
    config = target.compilation_config().replace(backend="eager", guard_policy=GuardPolicy.VARIANTS)
    return session_of(target, config)


@pytest.fixture(scope="module")
def compilation(session: Session) -> Compilation:
    return session.compilation


def test_it_shows_a_compilation_before_and_after_the_audit(compilation: Compilation) -> None:
    widget = GuardView()
    assert repr(widget) == "GuardView()"
    widget.show(compilation)
    assert not widget.view["audited"]
    assert repr(widget) == "GuardView(not audited, 0 findings, 0 trials)"
    widget.set_diagnosis(compilation.diagnose())
    assert widget.view["audited"]
    assert repr(widget) == "GuardView(audited, 1 finding, 0 trials)"
    assert json.dumps(widget.get_state(["view", "trials", "coverage"]), allow_nan=False)


def test_results_are_traits_of_their_own(session: Session, compilation: Compilation) -> None:
    widget = GuardView()
    widget.show(compilation)
    before = widget.view
    for size in range(2, 3 + MOST_TRIALS):
        widget.set_trial(try_size(session, {"n": size}))
    widget.set_coverage(session.model().cover())
    assert widget.view is before
    assert [each["sizes"]["n"] for each in widget.trials] == list(range(3, 3 + MOST_TRIALS))
    assert widget.coverage["is_complete"]


def test_another_compilation_forgets_what_was_tried(
    session: Session, compilation: Compilation
) -> None:
    widget = GuardView()
    widget.show(compilation)
    widget.set_trial(try_size(session, {"n": 5}))
    widget.set_problem("no")
    widget.show(compilation, compilation.diagnose())
    assert len(widget.trials) == 1, "it is the same one"
    target = branching.sample(rows=7)
    other = session_of(target, target.compilation_config().replace(backend="eager")).compilation
    widget.show(other)
    assert (widget.trials, widget.coverage, widget.problem) == ([], {}, "")


def test_a_problem_is_one_clean_line() -> None:
    widget = GuardView()
    widget.set_problem(ValueError("a\nb\u202e" + "c" * 10_000))
    assert widget.problem.startswith("a bccc")
    assert len(widget.problem) == 2_000


def test_what_a_person_does_comes_out_as_intents_that_can_be_carried_out(
    session: Session, compilation: Compilation
) -> None:
    widget = GuardView()
    widget.show(compilation)
    assert widget.names == ("n",)

    def carry_out(view: Any, intent: Any) -> None:
        if intent["intent"] == "try":
            view.set_trial(try_size(session, sizes_of(intent["sizes"])))
        elif intent["intent"] == "audit":
            domain = parse_domain(intent["domain"], view.names)
            view.set_diagnosis(compilation.diagnose(domain))

    widget.on_intent(carry_out)
    widget.act("try", sizes={"n": 4})
    widget.act("audit", domain="1-16")
    assert widget.trials[0]["sizes_text"] == "n = 4"
    assert widget.view["axes"][0]["last"] == 16


def test_closed_it_lets_go_of_the_compilation(compilation: Compilation) -> None:
    widget = GuardView()
    widget.show(compilation)
    widget.close()
    assert widget.view == {} and widget._compilation is None
    widget.set_diagnosis(compilation.diagnose())
    assert widget.view == {}
