"""The source of a graph module goes when its code does; torch keeps every one that was ever made.

Private names used (torch 2.13.0): ``torch.fx.graph_module._loader.eval_cache``.
"""

from __future__ import annotations

import linecache
import weakref
from collections.abc import Callable
from typing import Any

from torch import fx
from torch.fx import graph_module


def forgotten_with_its_code(module: fx.GraphModule) -> fx.GraphModule:
    """The module; where its ``forward`` is no longer alive, nothing keeps the text of it."""
    forgotten_with_it(type(module).forward)
    return module


def forgotten_with_it(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The code of a graph module; when it is no longer alive, nothing keeps its text."""
    weakref.finalize(forward, _forget, forward.__code__.co_filename)
    return forward


def _forget(file: str) -> None:
    linecache.cache.pop(file, None)
    loader = getattr(graph_module, "_loader", None)
    getattr(loader, "eval_cache", {}).pop(file, None)


__all__ = ["forgotten_with_it", "forgotten_with_its_code"]
