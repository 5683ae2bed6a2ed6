"""The checks of ``explorer doctor``: they pass on the tested torch, and find what is gone."""

from collections.abc import Callable

import pytest

from explorer.torch_private import canaries


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=name) for name, check in canaries.CANARIES]
)
def test_private_name_behaves(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("torch._guards.TracingContext.extract_stack", "torch._guards.TracingContext"),
        ("torch._dynamo.convert_frame.fullgraph_capture", "fullgraph_capture"),
        ("torch._inductor.exc.InductorError", "torch._inductor.standalone_compile"),
        ("torch._dynamo.exc.UserError", "torch._dynamo.exc"),
    ],
)
def test_a_name_that_is_gone_is_found(monkeypatch, place: str, name: str) -> None:
    monkeypatch.delattr(place)
    found = canaries.problems()
    assert any(name in each for each in found), found
    assert all("\n" not in problem for problem in found.values())


def test_a_method_that_is_not_wrapped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.torch_private.recorder.WRAPPED", ("_log_guard",))
    monkeypatch.setattr(
        "explorer.torch_private.recorder._wrap_evaluate", lambda original, *_: original
    )
    found = canaries.problems()
    assert "asked by a branch" in found["ShapeEnv.evaluate_expr"]
