"""What stands in the panel's text boxes, as settings of a session, and back. Nothing is evaluated.

input_ids[0]=n, batch['ids'][1], pair[0][2]=m   ->  path -> {dim: name of the size, or None}
demo::attention, module:layers.*.self_attn       ->  tuple of names
8, 64                                            ->  endpoints of ranges
16 64 cudagraph_capture_sizes                    ->  exact sizes
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from explorer import ConfigError
from explorer.config import CAPTURE_SIZES
from explorer.report.wording import label_of

NOTHING = "none"
"""The word for "no dim is dynamic"; an empty box means dim 0 of every tensor."""

LONGEST_TEXT = 10_000
"""Characters that a box may hold."""

Dims = dict[str, dict[int, str | None]]

_NAME = re.compile(r"[^\W\d]\w*")
_DIM = re.compile(r"\[\s*(-?\d{1,6})\s*\]")
_STEP = re.compile(  # one step into a path: [0], ['ids'], ["ids"], .field
    r"""\[\s*(?:-?\d{1,6}|'[^']*'|"[^"]*")\s*\] | \.[^\W\d]\w*""", re.VERBOSE
)
_SPACE = re.compile(r"\s*")


def parse_dims(text: str) -> Dims | None:
    """The dynamic dims that a text names; None for an empty text.

    Args:
        text: entries ``path[dim]`` or ``path[dim]=name``, with commas between them.

    Raises:
        ConfigError: one sentence that quotes what cannot be read.
    """
    _check_length(text)
    if not text.strip():
        return None
    found: Dims = {}
    if text.strip() == NOTHING:
        return found
    position = _skip_space(text, 0)
    while position < len(text):
        path, dim, name, position = _entry(text, position)
        names = found.setdefault(path, {})
        if dim in names:
            raise ConfigError(f"{path}[{dim}] is given twice: keep one of the two.")
        names[dim] = name
        position = _skip_comma(text, position)
    return found


def _entry(text: str, start: int) -> tuple[str, int, str | None, int]:
    """Path, dim, name and the position after one entry."""
    name = _NAME.match(text, start)
    if name is None:
        raise ConfigError(
            f"At {_rest(text, start)} the name of an input is missing: write input[0]=n."
        )
    steps = [name[0]]
    position = name.end()
    while step := _STEP.match(text, _skip_space(text, position)):
        steps.append(step[0])
        position = step.end()
    dim = _DIM.fullmatch(steps[-1])
    path = "".join(steps[:-1])
    position = _skip_space(text, position)
    if text.startswith("[", position):
        raise ConfigError(
            f"At {_rest(text, position)} a bracket is not closed, or holds neither a number nor a "
            f"quoted key: write {''.join(steps)}[0]=n."
        )
    if dim is None:
        whole = "".join(steps)
        raise ConfigError(f"{whole} is given without a dim: write {whole}[0] or {whole}[0]=n.")
    if not text.startswith("=", position):
        return path, int(dim[1]), None, position
    position = _skip_space(text, position + 1)
    size = _NAME.match(text, position)
    if size is None:
        raise ConfigError(
            f"After {path}[{dim[1]}]= the name of a size is missing: write {path}[{dim[1]}]=n."
        )
    return path, int(dim[1]), size[0], _skip_space(text, size.end())


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _skip_comma(text: str, position: int) -> int:
    if position == len(text):
        return position
    if text[position] != ",":
        raise ConfigError(f"At {_rest(text, position)} a comma is missing.")
    return _skip_space(text, position + 1)


def _rest(text: str, position: int) -> str:
    rest = text[position:].strip()
    if not rest:
        return "the end"
    return repr(rest if len(rest) <= 24 else rest[:23] + "…")


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise ConfigError(
            f"The text has {len(text):,} characters, more than {LONGEST_TEXT:,}: shorten it."
        )


def dims_text(dims: Mapping[str, Any] | None) -> str:
    """``dynamic_arg_dims`` as text that ``parse_dims`` reads.

    Args:
        dims: path -> dim, list of dims, or {dim: name}.
    """
    if dims is None:
        return ""
    entries = []
    for path, wanted in dims.items():
        for dim, name in named_dims(wanted).items():
            entries.append(f"{path}[{dim}]" + (f"={name}" if name else ""))
    return ", ".join(entries) or NOTHING


def named_dims(wanted: Any) -> dict[Any, str | None]:
    """One entry of ``dynamic_arg_dims``, a dim, a list of dims or {dim: name}, as dim -> name."""
    if isinstance(wanted, Mapping):
        return {dim: getattr(name, "__name__", name) for dim, name in wanted.items()}
    return dict.fromkeys(wanted if isinstance(wanted, list | tuple) else (wanted,))


def parse_splitting_ops(text: str) -> tuple[str, ...]:
    """The names in a text, with commas or line ends between them; each once, in order.

    Raises:
        ConfigError: the text is too long.
    """
    _check_length(text)
    names = [name.strip() for name in re.split(r"[,\n]", text)]
    return tuple(dict.fromkeys(name for name in names if name))


def splitting_ops_text(names: tuple[str, ...]) -> str:
    """``splitting_ops`` as text that ``parse_splitting_ops`` reads."""
    return ", ".join(names)


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
