"""Targets for tests: modules on disk for the command line, and sessions with backend eager."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import explorer
from explorer import session

_numbers = itertools.count()

SMALL = """
import torch
from torch import nn
import explorer


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        x = self.linear(x).relu()
        return self.linear(x).relu() if x.shape[0] != 5 else x


def make(**changes):
    torch.manual_seed(0)
    settings = dict(splitting_ops=("Tensor.relu",), max_size=16, compile_ranges_endpoints=(8,))
    return explorer.CompileTarget(
        name="small",
        model=Small(),
        example_inputs=(torch.ones(6, 4),),
        dynamic_arg_dims={"x": {0: "n"}},
        shows="It branches on 5 rows.",
        config=explorer.CompilationConfig(**settings | changes),
    )


def make_eager():
    return make(backend="eager")


class Wrong:
    name = "wrong"

    def identity(self):
        return "wrong"

    def compile(self, graph, example_inputs, *, size_range, options):
        return lambda *values: tuple(value + 1 for value in graph(*values))


def make_wrong():
    return make(backend=Wrong())
"""
"""Two linear layers around a branch; ``make``, ``make_eager`` and ``make_wrong`` are factories."""


def write_module(folder: Path, text: str) -> str:
    """Writes a module under a name that nobody used before, and returns the name."""
    name = f"target_module_{next(_numbers)}"
    (folder / f"{name}.py").write_text(text)
    sys.modules.pop(name, None)
    return name


def session_of(model: Any, *example: Any, config: Any = None, **rest: Any) -> explorer.Session:
    """A session over positional inputs."""
    settings = config or explorer.CompilationConfig(backend="eager", max_size=64)
    return explorer.Session(model, example, config=settings, **rest)


def session_of_target(target: explorer.CompileTarget, **changes: Any) -> explorer.Session:
    """A session of a target, with some settings changed."""
    config = target.compilation_config().replace(backend="eager", **changes)
    return session.session_of(target, config)
