"""What it costs to know who made each condition: a share of the capture's own time.

Two ways to look at it. *Inside* adds up what the recorder takes in a capture, its functions and
the calls of its wrappers. *Against* compares whole captures with and without, taking turns: it
shows that nothing was forgotten, within the noise of the machine. The exit status is 1 when a
target is missed by what is counted inside.

    python -m tests.benchmarks.guard_recorder --layers 80 --repeats 3

Instructions have no noise. With ``--only`` nothing is timed: captures of one kind are made for a
program that counts them. Of two numbers of captures, the difference is what captures cost.

    valgrind --tool=callgrind python -m tests.benchmarks.guard_recorder --only all --repeats 3
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from explorer import CompilationConfig
from explorer.guards.collect import Collected
from explorer.stages import capture as stage
from explorer.stages.capture import CaptureRequest, capture
from explorer.torch_private import capture as dynamo
from explorer.torch_private import recorder
from sample_models import toy_llama
from tests.benchmarks.reporting import machine_description, markdown_table

TARGET_RECORDER = 0.02
TARGET_ALL = 0.10
COUNTED = ("_evaluation", "_raw_guard", "_is_python_test")
"""The functions of the recorder that its wrappers call."""


class Account:
    """Processor seconds of some functions, and how often they were called."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its time on the account."""

        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.thread_time() - started
                self.calls += 1

        return run


def wrapper_seconds() -> float:
    """What one more Python call around a method costs, with what the wrapper does itself."""
    scope: dict[str, Any] = {"asked": [], "guards": []}
    exec(
        "import threading\n"
        "def plain(env, expression, *args, **kwargs): return expression\n"
        "def wrapped(env, expression, *args, **kwargs):\n"
        "    if threading.get_ident() == 0: return None\n"
        "    before = len(guards)\n"
        "    asked.append(expression)\n"
        "    try: return plain(env, expression, *args, **kwargs)\n"
        "    finally: asked.pop()\n",
        scope,
    )
    count = 200_000
    times = [
        min(timeit.repeat(f"{name}(None, 1)", globals=scope, number=count, repeat=5)) / count
        for name in ("plain", "wrapped")
    ]
    return times[1] - times[0]


@contextlib.contextmanager
def counted(inside: Account, collecting: Account) -> Iterator[None]:
    """Inside, the recorder's time and that of putting its records in words are counted."""
    with contextlib.ExitStack() as stack:
        for name in COUNTED:
            function = inside.timed(getattr(recorder, name))
            stack.enter_context(patch.object(recorder, name, function))
        stack.enter_context(patch.object(stage, "collect", collecting.timed(stage.collect)))
        values = collecting.timed(dynamo.plain_records)
        stack.enter_context(patch.object(dynamo, "plain_records", values))
        yield


KINDS = ("nothing", "recorder", "all")
"""What a capture does about conditions: nothing, ask who asked, or put that in words as well."""


@contextlib.contextmanager
def capturing(kind: str) -> Iterator[None]:
    """Inside, captures are of one of the ``KINDS``."""
    nothing = Collected((), (), (), (), (), (), ())
    with contextlib.ExitStack() as stack:
        if kind == "nothing":
            no_recorder = patch.object(dynamo, "recorded", lambda _: contextlib.nullcontext())
            stack.enter_context(no_recorder)
        if kind != "all":
            stack.enter_context(patch.object(dynamo, "plain_records", lambda entries: ()))
            stack.enter_context(patch.object(stage, "collect", lambda *args, **kwargs: nothing))
        yield


def seconds_of(request: CaptureRequest) -> float:
    """Processor seconds of one capture."""
    gc.collect()
    started = time.process_time()
    capture(request, CompilationConfig())
    return time.process_time() - started


def main() -> int:
    """Prints the table; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=80, help="decoder layers")
    parser.add_argument("--repeats", type=int, default=3, help="captures of each kind")
    parser.add_argument("--only", choices=KINDS, help="make captures of this kind, time nothing")
    options = parser.parse_args()
    target = toy_llama.sample(layers=options.layers)
    request = CaptureRequest(
        target.model, target.example_inputs, {}, target.dynamic_arg_dims, None, target.make_inputs
    )
    if options.only is not None:
        with capturing(options.only):
            for _ in range(options.repeats):
                seconds_of(request)
        return 0
    capture(request, CompilationConfig())
    plain, whole, recorder_shares, all_shares = [], [], [], []
    for _ in range(options.repeats):
        with capturing("nothing"):
            plain.append(seconds_of(request))
        whole.append(seconds_of(request))
        inside, collecting = Account(), Account()
        with counted(inside, collecting):
            seconds = seconds_of(request)
        spent = inside.seconds + inside.calls * wrapper_seconds()
        recorder_shares.append(spent / seconds)
        all_shares.append((spent + collecting.seconds) / seconds)
    recorder_share, all_share = min(recorder_shares), min(all_shares)
    rows = [
        ("inside: recorder", f"{recorder_share:.1%}", f"{TARGET_RECORDER:.0%}"),
        ("inside: recorder, records and words", f"{all_share:.1%}", f"{TARGET_ALL:.0%}"),
        ("against: captures without", f"{min(whole) / min(plain) - 1:+.1%}", "-"),
    ]
    print(machine_description())
    print(
        f"toy llama, {options.layers} layers, capture {min(plain):.2f} CPU s without, "
        f"{options.repeats} of each kind\n"
    )
    print(markdown_table(("share of the capture", "lowest", "target"), rows), end="\n\n")
    missed = recorder_share > TARGET_RECORDER or all_share > TARGET_ALL
    print(f"Targets {'MISSED' if missed else 'met'}.")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
