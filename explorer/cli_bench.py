"""``explorer bench``: its options, what it prints, and which targets it holds the times to."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ConfigError

if TYPE_CHECKING:
    from explorer.artifacts.measured import Execution, Timings
    from explorer.progress import ProgressCallback
    from explorer.session import Session

MET, MISSED = 0, 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds everything but the target."""
    parser.add_argument(
        "--sizes",
        metavar="SIZE[,SIZE]",
        help="sizes that pick a range, as 1,2,16, or by name, as n=1,n=2; default: the exact sizes "
        "and the one of the example",
    )
    parser.add_argument(
        "--stock", action="store_true", help="compile the whole model with torch.compile as well"
    )
    parser.add_argument(
        "--rounds", type=int, default=40, help="runs of each execution, at most (default: 40)"
    )
    parser.add_argument(
        "--backend", choices=("inductor", "eager"), help="instead of the one of the target"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the tables as JSON instead of text"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write a page with the pictures as well"
    )
    targets = parser.add_argument_group(
        "targets", "The exit status is 1 when one is missed at some size."
    )
    targets.add_argument(
        "--at-most-ratio-to-eager",
        type=float,
        metavar="RATIO",
        help="a call of the compiled model takes at most this much of the model as it is, as 0.9",
    )
    targets.add_argument(
        "--at-most-ratio-to-stock",
        type=float,
        metavar="RATIO",
        help="the same beside torch.compile; implies --stock",
    )
    targets.add_argument(
        "--at-most-microseconds",
        type=float,
        metavar="MICROSECONDS",
        help="a call of the compiled model takes at most this long",
    )


def check_options(options: argparse.Namespace) -> None:
    """Refuses what cannot be meant, before anything is compiled.

    Raises:
        ConfigError: naming the option.
    """
    if options.rounds < 1:
        raise ConfigError(f"--rounds {options.rounds}: there must be at least 1.")
    names = ("at_most_ratio_to_eager", "at_most_ratio_to_stock", "at_most_microseconds")
    for name in names:
        limit = getattr(options, name)
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            raise ConfigError(f"--{name.replace('_', '-')} {limit}: it must be above 0.")
    sizes_of(options.sizes)


def sizes_of(text: str | None) -> list[int | dict[str, int]] | None:
    """``1,2,16`` or ``n=1,n=2`` as sizes; None without any.

    Raises:
        ConfigError: a text of another form.
    """
    if text is None:
        return None
    found: list[int | dict[str, int]] = []
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        if not value.strip().isdecimal() or ("=" in part and not name.strip().isidentifier()):
            raise ConfigError(f"--sizes {text!r}: {part!r} is not a size, as 16 or n=16.")
        found.append({name.strip(): int(value)} if name else int(value))
    return found


def run(options: argparse.Namespace, session: Session, *, progress: ProgressCallback) -> int:
    """Measures a compiled session, prints, and returns the exit code.

    Raises:
        ExplorerError: a size that does not exist.
    """
    timings = session.measure(
        sizes_of(options.sizes),
        stock=options.stock or options.at_most_ratio_to_stock is not None,
        rounds=options.rounds,
        progress=progress,
    )
    missed = missed_targets(timings, options)
    if options.json:
        print(json.dumps(as_json(timings, missed), indent=2, allow_nan=False))
    else:
        print(timings.report(), end="")
    for sentence in missed:
        print(f"MISSED  {sentence}", file=sys.stderr if options.json else sys.stdout)
    if options.output is not None:
        from explorer.report.timings_page import write

        write(options.output, timings, missed)
        print(f"report  {options.output}", file=sys.stderr if options.json else sys.stdout)
    return MISSED if missed else MET


def missed_targets(timings: Timings, options: argparse.Namespace) -> list[str]:
    """A sentence for each target and size at which it is missed, or at which nothing was timed.

    A result that is not eager's misses every target.
    """
    from explorer.artifacts.measured import DIFFERS, Execution
    from explorer.report.timings_view import point_text

    found = [
        f"{point_text(each.sizes)}: {each.execution.value} {each.problem}"
        for each in timings.timings
        if each.problem.startswith(DIFFERS)
    ]
    if options.at_most_ratio_to_eager is not None:
        found += _ratios(timings, Execution.EAGER, options.at_most_ratio_to_eager)
    if options.at_most_ratio_to_stock is not None:
        found += _ratios(timings, Execution.STOCK, options.at_most_ratio_to_stock)
    limit = options.at_most_microseconds
    if limit is not None:
        for point, own in _by_point(timings):
            call = own.get(Execution.CALL)
            if call is None:
                found.append(f"{point}: no call was timed, so {limit:g} µs are not shown")
            elif call > limit:
                found.append(f"{point}: a call takes {call:,.0f} µs, more than {limit:g}")
    return found


def _ratios(timings: Timings, peer: Execution, limit: float) -> list[str]:
    from explorer.artifacts.measured import Execution

    found = []
    for point, own in _by_point(timings):
        if Execution.CALL not in own or peer not in own:
            found.append(f"{point}: there is no ratio to {peer.value}: not both were timed")
            continue
        ratio = own[Execution.CALL] / own[peer]
        if ratio > limit:
            found.append(f"{point}: a call takes {ratio:.2f} of {peer.value}, more than {limit:g}")
    return found


def _by_point(timings: Timings) -> list[tuple[str, dict[Execution, float]]]:
    """The sizes in words, each with the medians in microseconds."""
    from explorer.report.timings_view import point_text

    found: dict[str, dict[Execution, float]] = {}
    for each in timings.timings:
        own = found.setdefault(point_text(each.sizes), {})
        if each.is_timed:
            own[each.execution] = each.median
    return list(found.items())


def as_json(timings: Timings, missed: Sequence[str]) -> dict[str, object]:
    """The tables as plain data."""
    from explorer.report import timings_view as view

    rows = view.break_even_rows(timings)
    unbounded = ("saved_at_least_microseconds", "saved_at_most_microseconds")
    for row in rows:
        row |= {name: None for name in unbounded if not math.isfinite(row[name])}
    return {
        "name": timings.name,
        "threads": timings.threads,
        "devices": list(timings.devices),
        "timings": view.timing_rows(timings),
        "pieces": view.piece_rows(timings),
        "compile": view.compile_rows(timings),
        "break_even": rows,
        "missed": list(missed),
    }
