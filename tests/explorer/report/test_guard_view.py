"""The view of guards as data, as text, as HTML and as SVG."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from explorer import Compilation, Diagnosis, GuardPolicy
from explorer.artifacts.audited import AuditStatus
from explorer.report.guard_html import coverage_html, diagnosis_html, guard_html
from explorer.report.guard_results_view import coverage_view
from explorer.report.guard_svg import MARKS, axis_place, guard_axis_text, guard_svg
from explorer.report.guard_view import diagnosis_view, guard_view
from explorer.session import session_of
from explorer.trying import try_size
from sample_models import branching, toy_llama
from tests.explorer.report.conftest import HOSTILE, compiled
from tests.widgets.markup_reading import PASSIVE, Read

EVIL = '<script>alert(1)</script>"\u202e\n\x00'


@pytest.fixture(scope="module")
def diagnosis(branch: Compilation) -> Diagnosis:
    return branch.diagnose(try_fixes=True)


@pytest.fixture(scope="module")
def view(branch: Compilation, diagnosis: Diagnosis) -> dict[str, Any]:
    return guard_view(branch, diagnosis)


def passive(html: str) -> Read:
    """Read, after a check that nothing in it runs or loads anything."""
    seen = Read(html)
    assert seen.tags <= PASSIVE, seen.tags - PASSIVE
    assert not any(each.startswith("on") or each in ("src", "href") for each in seen.attributes)
    return seen


def test_the_answer_is_one_sentence(view: dict[str, Any]) -> None:
    assert view["lead"] == (
        "Right for 2-3, 5-64 (62 sizes), and 1 by a capture of its own; wrong at 4 (1 size)."
    )
    assert (view["verdict"], view["policy"], view["status"]) == (
        "wrong",
        "CHECK",
        "exact: all 64 points",
    )


def test_it_is_plain_data(view: dict[str, Any]) -> None:
    assert json.loads(json.dumps(view, allow_nan=False)) == view


def test_the_finding_says_which_side_was_frozen_and_what_the_other_one_does(
    view: dict[str, Any],
) -> None:
    (finding,) = view["findings"]
    assert finding["code"] == "if x.shape[0] == BRANCH_ROWS:"
    assert (finding["site"], finding["guards"], finding["line"][1]) == (0, [0], 69)
    text = " ".join(finding["sentences"])
    assert "was False there" in text and "it returns `projected + 1`" in text
    assert "The other side returns `projected * 2`" in text
    assert "at n = 4 output differs in 32 of 32 elements" in text
    (site,) = view["sites"]
    assert site["index"] == 0
    assert site["test"] == "x.shape[0] == BRANCH_ROWS"
    assert site["words"] == "was False in the capture; the graph keeps it as a condition"


def test_fixes_that_were_tried_come_with_their_change(view: dict[str, Any]) -> None:
    works = [each for each in view["fixes"] if each["mark"] == "ok"]
    assert [each["words"] for each in works] == ["works", "works"]
    assert "+        return torch.cond(" in works[0]["diff"]
    assert view["fixes_text"] == (
        "3 fixes tried on this model, compiled and compared with eager: 2 work."
    )
    assert not view["can_try_fixes"]


def test_before_the_audit_only_what_the_capture_recorded_is_there(branch: Compilation) -> None:
    view = guard_view(branch)
    assert view["lead"] == (
        "The audit was not run, so which sizes are wrong is not known yet. The capture recorded "
        "1 test and 1 condition on sizes."
    )
    assert [each["text"] for each in view["conditions"]] == ["n != 4"]
    assert len(view["sites"]) == 1 and view["findings"] == [] and view["fixes"] == []
    assert [each["state"] for each in view["axes"][0]["segments"]] == ["unseen"]
    assert "not audited yet" in view["axes"][0]["segments"][0]["text"]
    seen = passive(guard_html(view))
    assert "The audit was not run" in seen.text and "n != 4" in seen.text


def test_ranges_exact_sizes_and_the_example_are_ticks(toy: Compilation) -> None:
    (axis,) = guard_view(toy)["axes"]
    assert [each["text"] for each in axis["ranges"]] == ["1–8", "9–32", "33–2048"]
    assert axis["exact"] == [16, 64]
    hint = toy.captured.sizes[0].hint
    assert axis["ticks_text"] == (
        f"Compiled for ranges 1–8, 9–32, 33–2048; exact sizes 16, 64; captured at n = {hint}."
    )


def test_a_clean_graph_has_nothing_to_fix() -> None:
    compilation = compiled(toy_llama.sample(layers=1, hidden=32), max_size=64)
    view = guard_view(compilation, compilation.diagnose())
    assert view["verdict"] == "clean"
    assert view["findings"] == [] and view["fixes"] == [] and view["policy_text"] == ""
    assert view["fixes_text"].startswith("Nothing has to be fixed")


def test_a_condition_that_is_not_known_makes_no_size_right(
    branch: Compilation, diagnosis: Diagnosis
) -> None:
    audit = dataclasses.replace(
        diagnosis.audit, status=AuditStatus.UNKNOWN, unknown=(f"whether {EVIL} holds",)
    )
    view = guard_view(branch, dataclasses.replace(diagnosis, audit=audit))
    assert view["verdict"] == "unknown"
    assert "no size that is known" in view["lead"]
    (note,) = [each for each in view["notes"] if each["text"].startswith("Not known: ")]
    assert note["is_bad"]
    assert "⚠ Not known: whether <script>" in passive(guard_html(view)).text


def test_under_variants_other_sizes_are_served_by_other_graphs() -> None:
    target = branching.sample()
    config = target.compilation_config().replace(backend="eager", guard_policy=GuardPolicy.VARIANTS)
    session = session_of(target, config)
    coverage = session.model().cover()
    compilation = session.compilation
    trials = [try_size(session, {"n": 4})]
    view = guard_view(compilation, compilation.diagnose(), coverage=coverage, trials=trials)
    assert view["verdict"] == "variants"
    assert view["cover_problem"] == ""
    lane = [(each["first"], each["last"], each["label"]) for each in view["coverage"]["lane"]]
    assert lane == [(1, 3, "#0"), (4, 4, "#1"), (5, 64, "#0")]
    assert [each["text"] for each in view["coverage"]["regions"]] == [
        "Graph #0, captured at n = 6, serves 1-3, 5-64 (63 sizes).",
        "Graph #1, captured at n = 4, serves 4 (1 size).",
    ]
    assert view["trials"][0]["outcome"] == "equal"
    seen = passive(guard_html(view))
    assert "Graph #1, captured at n = 4" in seen.text and "n = 4: equal" in seen.text
    alone = passive(coverage_html(coverage))
    assert "2 graphs cover all 64 points" in alone.text and "#1" in alone.text
    assert "svg" in alone.tags
    assert coverage.report().splitlines()[1].strip() == view["coverage"]["regions"][0]["text"]
    assert coverage_view(coverage) == view["coverage"]


def test_without_variants_covering_is_not_possible_and_the_fix_is_named(
    view: dict[str, Any],
) -> None:
    assert "guard_policy=GuardPolicy.VARIANTS" in view["cover_problem"]
    assert "CHECK" in view["cover_problem"]


def test_a_trial_has_the_three_results_side_by_side(branch: Compilation) -> None:
    target = branching.sample()
    session = session_of(target, target.compilation_config().replace(backend="eager"))
    view = guard_view(branch, trials=[try_size(session, {"n": 4})])
    (trial,) = view["trials"]
    assert [each["head"] for each in trial["columns"]] == [
        "model as it is",
        "compiled",
        "graph, if nothing checked",
    ]
    assert trial["columns"][1]["has_failed"]
    assert "differs in 32 of 32 elements" in trial["columns"][2]["difference"]
    assert json.dumps(trial, allow_nan=False)


@pytest.mark.parametrize("kind", ["equal", "two_dims", "view", "modulo"])
def test_the_drawing_is_well_formed_and_has_the_facts(kind: str) -> None:
    compilation = compiled(branching.sample(kind))
    view = guard_view(compilation, compilation.diagnose())
    svg = guard_svg(view)
    root = ElementTree.fromstring(svg)
    tags = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert tags <= {"svg", "g", "path", "text", "title"}
    titles = [each.text for each in root.iter() if each.tag.endswith("title")]
    for axis in view["axes"]:
        assert {each["text"] for each in axis["segments"]} <= set(titles)
    for state in {each["state"] for axis in view["axes"] for each in axis["segments"]}:
        words = [each.text or "" for each in root.iter() if each.tag.endswith("text")]
        assert any(word.startswith(state_words(state)) for word in words), state
    passive(guard_html(view))


def state_words(state: str) -> str:
    from explorer.report.guard_axis import STATES

    return STATES[state]


def test_states_differ_by_more_than_colour(view: dict[str, Any]) -> None:
    root = ElementTree.fromstring(guard_svg(view))
    shapes = {}
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        title, *paths = list(group)
        shapes[title.text] = len(paths)
    wrong, right = view["axes"][0]["segments"][2:4]
    assert shapes[wrong["text"]] == 2, "a box and its hatch"
    assert shapes[right["text"]] == 1
    assert len(set(MARKS.values())) == len(MARKS)


def test_a_terminal_gets_the_axis_in_characters(view: dict[str, Any]) -> None:
    text = guard_axis_text(view)
    bar = next(line.strip() for line in text.splitlines() if "==" in line)
    assert len(bar) == 76 and set(bar) == {"1", "=", "X"}
    assert bar.index("X") == pytest.approx(76 * axis_place(3.5, 1, 64), abs=1)
    assert "X  n = 4 (1 size): wrong: n != 4 does not hold" in text
    assert max(map(len, text.splitlines())) < 200


def test_places_on_an_axis_ascend_from_end_to_end() -> None:
    assert axis_place(0.5, 1, 64) == 0 and axis_place(64.5, 1, 64) == 1
    places = [axis_place(size, 0, 8192) for size in range(8193)]
    assert places == sorted(places) and 0 < places[0] < places[-1] < 1


def test_a_diagnosis_and_an_audit_show_themselves(diagnosis: Diagnosis) -> None:
    seen = passive(diagnosis._repr_html_())
    assert "wrong at 4 (1 size)" in seen.text and "torch.cond" in seen.text
    assert diagnosis_html(diagnosis) == diagnosis._repr_html_()
    of_audit = passive(diagnosis.audit._repr_html_())
    assert "differs in 32 of 32 elements" in of_audit.text
    assert diagnosis.audit.diagnosis is diagnosis.audit.diagnosis, "the graph is run once"
    assert diagnosis_view(diagnosis)["axes"][0]["ranges"] == []


def test_nothing_dynamic_is_a_sentence() -> None:
    import torch

    from tests.explorer.targets import session_of as session_over

    session = session_over(lambda x: x + 1, torch.ones(6), dynamic_arg_dims={})
    compilation = session.compilation
    view = guard_view(compilation, compilation.diagnose())
    assert view["lead"] == "Nothing is dynamic: there is only the example."
    assert view["axes"] == [] and guard_svg(view) == ""
    assert guard_axis_text(view).startswith("Nothing is dynamic")
    passive(guard_html(view))


def test_hostile_texts_come_out_inert_clean_and_short(diagnosis: Diagnosis) -> None:
    (finding,) = diagnosis.findings
    (violation,) = finding.violations
    assert finding.location is not None
    place = dataclasses.replace(finding.location, text=EVIL * 500, file=f"/{EVIL}.py")
    guard = dataclasses.replace(violation.guard, text=EVIL * 100_000, location=place)
    evil = dataclasses.replace(
        finding,
        violations=(dataclasses.replace(violation, guard=guard, site=place),),
        location=place,
        frozen=EVIL,
        other=EVIL,
    )
    audit = dataclasses.replace(
        diagnosis.audit, notes=(EVIL,), guards=(guard, *diagnosis.audit.guards[1:])
    )
    trials = tuple(
        dataclasses.replace(each, text=EVIL, diff=f"+{EVIL}\n") for each in diagnosis.trials
    )
    view = diagnosis_view(
        dataclasses.replace(diagnosis, findings=(evil,), audit=audit, traps=(EVIL,), trials=trials)
    )
    assert view["findings"][0].pop("line")[0] == place.file, "a key, as Python knows the file"
    text = json.dumps(view, ensure_ascii=False)
    assert "\u202e" not in text and "\\u0000" not in text
    assert len(text) < 100_000
    seen = passive(guard_html(view))
    assert "<script>alert(1)</script>" in seen.text
    ElementTree.fromstring(guard_svg(view))


def test_hostile_names_of_modules_come_out_inert(hostile: Compilation) -> None:
    view = guard_view(hostile, hostile.diagnose())
    passive(guard_html(view))
    assert HOSTILE in json.loads(json.dumps(view))["name"]
