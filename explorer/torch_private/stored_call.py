"""Dynamo's bytecode of a call as plain data, and a capture that was read from the store.

The bytecode looks the inputs up, calls the graph and rebuilds the output. It reads globals and
closure variables of the traced function, which are those of this process, and modules that Dynamo
named.

Private names used (torch 2.13.0): of a capture ``graph_capture_output`` with ``bytecode`` and
``import_sources``, and ``backend_input.backend_id``.
"""

from __future__ import annotations

import builtins
import dis
import importlib
import marshal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from explorer.torch_private.capture import RawCapture
from explorer.torch_private.guard_checks import StoredGuards
from explorer.torch_private.stored_guards import NotStorable

_BUILTINS = "__builtins_dict__"


@dataclass(frozen=True)
class WrittenCall:
    """The bytecode of a call.

    Attributes:
        code: as ``marshal`` writes it; it counts for one version of Python.
        backend_name: the global that stands for the graph.
        imports: global -> name of the module that it stands for.
        objects: global -> a class or function that the trace put there.
        reads: every global that it reads.
        has_side_effects: whether it may do more than run the graph and rebuild its output.
    """

    code: bytes
    backend_name: str
    imports: Mapping[str, str]
    objects: Mapping[str, Any]
    reads: tuple[str, ...]
    has_side_effects: bool


def written_call(raw: RawCapture) -> WrittenCall:
    """What another process needs to bind calls of the same function.

    Raises:
        NotStorable: the bytecode reads something that only this process has.
    """
    output = raw.output
    if output.backend_input is None:
        raise NotStorable("the model runs no tensor operation")
    code: CodeType = output.graph_capture_output.bytecode
    imports = dict(output.graph_capture_output.import_sources)
    name = output.backend_input.backend_id
    known = raw.function.__globals__
    objects: dict[str, Any] = {}
    for each in sorted(_globals_read(code) - {name, *imports}):
        if each not in known and not hasattr(builtins, each) and not each.startswith(_BUILTINS):
            raise NotStorable(f"binding a call reads {each}, which is not there")
        is_made = each.startswith("__") and not each.endswith("__")
        if is_made and isinstance(known.get(each), ModuleType):
            imports[each] = known[each].__name__
        elif is_made and not each.startswith(_BUILTINS):
            objects[each] = _named(each, known[each])
    missing = set(code.co_freevars) - set(raw.function.__code__.co_freevars)
    if missing:
        raise NotStorable(f"binding a call reads {min(missing)} of a closure that the trace made")
    try:
        content = marshal.dumps(code)
    except ValueError as error:
        raise NotStorable(f"the bytecode of a call has no bytes: {error}") from error
    used = _globals_read(code)
    return WrittenCall(
        content,
        name,
        {key: imports[key] for key in imports if key in used},
        objects,
        tuple(sorted(used)),
        raw.has_side_effects(),
    )


def _named(name: str, value: Any) -> Any:
    """A class or function that its name leads to."""
    if isinstance(value, type | FunctionType):
        found: Any = sys.modules.get(value.__module__)
        for part in value.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is value:
            return value
    raise NotStorable(f"binding a call reads {name}, a {type(value).__name__} that the trace made")


def _globals_read(code: CodeType) -> set[str]:
    return {
        str(each.argval)
        for each in dis.get_instructions(code)
        if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }


class StoredCall:
    """Stands for ``RawCapture`` where nothing was traced.

    Attributes:
        function: that a trace would start in.
        receiver: what it is bound to, or None.
        state: what must hold of model state and Python values.
        is_empty: whether the model ran no tensor operation; such a capture is not stored.
        graph_module: None: there is no graph of Dynamo's.
    """

    is_empty = False
    graph_module = None

    def __init__(
        self, written: WrittenCall, function: FunctionType, receiver: Any, state: StoredGuards
    ) -> None:
        self.function: Any = function
        self.receiver = receiver
        self.state = state
        self.written = written
        self._code: CodeType = marshal.loads(written.code)

    def has_side_effects(self) -> bool:
        """Whether a bound call may do more than run the graph and rebuild its output."""
        return self.written.has_side_effects

    def bind(self, flat_function: Callable[..., Any]) -> Callable[..., Any]:
        """The same as ``RawCapture.bind``.

        Raises:
            NotStorable: something that the bytecode reads is not there.
        """
        known = self.function.__globals__
        scope: dict[str, Any] = {"__builtins__": builtins}
        for name in self.written.reads:
            if name == self.written.backend_name:
                scope[name] = flat_function
            elif name in self.written.imports:
                scope[name] = importlib.import_module(self.written.imports[name])
            elif name in self.written.objects:
                scope[name] = self.written.objects[name]
            elif name.startswith(_BUILTINS):
                scope[name] = vars(builtins)
            elif name in known:
                scope[name] = known[name]
        cells = dict(
            zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True)
        )
        missing = [name for name in self._code.co_freevars if name not in cells]
        if missing:
            raise NotStorable(f"{self.function.__qualname__} has no closure variable {missing[0]}")
        closure = tuple(cells[name] for name in self._code.co_freevars)
        bound = FunctionType(self._code, scope, closure=closure)
        bound.__defaults__ = self.function.__defaults__
        bound.__kwdefaults__ = self.function.__kwdefaults__
        return bound


__all__ = ["StoredCall", "WrittenCall", "written_call"]
