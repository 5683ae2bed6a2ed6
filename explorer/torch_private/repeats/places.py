"""Where a call stands: the modules that it is inside of, the user's lines that lead there.

Private names used (torch 2.13.0): of a translator ``parent``, ``frame_summary``,
``is_co_filename_from_nn_modules`` and ``nn_module_stack``; ``uninteresting_files``; the keys
``nn_module_stack`` and ``stack_trace`` of a node's ``meta``.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import uninteresting_files

from explorer.torch_private.repeats.arguments import NotComparableError


@dataclass(frozen=True, eq=False)
class Place:
    """Where a call stands.

    Attributes:
        module: the module that is called.
        modules: those that it is inside of, itself last, as the nodes of a graph name them.
        frames: the user's frames, outermost first.
        shown: those of them that the nodes of a graph show, as text.
    """

    module: torch.nn.Module
    modules: Mapping[str, tuple[str, type]]
    frames: Sequence[traceback.FrameSummary]
    shown: str

    @property
    def path(self) -> str:
        """The module's own path."""
        return list(self.modules.values())[-1][0]


def place_of(translator: Any, module: torch.nn.Module) -> Place:
    """Where the code of a translator calls a module.

    Raises:
        NotComparableError: it does so again, which torch gives another name.
    """
    modules = dict(translator.nn_module_stack)
    if any("@" in key for key in modules):
        raise NotComparableError("a module that is called again")
    frames: list[traceback.FrameSummary] = []
    shown: list[traceback.FrameSummary] = []
    uninteresting, each = uninteresting_files(), translator
    while each is not None:
        frame = each.frame_summary()
        frames.append(frame)
        if not each.is_co_filename_from_nn_modules() and frame.filename not in uninteresting:
            shown.append(frame)
        each = getattr(each, "parent", None)
    text = "".join(traceback.StackSummary.from_list(shown[::-1]).format())
    return Place(module, modules, frames[::-1], text)


class Moved:
    """What something says of its place in one call, said of another call."""

    def __init__(self, old: Place, new: Place) -> None:
        self._old, self._new = old, new
        self._is_same_line = list(old.frames) == list(new.frames)
        self._stacks: dict[tuple[str, ...], dict[str, tuple[str, type]]] = {}
        self._texts: dict[str, str] = {}

    def modules(self, stack: Mapping[str, tuple[str, type]]) -> dict[str, tuple[str, type]]:
        """The modules that a node was made in.

        Raises:
            NotComparableError: the other call has no such modules.
        """
        key = tuple(stack)
        known = self._stacks.get(key)
        if known is None:
            known = self._stacks[key] = dict(self._new.modules)
            for name, (path, kind) in itertools.islice(stack.items(), len(self._old.modules), None):
                inner = path.removeprefix(self._old.path)
                known[str(id(self._inner(name, path, inner)))] = (self._new.path + inner, kind)
        return known

    def _inner(self, name: str, path: str, inner: str) -> torch.nn.Module:
        if "@" in name or inner == path:
            raise NotComparableError(f"{path} is called again, or is no part of the layer")
        try:
            return self._new.module.get_submodule(inner.lstrip("."))
        except AttributeError as error:
            raise NotComparableError(f"there is no {inner}") from error

    def say(self, new: fx.Node, old: fx.Node) -> None:
        """Lets a node say of its place what the first call's says, moved."""
        stack, text = old.meta.get("nn_module_stack"), old.meta.get("stack_trace")
        if stack is not None:
            new.meta["nn_module_stack"] = self.modules(stack)
        if text:
            new.meta["stack_trace"] = self._text(text)

    def _text(self, text: str) -> str:
        if self._is_same_line or not text.startswith(self._old.shown):
            return text
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._new.shown + text[len(self._old.shown) :]
        return known

    def frames(self, stack: traceback.StackSummary | None) -> traceback.StackSummary | None:
        """The user's frames of something."""
        depth = len(self._old.frames)
        if stack is None or self._is_same_line or list(stack[:depth]) != list(self._old.frames):
            return stack
        return traceback.StackSummary.from_list([*self._new.frames, *stack[depth:]])


__all__ = ["Moved", "Place", "place_of"]
