"""Calls in, how long each takes out; they take turns, so that drift falls on all of them alike.

``torch.utils.benchmark`` does the timing. Its clock measures wall time, and waits for an
accelerator where there is one: work of several threads overlaps in it, so it is not CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch.utils import benchmark

from explorer.progress import CancelToken

Call: TypeAlias = Callable[[], Any]
Clock: TypeAlias = Callable[[], float]

WALL_CLOCK: Clock = benchmark.timer
"""Seconds; with an accelerator, after its work is done."""

FEWEST_ROUNDS = 7
"""With fewer, no difference can be told."""

_TRIES = 3


def interleaved(
    calls: Mapping[str, Call],
    *,
    rounds: int = 40,
    run_seconds: float = 0.003,
    most_seconds: float = 3.0,
    clock: Clock = WALL_CLOCK,
    cancel: CancelToken | None = None,
) -> dict[str, benchmark.Measurement]:
    """Times every call once a round, in turning order, and leaves thread settings as they are.

    Args:
        calls: name -> what to time; each is called several times to warm up, and again before each
            run.
        rounds: runs of each; fewer where they would take longer than ``most_seconds``, but no fewer
            than ``FEWEST_ROUNDS``.
        run_seconds: about how long one run takes; a run is as many calls as that needs.
        most_seconds: for all rounds of one call, about.
        clock: seconds.
        cancel: looked at between rounds.

    Raises:
        Cancelled: somebody asked to stop.
    """
    threads = torch.get_num_threads()
    timers = {
        name: benchmark.Timer("call()", globals={"call": call}, timer=clock, num_threads=threads)
        for name, call in calls.items()
    }
    numbers: dict[str, int] = {}
    longest = 0.0
    for name, timer in timers.items():
        _raise_if_cancelled(cancel)
        once = min(timer.timeit(1).raw_times[0] for _ in range(_TRIES))
        numbers[name] = max(1, round(run_seconds / once))
        longest = max(longest, once * (numbers[name] + max(numbers[name] // 100, 2)))
    fitting = int(most_seconds / longest) if longest else rounds
    rounds = min(rounds, max(fitting, FEWEST_ROUNDS))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        _raise_if_cancelled(cancel)
        for name in _turned(list(calls), number):
            seconds[name] += timers[name].timeit(numbers[name]).raw_times
    return {
        name: benchmark.Measurement(
            numbers[name],
            seconds[name],
            benchmark.TaskSpec("call()", "", description=name, num_threads=threads),
        )
        for name in calls
    }


def _turned(names: list[str], number: int) -> list[str]:
    """The names in another order each round: none always comes after the same other one."""
    if not names:
        return names
    start = number % len(names)
    turned = names[start:] + names[:start]
    return turned if number % 2 == 0 else turned[::-1]


def _raise_if_cancelled(cancel: CancelToken | None) -> None:
    if cancel is not None:
        cancel.raise_if_cancelled()


__all__ = ["FEWEST_ROUNDS", "WALL_CLOCK", "Call", "Clock", "interleaved"]
