"""A cell that uses torch while a background thread compiles: neither notices the other.

The background thread is stopped in the middle by a function of the model that Dynamo calls while it
traces, or by a backend; the main thread does its work; then the background thread goes on.
"""

from __future__ import annotations

import gc
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch._dynamo
import torch._dynamo.config
import torch._inductor.config
from torch import nn

import explorer
from explorer.errors import CaptureError
from explorer.thread_settings import with_settings_of_this_thread
from explorer.torch_private import beside

SECONDS = 60.0


class Gate:
    """Stops the thread that comes to it until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.owner: int | None = None

    def __call__(self, *_: Any) -> None:
        if threading.get_ident() == self.owner:
            self.reached.set()
            assert self.opened.wait(SECONDS), "nobody opened the gate"


class Running:
    """A function that runs in a thread of its own; ``result`` waits for it."""

    def __init__(self, function: Callable[[], Any], gate: Gate | None = None) -> None:
        self._outcome: list[Any] = []
        self._error: BaseException | None = None
        self._gate = gate

        def run() -> None:
            if gate is not None:
                gate.owner = threading.get_ident()
            try:
                self._outcome.append(function())
            except BaseException as error:
                self._error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        if gate is not None:
            assert gate.reached.wait(SECONDS), f"the gate was not reached: {self._error!r}"

    def result(self) -> Any:
        if self._gate is not None:
            self._gate.opened.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._outcome[0]


@contextmanager
def in_the_middle_of_a_capture(gate: Gate) -> Iterator[None]:
    """Inside, traces come to the gate when they look at the first operator."""
    from torch._dynamo.output_graph import OutputGraph

    original = OutputGraph.create_proxy

    def create_proxy(self: Any, *args: Any, **kwargs: Any) -> Any:
        gate()
        return original(self, *args, **kwargs)

    OutputGraph.create_proxy = create_proxy
    try:
        yield
    finally:
        gate.opened.set()
        OutputGraph.create_proxy = original


class Backend:
    """Runs pieces as they are; compiling one comes to a gate, inside whatever ``around`` does."""

    name = "gated"

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def identity(self) -> str:
        return f"gated {id(self)}"

    def compile(self, graph: Any, example_inputs: Any, **_: Any) -> Any:
        self._gate()
        return lambda values: graph(*values)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4))  # no random number is drawn for it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 1000:
            x = x + 1
        return nn.functional.linear(x, self.weight).relu()


def session(**changes: Any) -> explorer.Session:
    config = explorer.CompilationConfig(backend="eager", max_size=64).replace(**changes)
    return explorer.Session(Model(), (torch.ones(8, 4),), dynamic_arg_dims={"x": 0}, config=config)


@pytest.fixture
def captured() -> Iterator[Running]:
    """A session that stands in the middle of its capture; ``result()`` lets it go on."""
    gate = Gate()
    with in_the_middle_of_a_capture(gate):
        running = Running(session().update, gate)
        yield running
        running.result()


@pytest.fixture
def compiled() -> Iterator[Running]:
    """A session that stands in the middle of compiling a piece with a backend of its own."""
    gate = Gate()
    running = Running(session(backend=Backend(gate)).update, gate)
    yield running
    running.result()


def counting() -> tuple[Callable[..., Any], list[Any]]:
    """A backend for torch.compile, and the graphs that it was given."""
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    return backend, graphs


def settings() -> dict[str, Any]:
    """What the process, or this thread, has that a compile could change."""
    return {
        "dynamo": torch._dynamo.config.get_config_copy(),
        "inductor": torch._inductor.config.get_config_copy(),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "loggers": {
            name: (logger.level, logger.disabled)
            for name, logger in logging.root.manager.loggerDict.items()
            if isinstance(logger, logging.Logger) and name.startswith(("torch", "explorer"))
        },
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "random": torch.random.get_rng_state().tolist(),
        "environment": dict(__import__("os").environ),
    }


# ------------------------------------------------------------ what the cell sees while we capture


def test_a_cell_sees_its_own_settings_while_we_capture(request: pytest.FixtureRequest) -> None:
    before = settings()
    running = request.getfixturevalue("captured")
    meanwhile = settings()
    running.result()
    after = settings()
    loggers = before.pop("loggers")
    for name, value in before.items():
        assert meanwhile[name] == value, name
        assert after[name] == value, name
    assert {name: meanwhile["loggers"][name] for name in loggers} == loggers
    assert {name: after["loggers"][name] for name in loggers} == loggers


def test_settings_that_a_cell_changes_meanwhile_stay_changed(captured: Running) -> None:
    prior = torch.are_deterministic_algorithms_enabled()
    try:
        with torch._dynamo.config.patch(recompile_limit=3):
            torch.use_deterministic_algorithms(True)
            torch.manual_seed(7)
            first = torch.rand(3)
            captured.result()
            assert torch._dynamo.config.recompile_limit == 3
        assert torch.are_deterministic_algorithms_enabled()
        second = torch.rand(3)
    finally:
        torch.use_deterministic_algorithms(prior)
    torch.manual_seed(7)
    assert torch.equal(first, torch.rand(3))
    assert torch.equal(second, torch.rand(3)), "the random state was set back"


def test_a_default_dtype_that_changes_in_a_capture_is_not_mixed_into_the_graph() -> None:
    class Makes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sin() + torch.ones(4)

    gate = Gate()
    config = explorer.CompilationConfig(backend="eager", max_size=64)
    x = torch.ones(8, 4)
    made = explorer.Session(Makes(), (x,), dynamic_arg_dims={"x": 0}, config=config)
    prior = torch.get_default_dtype()
    try:
        with in_the_middle_of_a_capture(gate):
            running = Running(made.update, gate)
            torch.set_default_dtype(torch.float64)
            with pytest.raises(CaptureError, match="compile again"):
                running.result()
        made.update()
        assert made.run(torch.ones(8, 4, dtype=torch.float32)).dtype is torch.float64
    finally:
        torch.set_default_dtype(prior)


def test_a_capture_gives_up_when_settings_change_each_time() -> None:
    from torch._dynamo.output_graph import OutputGraph

    original, prior = OutputGraph.create_proxy, torch.get_default_dtype()

    def create_proxy(self: Any, *args: Any, **kwargs: Any) -> Any:
        others = {torch.float32: torch.float64, torch.float64: torch.float32}
        torch.set_default_dtype(others[torch.get_default_dtype()])
        return original(self, *args, **kwargs)

    odd = nn.Sequential(nn.ReLU())
    made = explorer.Session(odd, (torch.ones(8, 4),), dynamic_arg_dims={"input": 0})
    OutputGraph.create_proxy = create_proxy
    try:
        with pytest.raises(CaptureError, match="changed settings of the process"):
            made.update(backend="eager")
    finally:
        OutputGraph.create_proxy = original
        torch.set_default_dtype(prior)


def test_warnings_of_a_cell_are_recorded_by_the_cell(captured: Running) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn("of the cell", stacklevel=1)
        captured.result()
        warnings.warn("after it", stacklevel=1)
    assert [str(each.message) for each in seen] == ["of the cell", "after it"]


def test_a_log_of_another_thread_is_not_silenced(
    captured: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="torch._guards"):
        logging.getLogger("torch._guards").error("of the cell")
    assert "of the cell" in caplog.text


# ---------------------------------------------------------- torch.compile in the cell, meanwhile


@pytest.mark.parametrize("dynamic", [None, True, False])
@pytest.mark.parametrize("stage", ["captured", "compiled"])
def test_torch_compile_in_a_cell_gives_the_same_graphs(
    stage: str, dynamic: bool | None, request: pytest.FixtureRequest
) -> None:
    def cell() -> tuple[Any, int, Any]:
        backend, graphs = counting()

        def function(x: torch.Tensor) -> torch.Tensor:
            return x.sin() + x.shape[0]

        made = torch.compile(function, fullgraph=True, dynamic=dynamic, backend=backend)
        results = [made(torch.ones(n)).sum().item() for n in (3, 5, 7)]
        texts = [graph.print_readable(print_output=False) for graph in graphs]
        return results, len(graphs), texts

    torch._dynamo.reset()
    alone = cell()
    torch._dynamo.reset()
    running = request.getfixturevalue(stage)
    cells = Running(cell)
    if stage == "captured":  # it waits for the trace
        cells.thread.join(0.2)
    running.result() if stage == "captured" else None
    assert cells.result() == alone


def test_what_is_compiled_already_runs_while_we_capture(request: pytest.FixtureRequest) -> None:
    backend, graphs = counting()
    made = torch.compile(Model(), backend=backend)
    x = torch.ones(8, 4)
    expected = made(x)
    request.getfixturevalue("captured")
    assert torch.equal(made(x), expected)
    assert len(graphs) == 1, "it was compiled again"


def test_a_reset_waits_for_the_trace(captured: Running) -> None:
    reset = Running(torch._dynamo.reset)
    reset.thread.join(0.2)
    assert reset.thread.is_alive(), "dynamo was reset in the middle of a trace"
    captured.result()
    reset.result()


def test_we_wait_for_a_cell_that_compiles() -> None:
    gate = Gate()

    def backend(graph: Any, _: Any) -> Any:
        gate()
        return graph.forward

    cell = Running(lambda: torch.compile(lambda x: x + 1, backend=backend)(torch.ones(3)), gate)
    ours = Running(session().update)
    ours.thread.join(0.3)
    assert ours.thread.is_alive(), "two threads trace at once"
    assert torch.equal(cell.result(), torch.full((3,), 2.0))
    assert len(ours.result().pieces) == 1


def test_what_a_cell_compiles_while_we_wait_is_not_taken_away() -> None:
    """The cell's function and our model have the same globals, into which torch writes names."""
    gate = Gate()

    def backend(graph: Any, _: Any) -> Any:
        gate()
        return graph.forward

    made = torch.compile(lambda x: x + 1, backend=backend)
    cell = Running(lambda: made(torch.ones(3)), gate)
    ours = Running(session().update)
    ours.thread.join(0.3)
    cell.result()
    ours.result()
    names = [name for name in globals() if name.startswith("__compiled_fn_")]
    assert names, "the compiled function of the cell is gone"
    assert torch.equal(made(torch.ones(3)), torch.full((3,), 2.0))


