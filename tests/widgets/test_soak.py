"""A panel that recompiles all day: nothing grows beyond the history that the session keeps."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

import explorer
from explorer import CancelToken, CompileTarget
from explorer.compilation import Compilation
from explorer.thread_settings import with_settings_of_this_thread
from widgets.background import Background

HISTORY = 3
SECONDS = 60.0
SPLITS = (
    ("demo::attention",),
    (),
    ("torch.nn.functional.silu",),
    ("demo::attention", "torch.nn.functional.silu"),
    ("module:layers.*.attention",),
)


@dataclass(frozen=True)
class Counts:
    """What lives in the process, after garbage was collected.

    Attributes:
        threads: threads of Python.
        files: open file descriptors; 0 where the system does not tell.
        compilations: objects of ``Compilation``.
        graph_modules: objects of ``fx.GraphModule``.
        graphs: objects of ``fx.Graph``.
        tensors: tensors.
        linecache: files that Python keeps the text of.
    """

    threads: int
    files: int
    compilations: int
    graph_modules: int
    graphs: int
    tensors: int
    linecache: int


def counts() -> Counts:
    """What lives now."""
    import linecache

    for _ in range(3):
        gc.collect()
    found = gc.get_objects()
    kinds = [type(each) for each in found]
    descriptors = Path("/proc/self/fd")
    return Counts(
        threading.active_count(),
        len(list(descriptors.iterdir())) if descriptors.exists() else 0,
        sum(issubclass(kind, Compilation) for kind in kinds),
        sum(issubclass(kind, fx.GraphModule) for kind in kinds),
        sum(issubclass(kind, fx.Graph) for kind in kinds),
        sum(issubclass(kind, torch.Tensor) for kind in kinds),
        len(linecache.cache),
    )


def soak(step: Callable[[int], object], times: int, *, warm: int = 20) -> tuple[Counts, Counts]:
    """Does the same again and again, and says what lived before and afterwards.

    Args:
        step: what to do; it is given the number of the turn.
        times: turns between the two looks.
        warm: turns before the first look, in which what is kept on purpose fills up.
    """
    for number in range(warm):
        step(number)
    before = counts()
    for number in range(warm, warm + times):
        step(number)
    return before, counts()


def assert_flat(before: Counts, after: Counts) -> None:
    """Nothing has grown."""
    for name, value in vars(before).items():
        assert getattr(after, name) <= value, (
            f"{name}: {value} before, {getattr(after, name)} after"
        )


@pytest.fixture
def session(llama: CompileTarget) -> explorer.Session:
    return explorer.Session(
        llama.model,
        llama.example_inputs,
        dynamic_arg_dims=llama.dynamic_arg_dims,
        config=llama.compilation_config().replace(backend="eager", compile_sizes=()),
        history_limit=HISTORY,
    )


def in_background(session: explorer.Session, **changes: Any) -> None:
    """One update in a thread of its own, and what it raised."""
    jobs, errors = Background(), list[BaseException]()

    def update(token: CancelToken) -> None:
        try:
            session.update(cancel=token, **changes)
        except BaseException as error:
            errors.append(error)

    jobs.start(with_settings_of_this_thread(update))
    assert jobs.wait(SECONDS)
    for error in errors:
        raise error


@pytest.mark.slow
def test_other_splitting_ops_again_and_again_leave_nothing_behind(
    session: explorer.Session,
) -> None:
    def step(number: int) -> None:
        in_background(session, splitting_ops=SPLITS[number % len(SPLITS)])

    before, after = soak(step, 100)
    assert_flat(before, after)
    assert len(session.history) == HISTORY


@pytest.mark.slow
def test_captures_again_and_again_leave_nothing_behind(session: explorer.Session) -> None:
    def step(number: int) -> None:
        names = {"input_ids": {0: f"n{number}"}, "positions": {0: f"n{number}"}}
        in_background(session, dynamic_arg_dims=names)

    before, after = soak(step, 20, warm=8)
    assert len(session.history) == HISTORY
    # Torch keeps the text of one graph module for each trace, as it does for torch.compile.
    assert after.linecache - before.linecache <= 20
    assert_flat(replace(before, linecache=after.linecache), after)


def test_a_soak_finds_what_is_kept() -> None:
    kept: list[torch.Tensor] = []
    before, after = soak(lambda _: kept.append(torch.ones(1)), 3, warm=1)
    with pytest.raises(AssertionError, match="tensors"):
        assert_flat(before, after)
