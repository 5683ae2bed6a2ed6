"""What is asked of torch.cuda, and in which order, also after an error; nothing here has a GPU."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from explorer.runtime.cuda_graph_api import CaptureFailed, CudaGraphs, GraphApi
from tests.explorer.runtime.recording_graphs import RecordingGraphs


class Cuda:
    """Stands in for ``torch.cuda``; ``log`` has what was asked of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.current: Any = "user stream"
        self.mode = 0
        self.fails_at_end = False
        outer = self

        class Stream:
            def wait_stream(self, other: Any) -> None:
                outer.log.append(f"side waits for {other}")

            def __str__(self) -> str:
                return "side stream"

        class Event:
            def record(self, stream: Any) -> None:
                outer.log.append(f"event on {stream}")

        class CUDAGraph:
            def capture_begin(self, *, pool: Any, capture_error_mode: str) -> None:
                assert not gc.isenabled()
                outer.log.append(f"begin {pool} {capture_error_mode}")

            def capture_end(self) -> None:
                outer.log.append("end")
                if outer.fails_at_end:
                    outer.fails_at_end = False
                    raise RuntimeError("operation failed due to a previous error")

            def replay(self) -> None:
                outer.log.append("replay")

        self.Stream, self.Event, self.CUDAGraph = Stream, Event, CUDAGraph

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def empty_cache(self) -> None:
        self.log.append("empty cache")

    def graph_pool_handle(self) -> str:
        return f"pool {sum(each == 'pool' for each in self.log)}"

    def current_stream(self) -> Any:
        outer = self

        class Current(str):
            def wait_stream(self, other: Any) -> None:
                outer.log.append(f"{self} waits for {other}")

            def wait_event(self, event: Any) -> None:
                outer.log.append(f"{self} waits for an event")

        return Current(self.current)

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.log.append(f"on {stream}")
        yield
        self.log.append("off")

    def get_sync_debug_mode(self) -> int:
        return self.mode

    def set_sync_debug_mode(self, mode: Any) -> None:
        self.mode = 2 if mode == "error" else mode


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    stand_in = Cuda()
    for name in (
        "Stream",
        "Event",
        "CUDAGraph",
        "synchronize",
        "empty_cache",
        "graph_pool_handle",
        "current_stream",
        "stream",
        "get_sync_debug_mode",
        "set_sync_debug_mode",
    ):
        monkeypatch.setattr(torch.cuda, name, getattr(stand_in, name))
    monkeypatch.setattr(torch, "zeros", lambda *args, **kwargs: 0)
    return stand_in


def test_both_have_what_is_asked_for() -> None:
    for each in (CudaGraphs(), RecordingGraphs()):
        wanted = [name for name in vars(GraphApi) if not name.startswith("_")]
        assert len(wanted) == 11
        assert all(hasattr(each, name) for name in wanted)


def test_work_aside_comes_after_what_was_before_and_before_what_follows(cuda: Cuda) -> None:
    api = CudaGraphs()
    with pytest.raises(ZeroDivisionError), api.aside():
        raise ZeroDivisionError
    assert cuda.log[0] == "side waits for user stream"
    assert cuda.log[-1] == "user stream waits for side stream"


def test_calls_from_several_streams_are_in_order(cuda: Cuda) -> None:
    api = CudaGraphs()
    for stream in ("a", "a", "b"):
        cuda.current = stream
        with api.in_order():
            cuda.log.append("call")
    assert cuda.log == [
        *("call", "event on a"),
        *("call", "event on a"),
        *("b waits for an event", "call", "event on b"),
    ]


def test_garbage_is_looked_for_once(cuda: Cuda) -> None:
    api = CudaGraphs()
    api.new_pool()
    api.new_pool()
    assert cuda.log == ["empty cache"]


def test_capture(cuda: Cuda) -> None:
    api = CudaGraphs()
    graph, result = api.capture(lambda: 5, "the pool")
    api.replay(graph)
    assert result == 5
    assert cuda.log == ["synchronize", "begin the pool thread_local", "end", "replay"]
    assert gc.isenabled()


@pytest.mark.parametrize("end_fails", [False, True])
def test_failed_capture_is_ended_by_one_that_succeeds(cuda: Cuda, end_fails: bool) -> None:
    api = CudaGraphs()
    cuda.fails_at_end = end_fails

    def function() -> None:
        raise ValueError("not while\ncapturing")

    with pytest.raises(CaptureFailed, match=r"^not while$") as caught:
        api.capture(function, "the pool")
    assert isinstance(caught.value.__cause__, ValueError)
    begins = [each for each in cuda.log if each.startswith("begin")]
    assert begins == ["begin the pool thread_local", "begin pool 0 thread_local"]
    assert cuda.log.count("end") == 2
    assert len(api._failed) == 1
    assert gc.isenabled()


def test_capture_that_only_its_end_says_has_failed(cuda: Cuda) -> None:
    cuda.fails_at_end = True
    with pytest.raises(CaptureFailed, match="previous error"):
        CudaGraphs().capture(lambda: 5, "the pool")


def test_waiting_is_allowed_again_after_an_error(cuda: Cuda) -> None:
    cuda.mode = 1
    with pytest.raises(ZeroDivisionError), CudaGraphs().refusing_synchronisation():
        assert cuda.mode == 2
        raise ZeroDivisionError
    assert cuda.mode == 1
