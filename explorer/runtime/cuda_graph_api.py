"""What capturing asks of torch: a small protocol, and the one thing that does it on a GPU.

Public names of torch only (2.11 and later); they are ``torch.cuda.CUDAGraph``, streams,
``graph_pool_handle``, ``is_current_stream_capturing``, ``set_sync_debug_mode``,
``memory_reserved``, and ``torch.as_tensor`` of an object with ``__cuda_array_interface__``.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, cast

import torch

from explorer.deferred import without_collections
from explorer.errors import RunError

_T = TypeVar("_T")


class CaptureFailed(RunError):
    """Something cannot be captured; the message says what in one sentence."""


class GraphApi(Protocol):
    """Captures what a function does on a device, and does it again without the function.

    One object serves one model.
    """

    @property
    def device_type(self) -> str:
        """Where tensors have to be: ``cuda``."""
        ...

    def is_capturing(self) -> bool:
        """Whether what this thread does now is being captured, by anybody."""
        ...

    def is_current(self, device: torch.device) -> bool:
        """Whether work goes to a device, so that a stream of it can capture."""
        ...

    def new_pool(self) -> Any:
        """Memory that graphs captured one after the other share."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Inside, work goes to a stream of its own, after what was asked before it."""
        ...

    def in_order(self) -> AbstractContextManager[None]:
        """Inside, work comes after that of the last such block, whatever stream it was on."""
        ...

    def refusing_synchronisation(self) -> AbstractContextManager[None]:
        """Inside, an op that waits for the device raises."""
        ...

    def capture(self, function: Callable[[], _T], pool: Any) -> tuple[Any, _T]:
        """The graph of a function, and what it returned; call it inside ``aside``.

        The tensors that it returned have no defined content before a replay.

        Raises:
            CaptureFailed: it does something that cannot be captured.
        """
        ...

    def replay(self, graph: Any) -> None:
        """Does what was captured, in the same memory."""
        ...

    def weakly(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Tensors over the same memory that do not keep it; those that share memory still do."""
        ...

    def reserved_bytes(self) -> int:
        """Device memory that torch has taken so far."""
        ...


class CudaGraphs:
    """CUDA graphs through torch's public interface.

    State: the stream that captures, the end of the last call that replayed, graphs whose capture
    failed.
    """

    device_type = "cuda"

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None
        self._done: tuple[torch.cuda.Stream, torch.cuda.Event] | None = None
        self._has_pool = False
        self._failed: list[torch.cuda.CUDAGraph] = []

    def is_capturing(self) -> bool:
        """See ``GraphApi``."""
        return torch.cuda.is_current_stream_capturing()

    def is_current(self, device: torch.device) -> bool:
        """See ``GraphApi``."""
        return torch.cuda.current_device() == (device.index or 0)

    def new_pool(self) -> Any:
        """See ``GraphApi``; before the first one, garbage goes and the cache is emptied."""
        if not self._has_pool:
            gc.collect()
            torch.cuda.empty_cache()
        self._has_pool = True
        return torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """See ``GraphApi``."""
        if self._stream is None:
            self._stream = torch.cuda.Stream()
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)

    @contextlib.contextmanager
    def in_order(self) -> Iterator[None]:
        """See ``GraphApi``."""
        current = torch.cuda.current_stream()
        if self._done is not None and self._done[0] != current:
            current.wait_event(self._done[1])
        try:
            yield
        finally:
            event = self._done[1] if self._done is not None else torch.cuda.Event()
            event.record(current)
            self._done = (current, event)

    @contextlib.contextmanager
    def refusing_synchronisation(self) -> Iterator[None]:
        """See ``GraphApi``; a failed capture would leave torch's random state unusable."""
        before = torch.cuda.get_sync_debug_mode()
        try:
            _set_sync_debug_mode("error")
            yield
        finally:
            _set_sync_debug_mode(before)

    def capture(self, function: Callable[[], _T], pool: Any) -> tuple[Any, _T]:
        """See ``GraphApi``; ``torch.cuda.graph`` would look for garbage before each one."""
        torch.cuda.synchronize()
        with without_collections():
            try:
                return self._captured(function, pool)
            except CaptureFailed:
                # torch 2.13: what ends a capture is skipped after a failure, so that the random
                # generator waits for it. A capture that succeeds ends it.
                with contextlib.suppress(CaptureFailed):
                    self._captured(lambda: torch.zeros(1, device="cuda"), self.new_pool())
                raise

    def _captured(self, function: Callable[[], _T], pool: Any) -> tuple[Any, _T]:
        graph, result, failure = torch.cuda.CUDAGraph(), None, None
        # thread_local: another thread may go on allocating meanwhile.
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            result = function()
        except Exception as error:  # whatever an op says when it is captured
            failure = error
        try:
            graph.capture_end()
        except RuntimeError as error:
            failure = failure or error
        if failure is not None:
            self._failed.append(graph)  # torch's allocator may still ask it
            raise CaptureFailed(first_line(failure)) from failure
        return graph, cast(_T, result)

    def replay(self, graph: Any) -> None:
        """See ``GraphApi``."""
        graph.replay()

    def weakly(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """See ``GraphApi``."""
        flat: dict[tuple[int, int], torch.Tensor] = {}
        return [_weak(tensor, flat) for tensor in tensors]

    def reserved_bytes(self) -> int:
        """See ``GraphApi``."""
        return torch.cuda.memory_reserved()


class _Memory:
    """Some device memory by its address; ``torch.as_tensor`` makes a tensor of it."""

    def __init__(self, pointer: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 2,
        }


def _weak(tensor: torch.Tensor, flat: dict[tuple[int, int], torch.Tensor]) -> torch.Tensor:
    """A tensor over the same memory that does not keep it.

    Args:
        tensor: on the device.
        flat: (address, bytes) of memory -> all of it, for those that were made before.
    """
    storage, itemsize = tensor.untyped_storage(), tensor.element_size()
    if not storage.nbytes() or not tensor.numel():
        return tensor  # there is no memory to keep
    key = (storage.data_ptr(), storage.nbytes())
    with torch.inference_mode(False):  # else nothing could be copied into it outside
        if key not in flat:
            flat[key] = torch.as_tensor(_Memory(*key), device=tensor.device)
        whole = flat[key][: storage.nbytes() // itemsize * itemsize].view(tensor.dtype)
        return whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _set_sync_debug_mode(mode: int | str) -> None:
    with warnings.catch_warnings():
        # torch 2.11: it warns that the mode is a prototype, whatever it is set to.
        warnings.simplefilter("ignore", UserWarning)
        torch.cuda.set_sync_debug_mode(mode)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its class."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


__all__ = ["CaptureFailed", "CudaGraphs", "GraphApi", "first_line"]
