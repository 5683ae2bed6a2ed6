"""What a compilation writes into torch's structured log."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import explorer
from explorer import CompilationConfig, CompileError
from tests.explorer import cutting

ROOT = Path(__file__).parents[2]
SETTINGS = {"backend": "eager", "splitting_ops": (cutting.STEP,), "max_size": 64}
COMPILE_END = "piecewise_compile_end"


def model(x: torch.Tensor) -> torch.Tensor:
    return torch.ops.demo.step(x * 2) + 1


Event = tuple[dict[str, Any], str]  # what torch writes of it, and its content


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.events.append((vars(record)["metadata"], vars(record)["payload"]))


@contextlib.contextmanager
def listening() -> Iterator[list[Event]]:
    """Everything that goes into torch's structured log inside the block."""
    listener, log = Listener(), logging.getLogger("torch.__trace")
    log.addHandler(listener)
    try:
        yield listener.events
    finally:
        log.removeHandler(listener)


def names_of(events: list[Event]) -> list[str]:
    """The names of our own events, in order."""
    entries = [entry.get("artifact") or entry.get("graph_dump") or {} for entry, _ in events]
    names = [entry.get("name", "") for entry in entries]
    return [name for name in names if re.match(r"piecewise_(?!explorer)", name)]


def contents(events: list[Event], name: str) -> list[Any]:
    """The contents of our events of one name, in order; JSON is read."""
    found = []
    for entry, payload in events:
        for kind in ("artifact", "graph_dump"):
            if entry.get(kind, {}).get("name") == name:
                is_json = entry[kind].get("encoding") == "json"
                found.append(json.loads(payload) if is_json else payload)
    return found


def session_with(**settings: Any) -> explorer.Session:
    config = CompilationConfig(**{**SETTINGS, **settings})
    example = (cutting.random_rows(6, 4),)
    return explorer.Session(model, example, dynamic_arg_dims={"x": {0: "n"}}, config=config)


ONE_COMPILATION = {
    "piecewise_compilation_config": 1,
    "piecewise_split_graph": 1,
    "piecewise_piece_0": 1,
    "piecewise_piece_2": 1,
    "piecewise_compile_start": 4,  # two pieces, each for size 8 and for the range
    "piecewise_compile_end": 4,
    "piecewise_stitching_source": 1,
}


def test_one_compilation_logs_its_parts_in_order() -> None:
    with listening() as events:
        compilation = session_with(compile_sizes=(8,)).update()
    names = names_of(events)
    assert Counter(names) == ONE_COMPILATION
    assert list(dict.fromkeys(names)) == list(ONE_COMPILATION)
    assert names[4:12] == ["piecewise_compile_start", COMPILE_END] * 4
    assert contents(events, "piecewise_stitching_source") == [compilation.stitching_source]
    first, third = compilation.pieces[0], compilation.pieces[2]
    assert contents(events, "piecewise_piece_0") == [first.readable()]
    assert contents(events, "piecewise_piece_2") == [third.readable()]


def test_the_configuration_says_what_was_set_and_what_was_assumed() -> None:
    def noting(graph: Any) -> None: ...

    hook = "post_grad_custom_pre_pass"
    settings = {hook: explorer.FunctionPass(noting, uuid="7")}
    with listening() as events:
        session_with(compile_sizes=(8,), inductor_config=settings).update()
    [found] = contents(events, "piecewise_compilation_config")
    assert found["model"] == "function" and found["backend"] == "eager"
    assert found["splitting_ops"] == ["demo::step"] and found["compile_sizes"] == [8]
    assert found["guard_policy"] == "CHECK" and found["dynamic_shapes"]["type"] == "BACKED"
    [shown] = found["inductor_config"][hook]
    assert shown["uuid"] == "7" and shown["pass"].endswith("noting")
    assert found["capture"]["sizes"] == [{"name": "n", "of": "x.size(0)", "example": 6}]
    assert "n >= 2" in [guard["text"] for guard in found["capture"]["guards"]]


def test_the_split_graph_calls_the_pieces_in_order() -> None:
    with listening() as events:
        session_with().update()
    [source] = contents(events, "piecewise_split_graph")
    parent, *pieces = source.split("\n\n\n")
    assert re.findall(r"(\(\w+,\) = piece_\d\(.*\))", parent) == [
        "(mul,) = piece_0(x, n)",
        "(step,) = piece_1(mul)",
        "(add,) = piece_2(step, n)",
    ]
    assert [each.partition("(")[0] for each in pieces] == [f"def piece_{i}" for i in range(3)]
    compile(source, "split graph", "exec")


def test_a_request_says_its_piece_and_its_sizes_and_what_it_got() -> None:
    session = session_with(compile_sizes=(8,))
    with listening() as events:
        compilation = session.update()
    starts, ends = contents(events, "piecewise_compile_start"), contents(events, COMPILE_END)
    facts = ("piece_name", "unique_id", "range_start", "range_end", "is_single_size", "total")
    assert [tuple(each[fact] for fact in facts) for each in starts] == [
        ("piece_0", "A", 1, 64, False, 4),
        ("piece_0", "A", 8, 8, True, 4),
        ("piece_2", "B", 1, 64, False, 4),
        ("piece_2", "B", 8, 8, True, 4),
    ]
    for start, end, artifact in zip(starts, ends, compilation.artifacts, strict=True):
        assert start.items() <= end.items()
        assert end["key"] == artifact.key and end["origin"] == "compiled"
        assert end["seconds"] == pytest.approx(artifact.seconds, abs=1e-6) and end["seconds"] > 0
        assert end["backend"] == "eager" and end["bytes"] is None
        assert [each["range_end"] for each in end["artifacts"]] == [start["range_end"]]


