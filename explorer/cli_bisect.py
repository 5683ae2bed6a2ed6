"""``explorer bisect``: its options, and what it prints."""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING

from explorer.errors import ConfigError

if TYPE_CHECKING:
    from explorer.config import CompilationConfig
    from explorer.progress import ProgressCallback
    from explorer.target import CompileTarget

EQUAL, NOT_EQUAL = 0, 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds everything but the target."""
    parser.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="NAME=SIZE[,NAME=SIZE]",
        help="where to compare, as n=17; may be repeated. Default: the edges of the ranges, the "
        "exact sizes, where a condition turns, and some small ones",
    )
    parser.add_argument(
        "--backend", choices=("inductor", "eager"), help="of the last step; default: the target's"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON instead of text"
    )


def run(
    options: argparse.Namespace,
    target: CompileTarget,
    config: CompilationConfig,
    *,
    progress: ProgressCallback,
) -> int:
    """Walks the ladder, prints, and returns the exit code.

    Raises:
        ExplorerError: a wrong option, or inputs that do not fit.
    """
    from explorer.bisect import bisect
    from explorer.report.bisect_view import as_json, as_text

    found = bisect(target, config, sizes=sizes_of(options.size), progress=progress)
    print(json.dumps(as_json(found), indent=2, allow_nan=False) if options.json else as_text(found))
    return EQUAL if found.first is None else NOT_EQUAL


def sizes_of(texts: list[str]) -> list[dict[str, int]] | None:
    """``["n=17", "n=4,m=2"]`` as points; None without any.

    Raises:
        ConfigError: a text of another form, or a name twice in one.
    """
    found = []
    for text in texts:
        parts = [re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part) for part in text.split(",")]
        point = {part[1]: int(part[2]) for part in parts if part is not None}
        if None in parts:
            raise ConfigError(f"--size {text!r} is not of the form NAME=SIZE[,NAME=SIZE], as n=17.")
        if len(point) < len(parts):
            raise ConfigError(f"--size {text!r} names a size twice.")
        found.append(point)
    return found or None
