"""Every view on one page and in one text: whole, passive, and with what was found out."""

from __future__ import annotations

from explorer import SizeRange
from explorer.compilation import Compilation
from explorer.report.whole import Found, whole_page, whole_text
from explorer.session import session_of
from explorer.trying import try_size
from sample_models import branching
from tests.hostile_reading import Page, assert_clean

VIEWS = ("Sizes", "Dedupe", "Ranges", "Replay", "Store")


def test_a_page_has_every_view_of_a_compilation(toy: Compilation) -> None:
    page = whole_page(toy)
    Page(page)
    for view in (*VIEWS, "The model's code", "All nodes"):
        assert f"<h2>{view.replace(chr(39), '&#x27;')}</h2>" in page
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert "<script" not in page


def test_a_text_has_every_view_of_a_compilation(toy: Compilation) -> None:
    text = whole_text(toy)
    assert_clean(text)
    for view in ("Summary", "Pieces", *VIEWS, "Source", "Graph"):
        assert f"== {view} ==" in text
    assert "A ▨ (B ▨)×11 C" in text


def test_what_was_found_out_is_on_the_page_and_in_the_text() -> None:
    target = branching.sample()
    session = session_of(target, target.compilation_config().replace(backend="eager"))
    compilation = session.update()
    found = Found(
        diagnosis=compilation.diagnose(SizeRange(1, 64)), trials=(try_size(session, {"n": 4}),)
    )
    assert "wrong at 4 (1 size)" in whole_text(compilation, found)
    page = whole_page(compilation, found)
    Page(page)
    assert "n = 4" in page
    assert "CHECK refused the call" in page


def test_hostile_names_are_text_on_the_page(hostile: Compilation) -> None:
    Page(whole_page(hostile))
    assert_clean(whole_text(hostile))
