"""What a person sees and does in the guards view, on a bare page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from explorer import Compilation, Diagnosis, GuardPolicy, Session
from explorer.report.selection import Links
from explorer.session import session_of
from explorer.trying import try_size
from sample_models import branching
from tests.browser.stage import Stage
from widgets.guard_view import GuardView

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

WRONG = ".pwx-segment[data-first='4']"
EVIL = '<img src=x onerror="window.evil=1">\u202e'


def opened(branch: str, policy: GuardPolicy = GuardPolicy.CHECK) -> Session:
    target = branching.sample(branch)
    settings = {"backend": "eager", "guard_policy": policy}
    return session_of(target, target.compilation_config().replace(**settings))


@pytest.fixture(scope="module")
def session() -> Session:
    return opened("equal")


@pytest.fixture(scope="module")
def compilation(session: Session) -> Compilation:
    return session.compilation


@pytest.fixture(scope="module")
def diagnosis(compilation: Compilation) -> Diagnosis:
    return compilation.diagnose(try_fixes=True)


@pytest.fixture
def widget(compilation: Compilation, diagnosis: Diagnosis) -> GuardView:
    view = GuardView()
    view.show(compilation, diagnosis)
    return view


def background(page: Any, selector: str) -> str:
    return page.evaluate(
        "(selector) => getComputedStyle(document.querySelector(selector)).fill", selector
    )


def assert_nothing_is_cut_off(page: Any) -> None:
    """No text runs out of the view, and none out of its own box."""
    wide = page.evaluate("""() => {
        const all = document.querySelector("#stage"), limit = all.getBoundingClientRect().right + 1;
        return [...all.querySelectorAll("*")].filter((each) => {
            const box = each.getBoundingClientRect();
            const scrolls = each.closest("pre, .pwx-scroll");
            return !scrolls && box.width && (box.right > limit
                || (each.scrollWidth > each.clientWidth + 1 && each.clientWidth
                    && !["INPUT", "SPAN", "SUMMARY", "CODE"].includes(each.tagName)));
        }).map((each) => `${each.tagName}.${each.getAttribute("class")}`);
    }""")
    assert wide == []


def test_the_axis_shows_the_wrong_size_in_colour_pattern_and_words(
    stage: Callable[..., Stage], widget: GuardView
) -> None:
    shown = stage(widget)
    page = shown.page
    wrong = page.locator(WRONG)
    assert wrong.get_attribute("aria-label") == widget.view["axes"][0]["segments"][2]["text"]
    wrong.hover()
    said = page.locator(".pwx-said").first.inner_text()
    assert said.startswith("n = 4 (1 size): wrong: n != 4 does not hold")
    assert said.endswith("A call raises GuardViolation.")
    red = background(page, ".pwx-axis .pwx-state-wrong")
    green = background(page, ".pwx-axis .pwx-state-right")
    assert red != green and "none" not in (red, green)
    assert page.locator(".pwx-axis .pwx-sign").all_text_contents().count("✗") == 1
    assert "wrong at 4 (1 size)" in page.locator(".pwx-lead").inner_text()
    assert shown.errors == []


def test_a_click_on_a_size_fills_the_box_and_a_try_is_asked_for(
    stage: Callable[..., Stage], widget: GuardView
) -> None:
    shown = stage(widget)
    page = shown.page
    page.locator(WRONG).click()
    box = page.get_by_label("n", exact=True)
    assert box.input_value() == "4"
    assert page.locator(".pwx-tried").count() == 1
    page.get_by_role("button", name="Try", exact=True).click()
    assert shown.sent == [{"intent": "try", "sizes": {"n": 4}}]
    box.fill("four")
    box.press("Enter")
    assert "must be a whole number" in page.locator("form [role=alert]").inner_text()
    box.fill("60")
    box.press("Enter")
    assert shown.sent[1:] == [{"intent": "try", "sizes": {"n": 60}}]
    assert page.locator("form [role=alert]").inner_text() == ""


def test_a_result_stands_beside_the_model_and_earlier_ones_can_be_looked_at_again(
    stage: Callable[..., Stage], widget: GuardView, session: Session
) -> None:
    shown = stage(widget)
    page = shown.page
    assert "Nothing was tried yet" in page.locator(".pwx-part-boxes").inner_text()
    for size in (6, 4):
        widget.set_trial(try_size(session, {"n": size}))
    shown.set("trials", widget.trials)
    columns = page.locator(".pwx-column")
    assert columns.count() == 3
    assert columns.nth(0).inner_text().startswith("model as it is")
    assert "holds only where n != 4" in columns.nth(1).inner_text()
    assert "differs in 32 of 32 elements" in columns.nth(2).inner_text()
    assert "n = 4: refused" in page.locator(".pwx-outcome").inner_text()
    page.get_by_role("button", name="n = 6: equal").click()
    assert "n = 6: equal" in page.locator(".pwx-outcome").inner_text()
    assert columns.count() == 2


def test_before_the_audit_it_says_so_and_asks_for_it(
    stage: Callable[..., Stage], compilation: Compilation, diagnosis: Diagnosis
) -> None:
    widget = GuardView()
    widget.show(compilation)
    shown = stage(widget)
    page = shown.page
    assert "The audit was not run" in page.locator(".pwx-lead").inner_text()
    assert page.get_by_text("n != 4").is_visible()
    box = page.get_by_label("Sizes to audit or cover")
    assert box.input_value() == "1-64"
    box.fill("n=1-16")
    page.get_by_role("button", name="Audit these sizes").click()
    assert shown.sent == [{"intent": "audit", "domain": "n=1-16"}]
    widget.set_diagnosis(diagnosis)
    shown.set("view", widget.view)
    assert page.locator(WRONG).count() == 1
    assert page.get_by_text("Audit again").is_visible()


def test_while_something_runs_buttons_wait_and_a_problem_is_said_at_once(
    stage: Callable[..., Stage], widget: GuardView
) -> None:
    shown = stage(widget)
    page = shown.page
    assert page.get_by_role("alert").first.is_hidden()
    shown.set("busy", "trying n = 4")
    assert "trying n = 4" in page.get_by_role("status").first.inner_text()
    for name in ("Try", "Audit these sizes"):
        assert page.get_by_role("button", name=name, exact=True).is_disabled()
    page.get_by_label("n", exact=True).press("Enter")
    assert shown.sent == []
    shown.set("busy", "")
    shown.set("problem", EVIL)
    assert page.get_by_role("button", name="Try", exact=True).is_enabled()
    assert page.get_by_role("button", name="Cover").is_disabled(), "the policy is CHECK"
    assert page.locator(".pwx-part-problem").inner_text().startswith("⚠ <img src=x")


def test_what_was_covered_appears_below_the_axis(stage: Callable[..., Stage]) -> None:
    session = opened("equal", GuardPolicy.VARIANTS)
    widget = GuardView()
    widget.show(session.compilation, session.compilation.diagnose())
    shown = stage(widget)
    page = shown.page
    assert page.locator(".pwx-region").count() == 0
    page.get_by_role("button", name="Cover").click()
    assert shown.sent == [{"intent": "cover", "domain": "1-64"}]
    widget.set_coverage(session.model().cover())
    shown.set("coverage", widget.coverage)
    assert page.locator(".pwx-region").count() == 3
    assert page.locator(".pwx-region text").all_text_contents() == ["#0", "#1", "#0"]
    colours = {background(page, f".pwx-region.pwx-colour{number} rect") for number in (0, 1)}
    assert len(colours) == 2
    assert "Graph #1, captured at n = 4, serves 4" in page.locator(".pwx-regions").inner_text()
    page.locator(".pwx-region.pwx-colour1").hover()
    assert "Graph #1" in page.locator(".pwx-said").first.inner_text()


def test_under_check_covering_says_what_it_takes(
    stage: Callable[..., Stage], widget: GuardView
) -> None:
    page = stage(widget).page
    assert (
        "guard_policy=GuardPolicy.VARIANTS"
        in page.locator("section[aria-label='Cover every size']").inner_text()
    )


def test_a_click_on_a_finding_selects_its_test_in_every_view(
    stage: Callable[..., Stage], widget: GuardView, compilation: Compilation
) -> None:
    shown = stage(widget)
    page = shown.page
    page.locator(".pwx-part-findings .pwx-code").click()
    page.locator(".pwx-part-findings .pwx-place").press("Enter")
    assert shown.sent == [{"intent": "select", "kind": "site", "key": 0}] * 2
    page.locator(".pwx-place").first.press("Escape")
    assert shown.sent[2:] == [{"intent": "select", "kind": "none", "key": None}]
    assert page.locator(".pwx-selected").count() == 0
    shown.set("selection", Links(compilation).select("guard", 0).view())
    assert page.locator(".pwx-part-findings .pwx-selected").count() == 1
    assert page.locator(".pwx-chosen").get_attribute("data-first") == "4"
    shown.set("selection", {})
    assert page.locator(".pwx-selected, .pwx-chosen").count() == 0


def test_a_selection_from_elsewhere_is_scrolled_to_and_an_own_one_is_not(
    stage: Callable[..., Stage], widget: GuardView, compilation: Compilation
) -> None:
    shown = stage(widget)
    page = shown.page
    page.set_viewport_size({"width": 1100, "height": 300})
    selected = Links(compilation).select("site", 0).view()
    shown.set("selection", selected)
    assert page.evaluate("scrollY") > 100
    page.evaluate("scrollTo(0, 0)")
    shown.set("selection", {})
    page.evaluate("document.querySelector('.pwx-part-findings .pwx-place').click()")
    page.evaluate("scrollTo(0, 0)")
    shown.set("selection", selected)
    assert page.evaluate("scrollY") == 0
    assert page.locator(".pwx-part-findings .pwx-selected").count() == 1


def test_the_keyboard_alone_is_enough(stage: Callable[..., Stage], widget: GuardView) -> None:
    shown = stage(widget)
    page = shown.page
    keys = page.keyboard
    page.get_by_text("Audit again").focus()
    keys.press("Tab")
    assert page.evaluate("document.activeElement.dataset.first") == "1"
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.first") == "4"
    assert page.locator(".pwx-said").first.inner_text().startswith("n = 4 (1 size): wrong")
    keys.press("Enter")
    assert page.evaluate("document.activeElement.dataset.first") == "4", "focus stays"
    keys.press("Tab")
    assert page.evaluate("document.activeElement.value") == "4"
    keys.press("Tab")
    keys.press("Enter")
    assert shown.sent == [{"intent": "try", "sizes": {"n": 4}}]


def test_the_focus_comes_back_after_what_was_asked_for_has_run(
    stage: Callable[..., Stage], widget: GuardView, compilation: Compilation
) -> None:
    before = GuardView()
    before.show(compilation)
    shown = stage(before)
    page = shown.page
    page.get_by_text("Audit", exact=True).focus()
    page.keyboard.press("Enter")
    shown.set("busy", "auditing")
    page.wait_for_function("() => document.activeElement === document.body")
    shown.set("view", widget.view)
    shown.set("busy", "")
    assert page.evaluate("document.activeElement.textContent") == "Audit again"
    page.locator(".pwx-place").first.press("Enter")
    shown.set("selection", Links(compilation).select("site", 0).view())
    assert page.evaluate("document.activeElement.className") == "pwx-place"


def test_fixes_are_folded_with_their_change_and_stay_open(
    stage: Callable[..., Stage], widget: GuardView, session: Session
) -> None:
    shown = stage(widget)
    page = shown.page
    assert "2 work" in page.locator(".pwx-part-fixes").inner_text()
    assert page.locator(".pwx-diff").first.is_hidden()
    page.locator(".pwx-fixes summary").first.click()
    diff = page.locator(".pwx-diff").first
    assert diff.is_visible()
    assert "+        return torch.cond(" in diff.inner_text()
    shown.set("view", widget.view)
    assert page.locator(".pwx-diff").first.is_visible()


def test_fixes_are_asked_for(stage: Callable[..., Stage], compilation: Compilation) -> None:
    widget = GuardView()
    widget.show(compilation, compilation.diagnose())
    shown = stage(widget)
    shown.page.get_by_role("button", name="Try fixes").click()
    assert shown.sent == [{"intent": "fixes"}]


def test_two_dimensions_have_two_axes_and_a_map(stage: Callable[..., Stage]) -> None:
    compilation = opened("two_dims").compilation
    widget = GuardView()
    widget.show(compilation, compilation.diagnose())
    shown = stage(widget)
    page = shown.page
    assert page.locator(".pwx-axis").count() == 2
    assert page.get_by_text("nx = 1–64, at ny = 5 as in the example").is_visible()
    page.locator(".pwx-map").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    assert page.locator(".pwx-said").last.inner_text() == "nx = 3, ny = 2: right."
    page.keyboard.press("Enter")
    assert page.get_by_label("nx", exact=True).input_value() == "3"
    assert page.get_by_label("ny", exact=True).input_value() == "2"
    page.get_by_role("button", name="Try", exact=True).click()
    assert shown.sent == [{"intent": "try", "sizes": {"nx": 3, "ny": 2}}]
    assert shown.errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [700, 1000, 1400])
def test_nothing_is_cut_off(
    stage: Callable[..., Stage], widget: GuardView, session: Session, width: int, dark: bool
) -> None:
    widget.set_trial(try_size(session, {"n": 4}))
    shown = stage(widget, width=width, dark=dark)
    for each in shown.page.locator("summary").all():
        each.click()
    assert_nothing_is_cut_off(shown.page)
    assert shown.errors == []


def test_dark_is_not_light(stage: Callable[..., Stage], widget: GuardView) -> None:
    pages = [stage(widget, dark=dark).page for dark in (False, True)]
    for selector in (".pwx-axis .pwx-state-right", ".pwx-axis text", ".pwx-mark, .pwx-label"):
        assert background(pages[0], selector) != background(pages[1], selector), selector


def test_another_width_draws_the_axis_anew(stage: Callable[..., Stage], widget: GuardView) -> None:
    page = stage(widget).page
    assert int(page.locator(".pwx-axis").get_attribute("width")) > 900
    page.evaluate("document.querySelector('#stage').style.width = '700px'")
    page.wait_for_function("() => document.querySelector('.pwx-axis').getAttribute('width') < 700")


def test_hostile_texts_are_inert(
    stage: Callable[..., Stage], compilation: Compilation, diagnosis: Diagnosis
) -> None:
    (finding,) = diagnosis.findings
    evil = dataclasses.replace(finding, frozen=EVIL, other=EVIL * 10_000)
    widget = GuardView()
    widget.show(compilation, dataclasses.replace(diagnosis, findings=(evil,), traps=(EVIL,)))
    widget.view = widget.view | {
        "inputs": [{"key": EVIL, "name": EVIL, "value": 3, "is_size": True, "text": EVIL}]
    }
    shown = stage(widget)
    page = shown.page
    assert EVIL[:20] in page.locator(".pwx-part-findings").inner_text()
    assert page.locator("img").count() == 0
    assert page.evaluate("window.evil") is None
    page.get_by_role("button", name="Try", exact=True).click()
    assert shown.sent == [{"intent": "try", "sizes": {EVIL: 3}}]
    assert shown.errors == []


def test_without_a_compilation_there_is_a_sentence(stage: Callable[..., Stage]) -> None:
    shown = stage(GuardView())
    assert "Nothing was compiled yet" in shown.page.locator("#stage").inner_text()
    shown.set("trials", [])
    shown.set("coverage", {})
    shown.set("selection", {"kind": "guard", "key": 0, "guards": [0]})
    assert shown.errors == []


def test_cleaning_up_ends_what_was_started(stage: Callable[..., Stage], widget: GuardView) -> None:
    shown = stage(widget)
    shown.page.evaluate("window.cleanUp()")
    shown.page.evaluate("document.querySelector('#stage').style.width = '700px'")
    shown.page.wait_for_timeout(100)
    assert int(shown.page.locator(".pwx-axis").get_attribute("width")) > 900
    shown.set("selection", {"kind": "guard", "key": 0, "guards": [0]})
    assert shown.page.locator(".pwx-selected").count() == 0
    assert shown.errors == []
