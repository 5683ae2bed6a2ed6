"""What an author allows in, what of a diagnosis it stands for out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from explorer.artifacts import BranchSite, SourceLocation, Specialization
from explorer.artifacts.audited import Violation
from explorer.guards.places import source_between
from explorer.guards.whole_tests import place_of_test


def names_of_test(
    violations: Iterable[Violation], site: BranchSite | None, location: SourceLocation | None
) -> set[str]:
    """What a finding may be called: its condition, its test, what it reads, its line."""
    names = names_of_place(location)
    for each in violations:
        names |= {each.guard.text, *each.guard.sources}
    if site is not None:
        names |= {site.text, source_between(place_of_test(site.location))}
    return names


def names_of_input(each: Specialization) -> set[str]:
    """What an input that became a constant may be called."""
    return {each.source, f"{each.source} == {each.value}"} | names_of_place(each.location)


def names_of_place(location: SourceLocation | None) -> set[str]:
    """``lab/nets/model.py:3`` by its ends: ``model.py:3``, ``nets/model.py:3`` ..."""
    if location is None:
        return set()
    parts = str(location).split("/")
    return {"/".join(parts[number:]) for number in range(len(parts))}


def matching(names: set[str], allow: Sequence[str]) -> list[str]:
    """The allowed things that are among some names; white space does not count."""
    plain = {_plain(name) for name in names}
    return [token for token in allow if _plain(token) in plain]


def _plain(text: str) -> str:
    return "".join(text.split())
