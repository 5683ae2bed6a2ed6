from __future__ import annotations

import logging
import threading

import pytest

from explorer import CancelToken
from widgets.background import Background

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
