"""The generated program that runs the pieces.

It is straight-line Python, one function per row of the dispatch table. Parameters, buffers and
constants are names in the function's globals, bound once; the function takes what changes from call
to call. A value is dropped after its last use, so that memory is freed as early as liveness allows.
"""

from __future__ import annotations

import builtins
import keyword
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from explorer.artifacts import (
    ComputedSize,
    GraphInput,
    InputKind,
    Literal,
    Piece,
    PieceKind,
    StitchedProgram,
    UniquePieces,
)
from explorer.errors import PlanError
from explorer.guards.expression import SCALAR_FUNCTIONS, UnknownExpression, python_source
from explorer.stages.graphs import is_tuple_getitem
from explorer.torch_private import ops

PER_CALL = (InputKind.USER, InputKind.SIZE)
_PLAIN = (bool, int, float, str, type(None))
_RESERVED = frozenset({"arguments", "clock", "times", *SCALAR_FUNCTIONS, *dir(builtins)})


def write_program(
    unique: UniquePieces,
    name: str,
    *,
    reserved: Iterable[str] = (),
    recording: bool = False,
) -> StitchedProgram:
    """Writes the stitching function.

    Args:
        unique: the pieces.
        name: the function's name.
        reserved: names that the text keeps free, so that the function can have one of them.
        recording: whether it takes a list ``times`` before the inputs, and adds the time by
            ``clock`` before and after each piece.

    Raises:
        PlanError: the graph holds something that has no text.
    """
    writer = _Writer(unique, recording, name, reserved)
    source = writer.write()
    return StitchedProgram(source, name, writer.scope, writer.bound_names, tuple(writer.called))


