from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

from explorer import CancelToken, forked
from widgets.background import Background, end_threads

SECONDS = 10.0


class Job:
    """Runs until the test lets it end, and notes that it was asked to stop."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.was_cancelled: bool | None = None

    def __call__(self, token: CancelToken) -> None:
        self.began.set()
        assert self.may_end.wait(SECONDS)
        self.was_cancelled = token.is_cancelled


def test_a_newer_job_makes_the_running_one_stop_and_replaces_the_waiting_one() -> None:
    jobs = Background()
    first, second, third = Job(), Job(), Job()
    jobs.start(first)
    assert first.began.wait(SECONDS)
    jobs.start(second)
    jobs.start(third)
    for job in (first, second, third):
        job.may_end.set()
    assert jobs.wait(SECONDS)
    assert (first.was_cancelled, third.was_cancelled) == (True, False)
    assert not second.began.is_set()


def test_a_follower_waits_its_turn() -> None:
    jobs = Background()
    job, order = Job(), []
    jobs.start(job)
    jobs.follow(lambda _token: order.append(job.was_cancelled))
    assert not jobs.wait(0.05)
    job.may_end.set()
    assert jobs.wait(SECONDS)
    assert order == [False]


def test_cancel_reaches_the_running_job_and_drops_the_rest() -> None:
    jobs = Background()
    job, dropped = Job(), Job()
    jobs.start(job)
    assert job.began.wait(SECONDS)
    jobs.follow(dropped)
    jobs.cancel()
    job.may_end.set()
    assert jobs.wait(SECONDS)
    assert job.was_cancelled is True
    assert not dropped.began.is_set()


def test_a_job_that_fails_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_token: CancelToken) -> None:
        raise ZeroDivisionError

    jobs = Background()
    ran = threading.Event()
    with caplog.at_level(logging.ERROR):
        jobs.start(fail)
        jobs.wait(SECONDS)
        jobs.start(lambda _token: ran.set())
        assert jobs.wait(SECONDS)
    assert ran.is_set()
    assert "ZeroDivisionError" in caplog.text


def test_the_thread_ends_when_there_is_nothing_to_do() -> None:
    before = threading.active_count()
    jobs = Background()
    jobs.start(lambda _token: None)
    assert jobs.wait(SECONDS)
    for thread in threading.enumerate():
        if thread.name == "panel":
            thread.join(SECONDS)
    assert threading.active_count() <= before


def test_queued_jobs_run_one_after_the_other_and_a_cancel_drops_those_that_wait() -> None:
    jobs = Background()
    order: list[str] = []
    first, last = Job(), Job()
    jobs.queue(first)
    jobs.queue(lambda _token: order.append("second"))
    jobs.queue(lambda _token: order.append("third"))
    first.may_end.set()
    assert jobs.wait(SECONDS)
    assert first.was_cancelled is False
    assert order == ["second", "third"]
    jobs.queue(last)
    assert last.began.wait(SECONDS)
    jobs.queue(lambda _token: order.append("never"))
    jobs.cancel()
    last.may_end.set()
    assert jobs.wait(SECONDS)
    assert last.was_cancelled is True
    assert order == ["second", "third"]


# ----------------------------------------------------------------------------- the end of a process


def test_threads_are_ended_with_their_jobs_cancelled_and_those_that_follow_as_well() -> None:
    first, second = Background(), Background()
    followers = [Job(), Job()]
    begun, seen = threading.Event(), []

    def until_cancelled(token: CancelToken) -> None:
        begun.set()
        while not token.is_cancelled:
            pass
        seen.append("cancelled")
        second.start(followers[0])  # the end of one job begins another
        followers[0].may_end.set()

    first.start(until_cancelled)
    first.follow(followers[1])
    assert begun.wait(SECONDS)
    assert end_threads(SECONDS)
    assert seen == ["cancelled"]
    assert not followers[1].began.is_set()
    assert [each.name for each in threading.enumerate() if each.name == "panel"] == []


def test_a_thread_that_does_not_stop_is_waited_for_no_longer_than_said() -> None:
    jobs, stuck = Background(), Job()
    jobs.start(stuck)
    assert stuck.began.wait(SECONDS)
    assert not end_threads(0.05)
    stuck.may_end.set()
    assert end_threads(SECONDS)
    assert stuck.was_cancelled is True


@pytest.mark.skipif(not forked.can_fork(), reason="processes are forked on Linux only")
def test_a_forked_process_has_no_threads_to_wait_for() -> None:
    jobs, stuck = Background(), Job()
    jobs.start(stuck)
    assert stuck.began.wait(SECONDS)
    child = forked.fork(lambda connection: connection.send(end_threads(2 * SECONDS)))
    try:
        assert child.connection.poll(SECONDS)
        assert child.connection.recv() is True
    finally:
        child.end()
        stuck.may_end.set()
    assert jobs.wait(SECONDS)
    assert stuck.was_cancelled is False


STUCK = """
import atexit, threading, time
from widgets import background

background.SECONDS_AT_EXIT = 0.5
ended = []
atexit.register(lambda: print(time.monotonic() - ended[0]))
begun = threading.Event()
background.Background().start(lambda token: (begun.set(), time.sleep(600)))
assert begun.wait(60)
ended.append(time.monotonic())
"""


def test_a_stuck_thread_does_not_keep_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0.5 <= float(done.stdout) < SECONDS
