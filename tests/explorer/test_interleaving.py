"""interleaved: times by the clock that it is given, in turning order, threads left alone."""

from __future__ import annotations

import pytest
import torch

from explorer import Cancelled, CancelToken
from explorer.interleaving import FEWEST_ROUNDS, interleaved


class FakeClock:
    """Seconds that pass only where a call says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, seconds: float):
        def run() -> None:
            self.order.append(name)
            self.now += seconds

        return run


def test_times_are_those_of_the_clock() -> None:
    clock = FakeClock()
    calls = {"a": clock.call("a", 1e-3), "b": clock.call("b", 5e-3)}
    found = interleaved(calls, rounds=10, run_seconds=3e-3, clock=clock)
    assert found["a"].times == pytest.approx([1e-3] * 10)
    assert found["b"].times == pytest.approx([5e-3] * 10)
    assert (found["a"].number_per_run, found["b"].number_per_run) == (3, 1)
    assert found["b"].median == pytest.approx(5e-3)


def test_calls_take_turns_and_none_always_follows_the_same_one() -> None:
    clock = FakeClock()
    names = ("a", "b", "c")
    interleaved(
        {name: clock.call(name, 1e-2) for name in names}, rounds=12, run_seconds=1e-2, clock=clock
    )
    runs = [each for at, each in enumerate(clock.order) if at == 0 or clock.order[at - 1] != each]
    rounds = [runs[at : at + 3] for at in range(3, len(runs) - 2, 3)]
    assert {tuple(each) for each in rounds if sorted(each) == ["a", "b", "c"]} >= {
        ("a", "b", "c"),
        ("b", "c", "a"),
    } or len({tuple(each) for each in rounds}) >= 4
    firsts = {each[0] for each in rounds}
    assert firsts == set(names)


def test_slow_calls_get_fewer_rounds_but_enough() -> None:
    clock = FakeClock()
    found = interleaved({"a": clock.call("a", 1.0)}, rounds=40, most_seconds=3.0, clock=clock)
    assert len(found["a"].times) == FEWEST_ROUNDS
    clock = FakeClock()
    found = interleaved({"a": clock.call("a", 0.1)}, rounds=40, most_seconds=3.0, clock=clock)
    assert len(found["a"].times) == 10


def test_threads_stay_as_they_are() -> None:
    before = torch.get_num_threads()
    seen: set[int] = set()
    torch.set_num_threads(2)
    try:
        interleaved({"a": lambda: seen.add(torch.get_num_threads())}, rounds=2, run_seconds=1e-6)
        assert seen == {2}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_it_stops_between_rounds() -> None:
    token, clock = CancelToken(), FakeClock()
    slow = clock.call("a", 1.0)

    def call() -> None:
        slow()
        if len(clock.order) == 15:
            token.cancel()

    with pytest.raises(Cancelled):
        interleaved({"a": call}, rounds=40, clock=clock, cancel=token)
    assert len(clock.order) < 20


def test_nothing_to_time_is_no_error() -> None:
    assert interleaved({}) == {}
