"""Panels over small models; what a test leaves running is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from explorer import CompileTarget
from sample_models import branching, toy_llama
from widgets import explore
from widgets.panel import Panel

SECONDS = 60.0


@pytest.fixture(scope="session")
def llama() -> CompileTarget:
    return toy_llama.sample(layers=2)


@pytest.fixture
def open_panel(llama: CompileTarget) -> Iterator[Callable[..., Panel]]:
    """Opens a panel, on the toy llama unless another target is given, with backend eager."""
    panels: list[Panel] = []

    def open_one(backend: Any = "eager", target: CompileTarget = llama, **options: Any) -> Panel:
        config = target.compilation_config().replace(backend=backend, compile_sizes=())
        given: dict[str, Any] = {
            "dynamic_arg_dims": target.dynamic_arg_dims,
            "make_inputs": target.make_inputs,
            "config": config.replace(**options.pop("changes", {})),
            "name": target.name,
        }
        panels.append(explore(target.model, target.example_inputs, **given | options))
        return panels[-1]

    yield open_one
    for panel in panels:
        panel.stop()
        panel.wait(SECONDS)
        panel.close()


@pytest.fixture
def panel(open_panel: Callable[..., Panel]) -> Panel:
    """A panel on the toy llama whose first compile is done."""
    opened = open_panel()
    opened.wait(SECONDS)
    return opened


@pytest.fixture
def branching_panel(open_panel: Callable[..., Panel]) -> Panel:
    """A panel on a model that is right for every size but 4, whose first compile is done."""
    opened = open_panel(target=branching.sample())
    opened.wait(SECONDS)
    return opened