class _Writer:
    def __init__(
        self, unique: UniquePieces, recording: bool, name: str, reserved: Iterable[str]
    ) -> None:
        self.name = name
        self.unique = unique
        self.split = unique.split
        self.recording = recording
        self.called: list[str] = []
        self.scope: dict[str, Any] = {}
        self.scope_name_of: dict[int, str] = {}
        self.text_of: dict[str, str] = {}
        self.taken: set[str] = set(_RESERVED) | {name, *reserved}
        self.taken |= {piece.name for piece in unique.pieces}
        self.lines: list[str] = []
        self.inputs = self.split.normalised.inputs
        for graph_input in self.inputs:
            self.local(graph_input.name)
        self.bound_names = {
            each.name: self.text_of[each.name] for each in self.inputs if each.kind not in PER_CALL
        }
        self.last_use = self._last_uses()

    def _last_uses(self) -> dict[str, int]:
        """Value -> index of the last piece that reads it.

        Returned values and inputs are never dropped.
        """
        last: dict[str, int] = {}
        for piece in self.unique.pieces:
            last |= dict.fromkeys(piece.inputs, piece.index)
            for name in piece.outputs:
                last.setdefault(name, piece.index)
        kept = {each.name for each in self.inputs}
        for value in self.split.outputs:
            if isinstance(value, str):
                kept.add(value)
            elif isinstance(value, ComputedSize):
                kept |= set(value.names.values())
        return {name: index for name, index in last.items() if name not in kept}

    def local(self, name: str) -> str:
        """The name in the text for a value of the graph."""
        if name not in self.text_of:
            text = (
                name
                if name.isidentifier() and not keyword.iskeyword(name)
                else f"value_{len(self.text_of)}"
            )
            while text in self.taken:
                text += "_"
            self.taken.add(text)
            self.text_of[name] = text
        return self.text_of[name]

    def write(self) -> str:
        """The source of the whole function."""
        parameters = ["times"] if self.recording else []
        parameters += [self.local(each.name) for each in self.inputs if each.kind in PER_CALL]
        head = f"def {self.name}({', '.join(parameters)}):"
        for piece in self.unique.pieces:
            self._piece(piece)
        returned = ", ".join(self._output(value) for value in self.split.outputs)
        comma = "," if len(self.split.outputs) == 1 else ""
        self.lines.append(f"return ({returned}{comma})")
        return head + "\n" + "\n".join(f"    {line}" for line in self.lines) + "\n"

    def _piece(self, piece: Piece) -> None:
        self.lines.append(f"# {self._heading(piece)}")
        if self.recording:
            self.lines.append("times.append(clock())")
        if piece.kind is PieceKind.SPLITTING and self._inline(piece):
            self._drop([name for name in piece.inputs if self.last_use.get(name) == piece.index])
        else:
            self._call(piece)
        unread = [name for name in piece.outputs if self.last_use.get(name) == piece.index]
        self._drop(unread)
        if self.recording:
            self.lines.append("times.append(clock())")

    def _heading(self, piece: Piece) -> str:
        where = piece.modules[0] if piece.modules else ""
        more = f" to {piece.modules[-1]}" if len(piece.modules) > 1 else ""
        module = _comment(f" · {where}{more}" if where else "")
        if piece.kind is PieceKind.SPLITTING:
            return (
                f"{piece.name} · splits at {_comment(', '.join(piece.splitting_names[:3]))}{module}"
            )
        return f"{piece.name} · compiled {piece.unique_id} · {piece.node_count} nodes{module}"

    def _call(self, piece: Piece) -> None:
        self.called.append(piece.name)
        arguments = ", ".join(self.local(name) for name in piece.inputs)
        dead = [name for name in piece.inputs if self.last_use.get(name) == piece.index]
        targets = ", ".join(self.local(name) for name in piece.outputs)
        assign = f"({targets},) = " if targets else ""
        if not dead:
            self.lines.append(f"{assign}{piece.name}([{arguments}])")
            return
        # A runner may empty the list, so that a value that only it holds is freed inside the call.
        self.lines.append(f"arguments = [{arguments}]")
        self._drop(dead)
        self.lines.append(f"{assign}{piece.name}(arguments)")
        self.lines.append("del arguments")

    def _drop(self, names: list[str]) -> None:
        if names:
            self.lines.append(f"del {', '.join(self.local(name) for name in names)}")

    def _inline(self, piece: Piece) -> bool:
        """Writes the calls of a short splitting piece in place.

        The result is False when it is not that simple.
        """
        calls = [n for n in piece.graph.nodes if n.op in ("call_function", "call_method")]
        others = [n for n in piece.graph.nodes if n.op == "get_attr"]
        if others or sum(not is_tuple_getitem(node) for node in calls) > 3:
            return False
        names: dict[fx.Node, str] = {}
        locals_only: list[str] = []
        for node in piece.graph.nodes:
            if node.op == "placeholder":
                names[node] = self.local(node.name)
            elif node in calls:
                text = self._call_text(node, names)
                if not node.users:
                    self.lines.append(text)
                    continue
                names[node] = self.local(node.name)
                self.lines.append(f"{names[node]} = {text}")
                if node.name not in piece.outputs:
                    locals_only.append(names[node])
        if locals_only:
            self.lines.append(f"del {', '.join(locals_only)}")
        return True

    def _call_text(self, node: fx.Node, names: Mapping[fx.Node, str]) -> str:
        arguments = [self._argument(value, names) for value in node.args]
        keywords = [f"{key}={self._argument(value, names)}" for key, value in node.kwargs.items()]
        if node.op == "call_method":
            if not str(node.target).isidentifier():
                raise PlanError(f"{node.format_node()} calls a method without a proper name.")
            return f"{arguments[0]}.{node.target}({', '.join(arguments[1:] + keywords)})"
        if is_tuple_getitem(node):
            return f"{arguments[0]}[{arguments[1]}]"
        target = ops.overload_of(node.target) or node.target
        function = self._constant(target, getattr(node.target, "__name__", "op"))
        return f"{function}({', '.join(arguments + keywords)})"

    def _argument(self, value: Any, names: Mapping[fx.Node, str]) -> str:
        if isinstance(value, fx.Node):
            return names[value]
        if _is_special_float(value):
            return self._constant(value, "constant")
        if type(value) in _PLAIN:
            return repr(value)
        if type(value) in (tuple, torch.Size):
            items = [self._argument(item, names) for item in value]
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        if isinstance(value, list):
            return f"[{', '.join(self._argument(item, names) for item in value)}]"
        if isinstance(value, dict):
            pairs = (f"{key!r}: {self._argument(item, names)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, slice):
            parts = (value.start, value.stop, value.step)
            return f"slice({', '.join(self._argument(part, names) for part in parts)})"
        return self._constant(value, "constant")

    def _constant(self, value: Any, prefix: str) -> str:
        if id(value) not in self.scope_name_of:
            base = "".join(c if c.isalnum() else "_" for c in prefix) or "constant"
            base = f"op_{base}" if base[0].isdigit() else base
            name, number = base, 0
            while name in self.taken or keyword.iskeyword(name):
                number += 1
                name = f"{base}_{number}"
            self.taken.add(name)
            self.scope_name_of[id(value)] = name
            self.scope[name] = value
        return self.scope_name_of[id(value)]

    def _output(self, value: str | Literal | ComputedSize) -> str:
        if isinstance(value, str):
            return self.local(value)
        if isinstance(value, Literal):
            return self._argument(value.value, {})
        try:
            names = {symbol: self.local(name) for symbol, name in value.names.items()}
            source = python_source(value.expression, names)
        except UnknownExpression as error:
            raise PlanError(
                f"The output {value.expression} cannot be computed from sizes: {error}"
            ) from error
        self.scope |= SCALAR_FUNCTIONS
        return source


def _is_special_float(value: Any) -> bool:
    """Whether a value is a float that has no literal."""
    return type(value) is float and not math.isfinite(value)


def _comment(text: str) -> str:
    """Text from a model for a comment: one line, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def bound_inputs(inputs: tuple[GraphInput, ...]) -> tuple[int, ...]:
    """Positions of the inputs that are bound once."""
    return tuple(index for index, each in enumerate(inputs) if each.kind not in PER_CALL)