def test_a_backend_of_the_cell_may_compile_with_us_meanwhile(captured: Running) -> None:
    """Both take the same lock, so that they cannot wait for each other."""

    def backend(graph: Any, _: Any) -> Any:
        session().update()
        return graph.forward

    cell = Running(lambda: torch.compile(lambda x: x + 1, backend=backend)(torch.ones(3)))
    captured.result()
    assert torch.equal(cell.result(), torch.full((3,), 2.0))


# ----------------------------------------------------------------------- torch.fx in the cell


class Leaf(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.leaf = Leaf()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leaf(self.inner(x))


def test_a_symbolic_trace_that_begins_in_a_capture_is_right(captured: Running) -> None:
    cell = Running(lambda: torch.fx.symbolic_trace(Outer()))
    captured.result()
    traced = cell.result()
    assert [node.op for node in traced.graph.nodes] == [
        *("placeholder", "call_module", "call_function", "output")
    ]


def test_a_capture_that_begins_in_a_symbolic_trace_leaves_it_alone() -> None:
    gate = Gate()

    class Slow(Outer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate()
            return super().forward(x)

    cell = Running(lambda: torch.fx.symbolic_trace(Slow()), gate)
    ours = Running(session().update)
    ours.thread.join(0.3)
    assert ours.thread.is_alive(), "it traces while nn.Module is patched"
    traced = cell.result()
    assert [node.op for node in traced.graph.nodes] == [
        *("placeholder", "call_module", "call_function", "output")
    ]
    assert [
        node.target for node in ours.result().captured.graph.nodes if node.op == "call_module"
    ] == []
    assert "torch/nn/modules" in nn.Module.__call__.__code__.co_filename


def test_a_tracer_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "SECONDS_FOR_A_TRACER", 0.05)
    gate = Gate()

    class Slow(Outer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate()
            return super().forward(x)

    cell = Running(lambda: torch.fx.symbolic_trace(Slow()), gate)
    with pytest.raises(CaptureError, match="symbolic_trace"):
        session().update()
    cell.result()


def test_a_graph_module_made_meanwhile_can_be_compiled(captured: Running) -> None:
    """Torch marks code of graph modules that are made while it traces as not to be looked into."""
    graph = torch.fx.Graph()
    graph.output(graph.call_function(torch.sin, (graph.placeholder("x"),)))
    made = torch.fx.GraphModule(nn.Module(), graph)
    captured.result()
    backend, graphs = counting()
    assert torch.equal(torch.compile(made, backend=backend)(torch.ones(3)), torch.ones(3).sin())
    assert len(graphs) == 1, "it ran eagerly"


def test_a_capture_that_begins_in_an_export_is_right() -> None:
    gate = Gate()

    class Slow(Outer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate()
            return super().forward(x)

    cell = Running(lambda: torch.export.export(Slow(), (torch.ones(3, 4),), strict=False), gate)
    ours = Running(session().update)
    ours.thread.join(0.3)
    assert ours.thread.is_alive(), "it reads the flags of the export"
    exported, x = cell.result().module(), torch.ones(2, 4)[:1].expand(3, 4)
    assert exported(x).shape == (3, 4)
    assert len(ours.result().pieces) == 1


def test_an_export_that_begins_in_a_capture_is_right(captured: Running) -> None:
    x = torch.ones(3, 4)
    outer = Outer()
    cell = Running(lambda: torch.export.export(outer, (x,)).module()(x))
    captured.result()
    torch.testing.assert_close(cell.result(), outer(x))


def test_inputs_of_a_piece_are_made_while_nobody_else_traces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else an export in another thread takes the symbols in them into its trace."""
    from explorer.torch_private import shapes

    others: list[bool] = []

    def another_may_trace() -> bool:
        is_free = beside.COMPILE_LOCK.acquire(blocking=False)
        if is_free:
            beside.COMPILE_LOCK.release()
        return is_free

    def fake_values(*args: Any) -> Any:
        others.append(Running(another_may_trace).result())
        return original(*args)

    original = shapes._fake_values
    monkeypatch.setattr(shapes, "_fake_values", fake_values)
    explorer.compile_model(
        Model(),
        (torch.ones(3, 4),),
        dynamic_arg_dims={"x": {0: "n"}},
        config=explorer.CompilationConfig(backend="eager"),
    )
    assert others == [False]


# ------------------------------------------------------------- AOTAutograd in the other thread


@pytest.fixture
def lowering() -> Iterator[Running]:
    """A thread of ours in the middle of what AOTAutograd does to a piece: ``make_fx``."""
    gate = Gate()
    from torch.fx.experimental.proxy_tensor import make_fx

    def function(x: torch.Tensor) -> torch.Tensor:
        gate()
        return x.sin()

    def lower() -> Any:
        with beside.alone():
            return make_fx(function)(torch.ones(3))

    running = Running(lower, gate)
    yield running
    running.result()


def test_a_compiled_function_runs_while_we_lower_a_piece(request: pytest.FixtureRequest) -> None:
    backend, graphs = counting()
    model = Model()
    made = torch.compile(model, backend=backend)
    x = torch.ones(8, 4)
    expected = made(x)
    request.getfixturevalue("lowering")
    assert torch.equal(made(x), expected)
    assert torch.equal(model(x), expected)
    assert len(graphs) == 1, "it was compiled again"


def test_a_cell_traces_after_we_lowered_a_piece(lowering: Running) -> None:
    cell = Running(lambda: torch.fx.symbolic_trace(Outer()))
    cell.thread.join(0.2)
    assert cell.thread.is_alive(), "two threads patch nn.Module at once"
    assert "sin" in lowering.result().code
    assert len(cell.result().graph.nodes) == 4
    assert "torch/nn/modules" in nn.Module.__call__.__code__.co_filename


def test_a_restored_random_state_of_ours_takes_nothing_back() -> None:
    gate = Gate()

    def restores() -> None:
        with beside.alone():
            state = torch.random.get_rng_state()
            gate()
            torch.random.set_rng_state(state)

    running = Running(restores, gate)
    torch.manual_seed(3)
    first = torch.rand(2)
    running.result()
    second = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.cat([first, second]), torch.rand(4))


def test_everything_is_as_it_was_afterwards() -> None:
    import torch._dynamo.convert_frame as convert_frame
    import torch.fx._symbolic_trace as symbolic_trace
    import torch.fx.graph_module as graph_module

    places = (
        (torch.fx.Tracer, "trace"),
        (torch.random, "set_rng_state"),
        (convert_frame, "trace_frame"),
        (graph_module, "_forward_from_src"),
        (symbolic_trace, "_new_patcher"),
        (symbolic_trace, "_is_fx_tracing_flag"),
    )
    before = [getattr(*place) for place in places]
    Running(session().update).result()
    with pytest.raises(CaptureError):
        session(splitting_ops=()).update(dynamic_arg_dims={"x": 1})
    assert [getattr(*place) for place in places] == before


# ---------------------------------------------------------------- settings of the submitting thread


def test_settings_of_the_cell_are_those_when_it_asked() -> None:
    """Changes while the job runs reach neither the job nor, from the job, the cell."""
    gate = Gate()
    seen: list[Any] = []

    def look() -> None:
        state = (
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_default_device(),
        )
        seen.append(state)

    def job() -> None:
        look()
        gate()
        look()
        torch.set_grad_enabled(True)
        torch._dynamo.config.recompile_limit = 99

    with torch.no_grad():
        work = with_settings_of_this_thread(job)
    before = torch._dynamo.config.recompile_limit
    running = Running(work, gate)
    with torch.autocast("cpu"), torch.device("meta"):
        assert torch.is_grad_enabled()
        running.result()
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_device().type == "meta"
    assert seen == [(False, False, torch.device("cpu"))] * 2
    assert torch._dynamo.config.recompile_limit == before


@pytest.mark.parametrize("stage", ["captured", "compiled"])
def test_modes_that_a_cell_enters_meanwhile_do_not_reach_the_graph(
    stage: str, request: pytest.FixtureRequest
) -> None:
    running = request.getfixturevalue(stage)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        assert torch.is_inference_mode_enabled()
        compilation = running.result()
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
    values = [node.meta.get("example_value") for node in compilation.captured.graph.nodes]
    dtypes = {value.dtype for value in values if isinstance(value, torch.Tensor)}
    devices = {value.device.type for value in values if isinstance(value, torch.Tensor)}
    assert dtypes == {torch.float32}
    assert devices == {"cpu"}


def test_autograd_of_a_cell_goes_on_meanwhile(captured: Running) -> None:
    x = torch.ones(3, requires_grad=True)
    (x * x).sum().backward()
    captured.result()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.full((3,), 2.0))


def test_the_collector_of_garbage_is_on_again() -> None:
    assert gc.isenabled()
    Running(session().update).result()
    assert gc.isenabled()
