"""Panels over small models; what a test leaves running is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from explorer import CompileTarget
from sample_models import toy_llama
from widgets import explore
from widgets.panel import Panel

SECONDS = 60.0


@pytest.fixture(scope="session")
def llama() -> CompileTarget:
    return toy_llama.sample(layers=2)


@pytest.fixture
def open_panel(llama: CompileTarget) -> Iterator[Callable[..., Panel]]:
    """Opens a panel on the toy llama, eager unless another backend is given."""
    panels: list[Panel] = []

    def open_one(backend: Any = "eager", **options: Any) -> Panel:
        given: dict[str, Any] = {
            "dynamic_arg_dims": llama.dynamic_arg_dims,
            "make_inputs": llama.make_inputs,
            "config": llama.compilation_config().replace(backend=backend, compile_sizes=()),
            "name": llama.name,
        }
        panels.append(explore(llama.model, llama.example_inputs, **given | options))
        return panels[-1]

    yield open_one
    for panel in panels:
        panel.stop()
        panel.wait(SECONDS)


@pytest.fixture
def panel(open_panel: Callable[..., Panel]) -> Panel:
    """A panel whose first compile is done."""
    opened = open_panel()
    opened.wait(SECONDS)
    return opened
