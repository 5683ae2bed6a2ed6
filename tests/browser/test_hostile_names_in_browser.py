"""Exported pages with every hostile name in them, in a real browser: nothing runs or is loaded.

Each page is opened as it is, and again without its content policy, which must not be what saves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from explorer.compilation import Compilation
from explorer.report.markup import bullets, code_block, details, letter
from explorer.session import Session, session_of
from tests import hostile_outputs as outputs
from tests.hostile_names import FIRED, PAYLOADS, hostile_target

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

EVERYTHING = "".join(PAYLOADS.values())

WATCH = f"""
window.fired = [];
window.{FIRED.removesuffix("()")} = () => window.fired.push("a handler");
for (const name of ["alert", "confirm", "prompt", "open", "print"])
    window[name] = () => window.fired.push(name);
document.addEventListener("securitypolicyviolation", (event) =>
    window.fired.push(`the policy held ${{event.violatedDirective}} back`));
window.addEventListener("error", (event) => window.fired.push("an error"), true);
"""
"""Run in a page before anything else: what happens that should not is put down in ``fired``."""


def watch(page: Any) -> list[str]:
    """Puts down requests, dialogs, windows and navigations of a page from now on."""
    happened: list[str] = []
    page.add_init_script(WATCH)
    page.on("request", lambda request: happened.append(f"request {request.url}"))
    page.on("dialog", lambda dialog: (happened.append("dialog"), dialog.dismiss()))
    page.on("popup", lambda _: happened.append("a window"))
    page.on("download", lambda _: happened.append("a download"))
    page.on("pageerror", lambda error: happened.append(f"error {error}"))
    page.on("framenavigated", lambda frame: happened.append(f"went to {frame.url}"))
    return happened


def provoke(page: Any) -> None:
    """Opens all that opens, and touches every element with pointer and focus."""
    page.evaluate(
        """() => {
            for (const each of document.querySelectorAll("details")) each.open = true;
            for (const each of document.querySelectorAll("body *")) {
                for (const kind of ["mouseover", "pointerenter", "focus", "animationstart"])
                    each.dispatchEvent(new Event(kind, {bubbles: true}));
                each.focus?.();
            }
        }"""
    )
    page.wait_for_timeout(300)


@pytest.fixture(scope="module")
def session() -> Session:
    target = hostile_target(comment=EVERYTHING, file=EVERYTHING[:200], name=EVERYTHING)
    config = target.compilation_config().replace(backend="eager", max_size=64)
    return session_of(target, config)


@pytest.fixture(scope="module")
def compilation(session: Session) -> Compilation:
    return session.update()


@pytest.fixture(scope="module")
def pages(compilation: Compilation, session: Session) -> dict[str, str]:
    """Id -> a whole page."""
    parts = "".join(
        letter(each, 0, each) + details(each, code_block(each)) + bullets([each])
        for each in PAYLOADS.values()
    )
    error = ValueError(EVERYTHING)
    found = {
        "report": outputs.pages(compilation, EVERYTHING)["page"],
        "timings": outputs.of_timings(session.measure([3], rounds=1, pieces=False))["page"],
        "parts": _page(parts),
    }
    for name, made in outputs.fragments(compilation, error).items():
        found[name] = _page(made)
    for name, picture in outputs.pictures(compilation).items():
        found[f"picture {name}"] = _page(picture.svg or "")
    return found


def _page(body: str) -> str:
    return f"<!DOCTYPE html><html><head><meta charset=utf-8></head><body>{body}</body></html>"


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Callable[[str], tuple[Any, list[str]]]]:
    """opened(html) -> the page, read from a file, and what happened in it."""
    made: list[Any] = []

    def show(html: str) -> tuple[Any, list[str]]:
        file = tmp_path / f"{len(made)}.html"
        file.write_text(html, encoding="utf-8")
        page = chromium.new_page()
        made.append(page)
        happened = watch(page)
        page.goto(file.as_uri())
        for own in (f"request {file.as_uri()}", f"went to {file.as_uri()}"):
            happened.remove(own)
        return page, happened

    yield show
    for page in made:
        page.close()


NAMES = ("report", "timings", "parts", "fragment", "show", "strip", "table", "account")
NAMES += ("picture pieces", "picture body A")


@pytest.mark.parametrize("has_policy", [True, False], ids=["policy", "no policy"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_happens_on_a_page_of_hostile_names(
    name: str, has_policy: bool, pages: dict[str, str], opened: Any
) -> None:
    html = pages[name]
    if not has_policy:
        html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
        assert "Content-Security-Policy" not in html.partition("</head>")[0]
    page, happened = opened(html)
    provoke(page)
    assert page.evaluate("window.fired") == []
    assert happened == []
    forbidden = "script, iframe, object, embed, link, base, form, input, a:not([href^='#'])"
    assert page.locator(forbidden).count() == 0


def test_names_are_seen_as_they_are_written(pages: dict[str, str], opened: Any) -> None:
    page, _ = opened(pages["report"])
    seen = page.evaluate("document.body.textContent")
    for each in ("title-end", "script", "svg", "iframe", "json-script", "template-double"):
        assert PAYLOADS[each] in seen, each


def test_the_watch_sees_what_happens(opened: Any) -> None:
    """Without this a page that is not watched would pass, too."""
    for each in ("image", "script", "svg", "iframe", "form", "details-toggle"):
        page, happened = opened(_page(PAYLOADS[each]))
        provoke(page)
        assert page.evaluate("window.fired") or happened, each
