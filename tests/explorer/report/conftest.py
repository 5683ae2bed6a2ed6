"""Compilations to look at, each made once: backend eager, small models."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import explorer
from explorer.compilation import Compilation
from explorer.session import session_of
from sample_models import branching, toy_llama

HOSTILE = 'x"><img src=q onerror=alert(1)>'
"""A legal name of a module that would run a script on a page that does not escape it."""


def compiled(target: Any, **changes: Any) -> Compilation:
    """The target with backend eager and some settings changed."""
    config = target.compilation_config().replace(backend="eager", **changes)
    return session_of(target, config).update()


class Chain(nn.Module):
    """Calls its children one after the other, whatever they are called."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            x = child(x).relu()
        return x


@pytest.fixture(scope="session")
def compile_target() -> Callable[..., Compilation]:
    """compile_target(target, **changes) -> Compilation, backend eager."""
    return compiled


@pytest.fixture(scope="session")
def toy() -> Compilation:
    """12 layers: 25 pieces, 13 compiled, 3 unique; ranges 1-8, 9-32, 33-2048, exact 16 and 64."""
    target = toy_llama.sample(layers=12, hidden=32)
    return compiled(target, compile_ranges_endpoints=(8, 32), compile_sizes=(16, 64))


@pytest.fixture(scope="session")
def branch() -> Compilation:
    """One piece, right for every size but 4."""
    return compiled(branching.sample())


@pytest.fixture(scope="session")
def hostile() -> Compilation:
    """Names of modules, and the name of the model, with markup in them; cut at relu."""
    model = Chain()
    model.add_module(HOSTILE, nn.Linear(4, 4))
    model.add_module("second", nn.Linear(4, 4))
    config = explorer.CompilationConfig(
        backend="eager", splitting_ops=("Tensor.relu",), max_size=64
    )
    with torch.no_grad():
        session = explorer.Session(
            model,
            (torch.ones(8, 4),),
            dynamic_arg_dims={"x": {0: "n"}},
            config=config,
            name=f"</title>{HOSTILE}",
        )
        return session.update()
