"""The modes without a captured graph: eager and torch.compile, called like a CompiledModel."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer import CompilationConfig, CompilationMode, ConfigError, Session, compile_model
from tests.explorer.comparing import EAGER, filled

NONE = EAGER.replace(mode=CompilationMode.NONE)
STOCK = EAGER.replace(mode=CompilationMode.STOCK_TORCH_COMPILE)
TRACE_ONCE = EAGER.replace(mode=CompilationMode.DYNAMO_TRACE_ONCE)


def branch(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[0] != 4 else x + 1


@pytest.mark.parametrize("config", [NONE, STOCK])
def test_result_is_eagers_at_every_size(config: CompilationConfig) -> None:
    model = compile_model(branch, (filled(6, 3),), config=config)
    for rows in (6, 4, 1, 0, 9):
        torch.testing.assert_close(model(filled(rows, 3)), branch(filled(rows, 3)))


@pytest.mark.parametrize("config", [NONE, STOCK])
def test_there_is_no_compilation(config: CompilationConfig) -> None:
    model = compile_model(branch, (filled(6, 3),), config=config)
    with pytest.raises(ConfigError, match=f"mode={config.mode.name} captures no graph"):
        _ = model.compilation
    with pytest.raises(ConfigError, match="covers nothing"):
        model.cover()
    assert model.variants == ()
    assert config.mode.name in repr(model)


def test_calls_are_recorded() -> None:
    model = compile_model(branch, (filled(6, 3),), config=NONE)
    with model.record() as record:
        model(filled(6, 3))
    assert record.microseconds is not None
    assert record.microseconds > 0
    assert record.variant is None


def test_stock_takes_one_graph_for_sizes_of_one_branch() -> None:
    """Its dims are marked in the first call, on tensors of its own."""
    graphs = []
    x = filled(6, 3)

    def counted(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    with pytest.MonkeyPatch.context() as patched:
        compiled = torch.compile
        patched.setattr(torch, "compile", lambda model, **_: compiled(model, backend=counted))
        model = compile_model(branch, (x,), config=STOCK)
    for rows in (6, 9, 17):
        model(filled(rows, 3))
    assert len(graphs) == 1
    model(filled(4, 3))
    assert len(graphs) == 2
    assert not [name for name in vars(x) if "dynamo" in name]


def test_stock_takes_no_backend_of_pieces() -> None:
    class Mine:
        name = "mine"

        def identity(self) -> str:
            return "mine"

        def compile(self, graph: Any, inputs: Any, **options: Any) -> Any:
            return graph.forward

    with pytest.raises(ConfigError, match="STOCK_TORCH_COMPILE takes backend='inductor' or"):
        compile_model(branch, (filled(6, 3),), config=STOCK.replace(backend=Mine()))


def test_trace_once_cuts_nothing_and_has_one_range() -> None:
    config = TRACE_ONCE.replace(
        splitting_ops=("aten::mul",), compile_sizes=(16,), compile_ranges_endpoints=(8,)
    )
    compilation = compile_model(branch, (filled(6, 3),), config=config).compilation
    assert [piece.kind.value for piece in compilation.pieces] == ["compiled"]
    assert [str(each) for each in compilation.size_ranges] == ["1–256"]


def test_session_goes_from_mode_to_mode() -> None:
    session = Session(branch, (filled(6, 3),), config=EAGER.replace(splitting_ops=("torch.mul",)))
    first = session.update()
    once = session.update(mode=CompilationMode.DYNAMO_TRACE_ONCE)
    assert len(once.pieces) <= len(first.pieces)
    assert session.config.splitting_ops == ("torch.mul",)
    with pytest.raises(ConfigError, match="mode=NONE captures no graph"):
        session.update(mode="none")
    assert session.compilation is once
    again = session.update(mode=CompilationMode.PIECEWISE)
    assert [piece.name for piece in again.pieces] == [piece.name for piece in first.pieces]


def test_session_without_a_graph_runs() -> None:
    session = Session(branch, (filled(6, 3),), config=NONE)
    torch.testing.assert_close(session.run(filled(4, 3)), branch(filled(4, 3)))
    with pytest.raises(ConfigError, match="nothing to cut, compile or"):
        session.plan()
