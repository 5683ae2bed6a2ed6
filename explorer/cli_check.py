"""``explorer check``: its options, and what it prints."""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING

from explorer.errors import ConfigError

if TYPE_CHECKING:
    from explorer.config import CompilationConfig
    from explorer.progress import ProgressCallback
    from explorer.size_range import SizeRange
    from explorer.target import CompileTarget

PASSED, FAILED = 0, 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds everything but the target."""
    parser.add_argument(
        "--domain",
        action="append",
        default=[],
        metavar="NAME=FIRST-LAST",
        help="sizes to look at, as n=1-8192; an int argument of the call can be named as well; "
        "may be repeated. Default: every dynamic size over 1 to max_size",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="WHAT",
        help="what is meant to be so: a condition ('n != 4'), an input (k, 'x.size(0)'), or "
        "file.py:LINE; may be repeated",
    )
    parser.add_argument(
        "--fix",
        metavar="TARGET",
        help="your own version of the model, to be compiled and compared with eager like a fix",
    )
    parser.add_argument(
        "--no-try", action="store_true", help="only find; do not compile and compare fixes"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON instead of text"
    )
    parser.add_argument(
        "--backend", choices=("inductor", "eager"), help="for fixes; default: that of the target"
    )


def run(
    options: argparse.Namespace,
    target: CompileTarget,
    config: CompilationConfig,
    *,
    fix: CompileTarget | None,
    progress: ProgressCallback,
) -> int:
    """Checks, prints, and returns the exit code.

    Raises:
        ExplorerError: a wrong option, or a model that cannot be captured.
    """
    from explorer.check import as_json, check_target
    from explorer.guards.diagnosis import Wishes

    wishes = Wishes(
        domain=domain_of(options.domain),
        allow=tuple(options.allow),
        try_fixes=not options.no_try,
        progress=progress,
    )
    result = check_target(target, config, wishes, fix=fix)
    print(
        json.dumps(as_json(result), indent=2, allow_nan=False) if options.json else result.report()
    )
    return PASSED if result.passed else FAILED


def domain_of(texts: list[str]) -> dict[str, SizeRange] | None:
    """``["n=1-64", "k=0-8"]`` as ranges; None without any.

    Raises:
        ConfigError: a text of another form, or a name twice.
    """
    from explorer.size_range import SizeRange

    found: dict[str, SizeRange] = {}
    for text in texts:
        parts = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*(?:-|–|\.\.)\s*(\d+)\s*", text)
        if parts is None:
            raise ConfigError(f"--domain {text!r} is not of the form NAME=FIRST-LAST, as n=1-8192.")
        if parts[1] in found:
            raise ConfigError(f"--domain names {parts[1]} twice.")
        found[parts[1]] = SizeRange(int(parts[2]), int(parts[3]))
    return found or None
