"""What stands in the panel's text boxes, as settings of a session, and back. Nothing is evaluated.

8, 64                          ->  endpoints of ranges
16 64 cudagraph_capture_sizes  ->  exact sizes
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from explorer import ConfigError
from explorer.config import CAPTURE_SIZES
from explorer.report.wording import label_of

LONGEST_TEXT = 10_000
"""Characters that a box may hold."""


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise ConfigError(
            f"The text has {len(text):,} characters, more than {LONGEST_TEXT:,}: shorten it."
        )


def named_dims(wanted: Any) -> dict[Any, str | None]:
    """One entry of ``dynamic_arg_dims``, a dim, a list of dims or {dim: name}, as dim -> name."""
    if isinstance(wanted, Mapping):
        return {dim: getattr(name, "__name__", name) for dim, name in wanted.items()}
    return dict.fromkeys(wanted if isinstance(wanted, list | tuple) else (wanted,))


def parse_endpoints(text: str) -> tuple[int, ...]:
    """``8, 64`` as the last size of each range but the last.

    Raises:
        ConfigError: one sentence that quotes what is no size.
    """
    return tuple(
        _size(word, "write the last size of each range, as in 8, 64") for word in _words(text)
    )


def parse_compile_sizes(text: str) -> tuple[int | str, ...]:
    """``16 64 cudagraph_capture_sizes`` as ``compile_sizes``.

    Raises:
        ConfigError: one sentence that quotes what is no size.
    """
    hint = f"write sizes, as in 16 64, or {CAPTURE_SIZES}"
    return tuple(word if word == CAPTURE_SIZES else _size(word, hint) for word in _words(text))


def parse_max_size(text: str) -> int:
    """``8192`` as ``max_size``.

    Raises:
        ConfigError: one sentence that quotes what is no size.
    """
    words = _words(text)
    hint = "write the largest size that is served, as in 8192"
    if len(words) != 1:
        raise ConfigError(f"max holds {len(words)} sizes: {hint}.")
    return _size(words[0], hint)


def parse_sizes(text: str) -> tuple[int, ...]:
    """``1 16 64`` as sizes to measure.

    Raises:
        ConfigError: one sentence that quotes what is no size.
    """
    return tuple(_size(word, "write sizes, as in 1 16 64") for word in _words(text))


def numbers_text(values: Iterable[int | str]) -> str:
    """Endpoints or sizes as a text that is read back as the same."""
    return ", ".join(map(str, values))


def _words(text: str) -> list[str]:
    _check_length(text)
    return [word for word in re.split(r"[\s,]+", text) if word]


def _size(word: str, hint: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", word):
        raise ConfigError(f"{label_of(word, 24)!r} is no size: {hint}.")
    return int(word)