def test_a_later_compilation_says_what_it_reused() -> None:
    session = session_with()
    session.update()
    with listening() as events:
        session.update(compile_sizes=(8,))
    ends = contents(events, COMPILE_END)
    assert [(each["range_end"], each["origin"]) for each in ends] == [
        (64, "memory"),
        (8, "compiled"),
        (64, "memory"),
        (8, "compiled"),
    ]
    assert [each["seconds"] == 0 for each in ends] == [True, False, True, False]
    assert Counter(names_of(events)) == ONE_COMPILATION


def test_what_a_call_of_size_one_compiles_is_logged() -> None:
    session = session_with()
    session.update()
    with listening() as events:
        session.run(cutting.random_rows(1, 4))
    ends = contents(events, COMPILE_END)
    assert [(e["piece_name"], e["range_start"], e["range_end"], e["total"]) for e in ends] == [
        ("piece_0", 1, 1, 1),
        ("piece_2", 1, 1, 1),
    ]


def test_pieces_that_share_an_artifact_are_logged_once() -> None:
    def layers(x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = torch.ops.demo.step(x * 2)
        return x

    with listening() as events:
        cutting.compile_cut(layers, cutting.random_rows(6, 4), splitting_ops=(cutting.STEP,))
    [start] = contents(events, "piecewise_compile_start")
    assert start["shared_by"] == [0, 2, 4] and start["piece_index"] == 0
    assert [name for name in names_of(events) if "piecewise_piece" in name] == ["piecewise_piece_0"]


class Broken:
    name = "broken"

    def identity(self) -> str:
        return "broken"

    def compile(self, *args: Any, **rest: Any) -> Any:
        raise RuntimeError("out of ideas")


def test_a_failed_compile_ends_with_its_error() -> None:
    with listening() as events, pytest.raises(CompileError):
        session_with(backend=Broken()).update()
    [end] = contents(events, COMPILE_END)
    assert "out of ideas" in end["error"] and end["piece_name"] == "piece_0"
    [found] = contents(events, "piecewise_compilation_config")
    assert found["backend"] == {"name": "broken", "identity": "broken"}
    assert contents(events, "piecewise_stitching_source") == []


def test_a_failed_capture_still_logs_the_configuration() -> None:
    def breaks(x: torch.Tensor) -> torch.Tensor:
        print(x)
        return x

    with listening() as events, pytest.raises(explorer.CaptureError):
        explorer.compile_model(breaks, (cutting.random_rows(6, 4),))
    [found] = contents(events, "piecewise_compilation_config")
    assert found["error"].startswith("CaptureError: ")


def test_a_log_does_not_fail_on_a_pass_that_cannot_be_used() -> None:
    with listening() as events:
        session_with(inductor_config={"pre_grad_custom_pass": 7}).update()
    [found] = contents(events, "piecewise_compilation_config")
    shown = found["inductor_config"]["pre_grad_custom_pass"]
    assert shown.startswith("not usable: A graph pass is a function")


# ------------------------------------------------------------------------------ in other processes

PROGRAM = """
from tests.explorer.test_trace import session_with

session_with(compile_sizes=(8,)).update()
"""
SILENT = """
from explorer import trace
from tests.explorer.test_trace import session_with

def called(*args, **kwargs):
    raise AssertionError("computed for nobody")

session_with().update()  # torch takes its handler away at the first event
trace.settings_view = trace.split_source = trace._capture_view = trace._made_view = called
trace.ArtifactTrace._request = called
session_with().update()
"""


def run(program: str, **environment: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "TORCH_TRACE"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


LINE = re.compile(r"V\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ \S+:\d+\] (?P<entry>\{.*\})$")


def read_log(folder: Path) -> list[Event]:
    """The events of a log file, as tlparse reads it."""
    [file] = folder.iterdir()
    found: list[tuple[dict[str, Any], list[str]]] = []
    for line in file.read_text().split("\n")[:-1]:
        if line.startswith("\t"):
            found[-1][1].append(line[1:])
        else:
            head = LINE.match(line)
            assert head, line
            found.append((json.loads(head["entry"]), []))
    return [(entry, "\n".join(lines)) for entry, lines in found]


def test_the_log_of_a_process_is_in_torchs_format(tmp_path: Path) -> None:
    run(PROGRAM, TORCH_TRACE=str(tmp_path))
    events = read_log(tmp_path)
    assert Counter(names_of(events)) == ONE_COMPILATION
    ours = [entry for entry, _ in events if names_of([(entry, "")])]
    for entry, payload in events:
        digest = hashlib.md5(payload.encode(), usedforsecurity=False).hexdigest()
        assert entry not in ours or entry["has_payload"] == digest
    [captured] = [entry for entry, _ in events if "dynamo_output_graph" in entry]
    place = [captured.get(each) for each in ("frame_id", "frame_compile_id", "attempt")]
    assert None not in place
    for entry in ours:  # tlparse lists them under the capture
        assert [entry.get(each) for each in ("frame_id", "frame_compile_id", "attempt")] == place


def test_nothing_is_computed_when_nobody_listens() -> None:
    run(SILENT)
