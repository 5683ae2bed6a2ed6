"""docs/concepts.md: its blocks print what stands below them, and each word is explained once."""

from __future__ import annotations

import re
from pathlib import Path

import explorer
from explorer.pipeline import STEPS
from tests.docs_pages.pages import PageRunner, sections_of, steps_of, text_of

PAGE = text_of("concepts.md")

TERMS = """
capture, dynamic dim, static, symbol, guard, branch site, specialization, normalise, splitting op,
piece, cut, unique piece, size range, exact size, artifact, backend, store, plan,
stitching function, dispatch size, policy, variant, audit, replay, CUDA graph, capture sizes
"""


def test_blocks_print_what_the_page_shows(folder: Path) -> None:
    runner = PageRunner(folder, {})
    steps = steps_of(PAGE)
    for step in steps:
        runner.assert_shows(step)
    assert sum(step.shown is not None for step in steps) == 9


def test_every_term_is_introduced_once() -> None:
    introduced = [each.lower() for each in re.findall(r"\*\*([^*]+)\*\*", PAGE)]
    terms = [" ".join(each.split()).lower() for each in TERMS.split(",")]
    assert sorted(introduced) == sorted(terms)


def test_sections_are_the_steps_of_the_pipeline() -> None:
    headings = [heading for heading in sections_of(PAGE) if heading]
    assert [heading.split()[1].lower() for heading in headings] == [*STEPS]


def test_policies_on_the_page_are_those_there_are() -> None:
    run = sections_of(PAGE)["7. Run"]
    assert set(re.findall(r"`([A-Z]+)`\s(?:raises|captures|runs)", run)) == {
        each.name for each in explorer.GuardPolicy
    }
