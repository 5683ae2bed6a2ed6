"""Which Python functions one trace goes through, and the functions behind the ops of its graph.

Dynamo makes one translator for every function that it looks into. Its making is noticed while a
trace runs: the list of code objects that torch keeps lacks functions that raised, and does not say
whose defaults and closure a code object ran with.

Private names used (torch 2.13.0): ``torch._dynamo.symbolic_convert.InliningInstructionTranslator``
with its ``__init__`` and the attributes ``symbolic_locals`` and ``funcvar``, and of that
``source.name`` and ``fn``;
``invoke_and_store_as_constant`` of ``torch._dynamo.variables.functions`` and ``nn_module``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import CodeType, FunctionType
from typing import Any
from unittest.mock import patch

from torch import fx
from torch._dynamo.symbolic_convert import InliningInstructionTranslator
from torch._dynamo.variables import functions as dynamo_functions
from torch._dynamo.variables import nn_module as dynamo_modules

from explorer.artifacts.traced import FunctionRole, TracedFunction
from explorer.store.code_text import Part
from explorer.store.functions import function_in, is_library, name_of_function
from explorer.store.places import Live, NotFound, resolve
from explorer.store.source_digest import (
    SCHEMA_OF,
    Found,
    environment_part,
    method_names,
    own_methods,
    recorded,
    value_at,
)
from explorer.torch_private import ops
from explorer.torch_private.op_functions import op_functions
from explorer.torch_private.state_guards import GuardNode

_FILES_OF_OS = (os.__file__, "<frozen os>")
_OF_TORCH = ("G['__builtins_dict__", "G['__import_torch", "__import__('torch')")
"""Begin the places of torch's and Python's own objects."""


@dataclass(eq=False)
class TracedCalls:
    """Every function that was looked into, in order; filled while a trace runs.

    Attributes:
        calls: for each its code, Dynamo's own object for it, and that one's source or None.
        constants: functions that ran instead, and whose results became constants of the graph.
        environment: names of the environment variables that were read; None among them stands for
            one that is not known, or for all.
    """

    calls: list[tuple[CodeType, Any, Any]] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    environment: list[str | None] = field(default_factory=list)


@contextlib.contextmanager
def noticed(found: TracedCalls) -> Iterator[None]:
    """Inside, the functions that this thread's traces look into are added to ``found``."""
    original, owner = InliningInstructionTranslator.__init__, threading.get_ident()
    store_as_constant = dynamo_functions.invoke_and_store_as_constant

    def __init__(self: Any, parent: Any, code: CodeType, *args: Any, **kwargs: Any) -> None:
        original(self, parent, code, *args, **kwargs)
        if threading.get_ident() == owner:
            variable = self.funcvar
            found.calls.append((code, variable, variable.source))
            if code.co_filename in _FILES_OF_OS and code.co_qualname.startswith("_Environ."):
                found.environment.append(_key_read(self.symbolic_locals))

    def invoke_and_store_as_constant(tx: Any, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == owner:
            found.constants.append(fn)
        return store_as_constant(tx, fn, *args, **kwargs)

    name = "invoke_and_store_as_constant"
    with (
        patch.object(InliningInstructionTranslator, "__init__", __init__),
        patch.object(dynamo_functions, name, invoke_and_store_as_constant),
        patch.object(dynamo_modules, name, invoke_and_store_as_constant),
    ):
        yield


def traced_functions(
    calls: TracedCalls, live: Live, graph_module: fx.GraphModule | None, guards: GuardNode
) -> tuple[TracedFunction, ...]:
    """A record of every function that the graph depends on, the one that the trace began in first.

    Functions that were made while tracing are in the code of those that made them. Functions of
    torch and Python have a record only where another one could stand in their place.

    Args:
        calls: what was noticed.
        live: the objects as the traced function sees them.
        graph_module: the graph; None when there is none.
        guards: what the trace tested of values; members of an Enum and classes are tested for being
            the same object, which no record of values can say.
    """
    inlined = (*_inlined(calls, live), *_constants(calls), *_behind_graph(graph_module))
    functions = (live.root, *(each.function for each in inlined))
    names = method_names(name_of_function(each)[1] for each in functions)
    read = dict.fromkeys(calls.environment)
    more = (
        own_methods(live.receiver, names),
        *_values(guards, live),
        *(environment_part(name) for name in read if name is not None),
    )
    unknown = ("the environment variables",) if None in read else ()
    root = Found(live.root, places=("root",), more=more, unknown=unknown)
    return recorded((root, *inlined))


# ---------------------------------------------------------------------------------- what was traced


def _values(node: GuardNode, live: Live) -> Iterator[Part]:
    if "ID_MATCH" in node.tests and not node.source.startswith(_OF_TORCH):
        with contextlib.suppress(NotFound):
            value = live.at(node.source)
            if isinstance(value, Enum | type):
                yield value_at(node.source, live)
    for child in node.children:
        yield from _values(child, live)


def _inlined(calls: TracedCalls, live: Live) -> Iterator[Found]:
    places: dict[int, dict[str, None]] = {}
    functions: dict[int, FunctionType] = {}
    for code, variable, source in calls.calls:
        function = _function_of(variable, code)
        if function is None:
            continue
        known = places.setdefault(id(function), {})
        functions[id(function)] = function
        if source is not None:
            known[f"{source.name} {code.co_name}"] = None
    reached = _Reached(live, functions)
    for number, function in functions.items():
        if function is not live.root:
            yield from _found(function, tuple(places[number]), live, reached)


def _constants(calls: TracedCalls) -> Iterator[Found]:
    """Functions whose results are in the graph, and which may have another result next time."""
    for value in calls.constants:
        try:
            function = function_in(value)
        except LookupError:  # an operator of Python's, of constants
            continue
        module, qualname = name_of_function(function)
        if not is_library(module):
            what = f"the result of {qualname}, a constant of the graph,"
            yield Found(function, FunctionRole.FAKE, unknown=(what,))


def _key_read(arguments: Mapping[str, Any]) -> str | None:
    """The name of the variable that a method of ``os.environ`` is asked for."""
    try:
        key = arguments["key"].as_python_constant()
    except Exception:  # torch has its own for what is no constant
        return None
    return key if isinstance(key, str) else None


def _function_of(variable: Any, code: CodeType) -> FunctionType | None:
    """The function that Dynamo's object stands for; None for one that was made while tracing."""
    function = getattr(variable, "fn", None)
    if isinstance(function, FunctionType) and function.__code__ is code:
        return function
    return None


def _found(
    function: FunctionType, sources: tuple[str, ...], live: Live, reached: _Reached
) -> Iterator[Found]:
    places = tuple(dict.fromkeys(filter(None, (_place(function, each, live) for each in sources))))
    module, qualname = name_of_function(function)
    if places:
        yield Found(function, places=places)
    elif not is_library(module):
        if _is_found_by_name(function, live):
            yield Found(function)
        elif (place := reached.place(function)) is not None:
            yield Found(function, places=(place,))
        else:
            yield Found(function, unknown=(f"where {qualname} comes from",))


def _place(function: FunctionType, source: str, live: Live) -> str | None:
    """The source itself, or, where that is the object whose method this is, the method."""
    base, _, name = source.rpartition(" ")
    for place in (base, f"type({base}).{name}"):
        try:
            if live.function_at(place) is function:
                return place
        except NotFound:
            continue
    return None


def _is_found_by_name(function: FunctionType, live: Live) -> bool:
    module, qualname = name_of_function(function)
    of_root = name_of_function(live.root)[0] == module
    try:
        return (
            resolve(module, qualname, scope=live.root.__globals__ if of_root else None) is function
        )
    except NotFound:
        return False


class _Reached:
    """Places of functions that are held by other traced functions."""

    def __init__(self, live: Live, functions: Mapping[int, FunctionType]) -> None:
        self._live = live
        self._wanted = functions
        self._places: dict[int, str] | None = None

    def place(self, function: FunctionType) -> str | None:
        """Where a function is, from the root through closures and attributes of the receiver."""
        if self._places is None:
            self._places = dict(self._all())
        return self._places.get(id(function))

    def _all(self) -> Iterator[tuple[int, str]]:
        waiting, seen = ["root"], set()
        while waiting:
            place = waiting.pop(0)
            try:
                function = self._live.function_at(place)
            except NotFound:
                continue
            if id(function) in seen:
                continue
            seen.add(id(function))
            yield id(function), place
            cells = range(len(function.__closure__ or ()))
            waiting += [f"{place}.__closure__[{at}].cell_contents" for at in cells]


# ---------------------------------------------------------------------- what the graph's nodes call


def _behind_graph(graph_module: fx.GraphModule | None) -> Iterator[Found]:
    if graph_module is None:
        return
    seen: set[Any] = set()
    for target in _targets(graph_module):
        if isinstance(target, FunctionType):
            if id(target) not in seen and not is_library(name_of_function(target)[0]):
                seen.add(id(target))
                yield Found(target, FunctionRole.FAKE)  # it is not looked into, and runs as it is
        elif ops.is_operator(target):
            name = ops.operator_names(target)[0]
            if name not in seen:
                seen.add(name)
                yield from _behind_op(name)


def _targets(graph_module: fx.GraphModule) -> Iterator[Any]:
    for module in graph_module.modules():
        if isinstance(module, fx.GraphModule):
            for node in module.graph.nodes:
                if node.op == "call_function":
                    yield node.target


def _behind_op(name: str) -> Iterator[Found]:
    functions = op_functions(name)
    schema = functions.pop("schema", None)
    if not functions:
        return
    more = ((f"{SCHEMA_OF}{name}", str(schema)),)
    for what, function in functions.items():
        role = FunctionRole.OP if what.startswith("on ") else FunctionRole.FAKE
        unknown = () if function is not None else (f"the {what} of {name}",)
        known = function if function is not None else _nothing
        place = f"op({name!r})[{what!r}]"
        yield Found(known, role, (place,), more, unknown)


def _nothing() -> None:
    """In the place of a function that torch does not hand out."""


__all__ = ["TracedCalls", "noticed", "traced_functions"]
