"""The source of a graph module goes when its code does; torch keeps every one that was ever made.

Private names used (torch 2.13.0): ``torch.fx.graph_module._loader.eval_cache``.
"""

from __future__ import annotations

import linecache
import weakref

from torch import fx
from torch.fx import graph_module


def forgotten_with_its_code(module: fx.GraphModule) -> fx.GraphModule:
    """The module; where its ``forward`` is no longer alive, nothing keeps the text of it."""
    forward = type(module).forward
    weakref.finalize(forward, _forget, forward.__code__.co_filename)
    return module


def _forget(file: str) -> None:
    linecache.cache.pop(file, None)
    loader = getattr(graph_module, "_loader", None)
    getattr(loader, "eval_cache", {}).pop(file, None)


__all__ = ["forgotten_with_its_code"]
