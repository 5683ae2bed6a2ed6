"""What stands in a box for sizes, as the domain of an audit. Nothing is evaluated.

1-64               ->  {n: 1..64}, where there is one size
n=1-64, k=0-8      ->  a range for each name
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from explorer import ConfigError, SizeRange
from explorer.report.wording import clean, listed, shortened
from widgets.settings_text import LONGEST_TEXT

_ENTRY = re.compile(
    r"\s*(?:([^\W\d]\w*)\s*=)?\s*([0-9]{1,9})\s*(?:(?:-|–|\.\.)\s*([0-9]{1,9})\s*)?"
)


def parse_domain(text: str, names: Sequence[str]) -> dict[str, SizeRange] | None:
    """The sizes that a text names; None for an empty text, which leaves the choice to the audit.

    Args:
        text: entries ``name=first-last`` or ``name=size``, with commas between them; the name may
            be left out where there is one.
        names: that may occur.

    Raises:
        ConfigError: one sentence that quotes what cannot be read.
    """
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"The text has {len(text):,} characters, more than {LONGEST_TEXT:,}.")
    found: dict[str, SizeRange] = {}
    for entry in text.split(",") if text.strip() else ():
        name, sizes = _entry(entry, names)
        if name in found:
            raise ConfigError(f"{name} is given twice: keep one of the two.")
        found[name] = sizes
    return found or None


def _entry(entry: str, names: Sequence[str]) -> tuple[str, SizeRange]:
    parts = _ENTRY.fullmatch(entry)
    form = f"{names[0]}=1-64" if names else "n=1-64"
    if parts is None:
        shown = shortened(clean(entry.strip()), 40)
        raise ConfigError(f"{shown!r} is no range of sizes: write {form}.")
    known = listed([clean(each) for each in names], 8) or "none: nothing varies"
    name = parts[1]
    if name is None:
        if len(names) != 1:
            raise ConfigError(f"A name is missing before {entry.strip()}: the names are {known}.")
        name = names[0]
    if name not in names:
        raise ConfigError(f"There is no size named {clean(name)}; the names are {known}.")
    first, last = int(parts[2]), int(parts[3] or parts[2])
    if last < first:
        raise ConfigError(f"{name}={first}-{last} is empty: write the smaller size first.")
    return name, SizeRange(first, last)


def sizes_of(given: Any) -> dict[str, int]:
    """The sizes that an intent of a view names.

    Args:
        given: whatever came.

    Raises:
        ConfigError: it is no mapping of names to whole numbers.
    """
    if not isinstance(given, Mapping):
        raise ConfigError("Sizes to try are names with numbers, such as n = 4.")
    for name, value in given.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(
                f"{shortened(clean(name), 80)} must be a whole number, not "
                f"{shortened(clean(repr(value)), 80)}."
            )
    return dict(given)


__all__ = ["parse_domain", "sizes_of"]
