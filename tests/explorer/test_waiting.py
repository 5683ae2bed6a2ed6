"""A piece that another process is making is waited for, until somebody asks to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from explorer import Cancelled, CancelToken, Progress, StoreConfig, counters
from explorer.piece_store import KIND
from explorer.store.artifact_store import open_store
from explorer.store.secret import default_secret_path
from tests.explorer.comparing import filled
from tests.explorer.keeping import session
from tests.explorer.store import children

SECONDS = 60  # after which a test that hangs has failed


def key_of_the_piece(**changes: int) -> str:
    """The key under which the piece of ``session(**changes)`` is stored; nothing stays there."""
    session(**changes).update()
    store = open_store(StoreConfig().root)
    (stored,) = store.find(KIND, {})
    store.clear()
    return stored.key


@contextmanager
def held_by_a_thread(key: str) -> Iterator[threading.Event]:
    """Another thread has the key of a piece until the event is set, or the block ends."""
    has_it, end = threading.Event(), threading.Event()

    def hold() -> None:
        with open_store(StoreConfig().root).single_flight(key) as is_alone:
            assert is_alone
            has_it.set()
            assert end.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert has_it.wait(SECONDS)
        yield end
    finally:
        end.set()
        thread.join()


def test_the_wait_ends_when_it_is_cancelled_and_the_last_good_compilation_stays() -> None:
    key = key_of_the_piece(max_size=32)
    this = session()
    before = this.compilation
    cancel, heard = CancelToken(), []

    def progress(now: Progress) -> None:
        heard.append(now)
        if "another process" in now.what:
            cancel.cancel()

    with held_by_a_thread(key), counters.expect(compiled=0, saved=0), pytest.raises(Cancelled):
        this.update(max_size=32, progress=progress, cancel=cancel)
    assert [(each.done, each.total, each.what) for each in heard] == [
        (0, 1, "piece A 1–32"),
        (0, 1, "piece A 1–32, which another process is making"),
    ]
    assert this.history == (before,)
    assert this.config.max_size == 64
    torch.testing.assert_close(this.run(filled(40, 3)), filled(40, 3) * 3)
    assert [each.label for each in open_store(StoreConfig().root).find(KIND, {})] == ["A 1–64"]
    with counters.expect(compiled=1, saved=1):  # the lock is free again, and the session works on
        this.update(max_size=32)


def test_the_wait_for_another_process_ends_when_another_thread_cancels() -> None:
    key = key_of_the_piece()
    store, secret = open_store(StoreConfig().root), default_secret_path()
    child = children.start("hold", root=str(store.root.path), secret=str(secret), key=key)
    assert children.line_from(child) == "True"
    cancel, is_waiting, found = CancelToken(), threading.Event(), []

    def progress(now: Progress) -> None:
        if "another process" in now.what:
            is_waiting.set()

    def work() -> None:
        try:
            session().update(progress=progress, cancel=cancel)
        except Cancelled as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert is_waiting.wait(SECONDS)
        assert not found
        cancel.cancel()
        thread.join(SECONDS)
        assert [str(each) for each in found] == [
            "The job was cancelled; the last good compilation stays."
        ]
        assert store.ls() == ()
    finally:
        children.tell(child, "end")
        child.communicate()
        thread.join(SECONDS)


def test_what_another_one_makes_is_waited_for_and_taken() -> None:
    session().update()
    store = open_store(StoreConfig().root)
    (manifest,) = store.find(KIND, {})
    made = store.get(KIND, manifest.factors)
    assert made is not None
    blobs = {name: made.read(name) for name in made.names}
    store.clear()
    with held_by_a_thread(manifest.key) as end:

        def progress(now: Progress) -> None:
            if "another process" in now.what:
                store.put(KIND, manifest.factors, blobs)
                end.set()

        with counters.expect(compiled=0, loaded=1):
            session().update(progress=progress, cancel=CancelToken())
