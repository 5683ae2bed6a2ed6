"""One computes, the others wait; who dies or takes too long stops nobody."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter

import pytest

from explorer.errors import ConfigError
from explorer.store import entry_key
from tests.explorer.store import children
from tests.explorer.store.stores import BLOBS, FACTORS, KIND, store_in

KEY = entry_key(KIND, FACTORS)


def test_threads_compute_once(tmp_path):
    store = store_in(tmp_path)
    computed, found = [], []

    def work():
        with store.single_flight(KEY) as is_alone:
            entry = store.get(KIND, FACTORS)
            if entry is None:
                computed.append(is_alone)
                entry = store.put(KIND, FACTORS, BLOBS)
            assert entry is not None
            found.append(entry.read("kernel.so"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computed == [True]
    assert found == [BLOBS["kernel.so"]] * 6


def test_block_inside_its_own_block_does_not_wait(tmp_path):
    store = store_in(tmp_path)
    with store.single_flight(KEY) as outer, store.single_flight(KEY) as inner:
        assert (outer, inner) == (True, True)
    with store.single_flight(KEY) as again:
        assert again


def holding(tmp_path):
    paths = {"root": str(tmp_path / "store"), "secret": str(tmp_path / "state" / "secret")}
    child = children.start("hold", key=KEY, **paths)
    assert children.line_from(child) == "True"
    return child


def test_waiting_ends_and_the_work_goes_on(tmp_path, caplog):
    store = store_in(tmp_path)
    child = holding(tmp_path)
    with store.single_flight(KEY, timeout_seconds=0.05) as is_alone:
        assert not is_alone
    (message,) = caplog.messages
    assert "for more than 0.05 s; it is made here as well" in message
    with store.single_flight("0" * 64, timeout_seconds=0.05) as is_alone:
        assert is_alone
    children.tell(child, "end")
    child.communicate()
    assert child.returncode == 0


def test_dead_holder_blocks_nobody(tmp_path, caplog):
    store = store_in(tmp_path)
    child = holding(tmp_path)
    child.kill()
    child.communicate()
    with store.single_flight(KEY, timeout_seconds=5) as is_alone:
        assert is_alone
    assert caplog.messages == []


def test_who_waits_is_asked_whether_to_go_on(tmp_path, caplog):
    store = store_in(tmp_path)
    child = holding(tmp_path)
    asked = []

    def stop_at_the_third():
        asked.append(None)
        if len(asked) == 3:
            raise OSError(errno.EINTR, "stopped")  # not taken for a lock that fails

    with (
        pytest.raises(OSError, match="stopped"),
        store.single_flight(KEY, timeout_seconds=60, while_waiting=stop_at_the_third),
    ):
        pytest.fail("the block ran")
    assert len(asked) == 3
    assert caplog.messages == []
    children.tell(child, "end")
    child.communicate()
    with store.single_flight(KEY, timeout_seconds=5, while_waiting=stop_at_the_third) as is_alone:
        assert is_alone
    assert len(asked) == 3


def test_without_locks_the_work_goes_on(tmp_path, caplog, monkeypatch):
    store = store_in(tmp_path)

    def no_locks(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("explorer.store.flight.lock_file", no_locks)
    for _ in range(2):
        with store.single_flight(KEY) as is_alone:
            assert not is_alone
    (message,) = caplog.messages
    assert "without waiting for other processes: No locks available" in message


def test_exception_in_the_block_frees_the_key(tmp_path):
    store = store_in(tmp_path)
    with pytest.raises(ZeroDivisionError), store.single_flight(KEY):
        raise ZeroDivisionError
    other = store_in(tmp_path)
    with other.single_flight(KEY, timeout_seconds=0.05) as is_alone:
        assert is_alone


@pytest.mark.parametrize("key", ["", "a/b", "../" + "0" * 61, "G" * 64, "0" * 65])
def test_what_is_no_key_is_refused(tmp_path, key):
    with (
        pytest.raises(ConfigError, match="A store key is 64 hex digits"),
        store_in(tmp_path).single_flight(key),
    ):
        pass


def race(tmp_path, rounds: int, *, prunes: bool) -> Counter[str]:
    """Eight processes, all wanting the same at the same time; how often each round was computed."""
    computed = tmp_path / "computed"
    options = {
        "root": str(tmp_path / "store"),
        "secret": str(tmp_path / "state" / "secret"),
        "computed": str(computed),
        "prunes": prunes,
    }
    racers = [children.start("race", **options) for _ in range(8)]
    for racer in racers:
        assert children.line_from(racer) == "ready"
    for number in range(rounds):
        for racer in racers:
            children.tell(racer, f"round{number}")
        for racer in racers:
            assert children.line_from(racer) == "done"
    for racer in racers:
        _, errors = racer.communicate(timeout=60)
        assert (racer.returncode, errors) == (0, "")
    return Counter(line.split()[0] for line in computed.read_text().splitlines())


def test_race_of_eight_processes_computes_once_per_key(tmp_path):
    counts = race(tmp_path, 20, prunes=False)
    assert counts == {f"round{number}": 1 for number in range(20)}
    store = store_in(tmp_path)
    assert len(store.ls()) == 20
    assert store.verify() == ()
    assert list((store.root.path / "work").iterdir()) == []


def test_race_with_everybody_removing_has_no_errors(tmp_path):
    counts = race(tmp_path, 6, prunes=True)
    assert len(counts) == 6
    assert store_in(tmp_path).verify() == ()


@pytest.mark.slow
def test_longer_race(tmp_path):
    assert set(race(tmp_path, 100, prunes=False).values()) == {1}
