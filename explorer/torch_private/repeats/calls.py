"""Decides for each call of a repeated layer whether it is traced, or written like an earlier one.

The first call is traced as ever, and what it left behind is remembered: nodes, guards, functions,
questions about sizes. A later call of the same function is compared with that. Where it cannot be
told apart but for the values of tensors and the module that it is about, and everything that the
trace relied on holds for that module, the nodes are copied with the module's own parameters and
the call's own arguments in place, and guards and records are added as a trace would have added
them. In every other case the call is traced.

``torch.compiler.nested_compile_region`` is torch's own way to trace a layer once. It is not used:
it fails for layers that return an argument, and after eight layers that differ; the guards that it
leaves are those of the first layer, and so are the places that the nodes name.

Private names used (torch 2.13.0): ``InstructionTranslatorBase.inline_user_function_return`` and of
a translator ``output`` and ``num_calls``; of its output ``graph``, ``current_tracer`` with
``parent`` and ``traced_sources``, ``side_effects``, ``guards``, ``guard_on_key_order``,
``random_calls``, ``nn_modules``, ``pregraph_bytecode``, ``cleanup_hooks``, ``unspec_variable_map``,
``synthetic_source_ctor_info``, ``root_tx``; ``SideEffects.check_allowed_side_effect`` with
``mutated_sources``, ``tensor_hooks`` and ``save_for_backward``; ``VariableBuilder``, the
``grapharg`` of a placeholder, ``UserFunctionVariable``, ``ValueMutationNew`` and
``AttributeMutationNew``; ``free_unbacked_symbols``.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from torch import fx
from torch._dynamo.side_effects import SideEffects
from torch._dynamo.symbolic_convert import InstructionTranslatorBase
from torch._dynamo.variables.base import AttributeMutationNew, ValueMutationNew
from torch._dynamo.variables.builder import VariableBuilder
from torch._dynamo.variables.functions import UserFunctionVariable
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils._ordered_set import OrderedSet

from explorer.thread_settings import thread_state
from explorer.torch_private.repeats.arguments import (
    Arguments,
    NotComparableError,
    example_key,
    is_like,
)
from explorer.torch_private.repeats.conditions import Below, Conditions, Sources, guards_below
from explorer.torch_private.repeats.layers import RepeatCounts, RepeatsFailedError
from explorer.torch_private.repeats.nodes import write_again
from explorer.torch_private.repeats.places import Moved, Place, place_of
from explorer.torch_private.repeats.results import result_of, template

MOST_REMEMBERED = 8
"""Calls of one function that are remembered: where layers are of more kinds, the rest is traced."""


@dataclass(frozen=True, eq=False)
class Another:
    """Another call than the one that was traced.

    Attributes:
        sources: its places.
        user_stack: the user's frames of something in the first call -> those of this one.
    """

    sources: Sources
    user_stack: Callable[[traceback.StackSummary | None], traceback.StackSummary | None]


@dataclass(frozen=True, eq=False)
class Log:
    """A list that the trace appends to, and how an entry of it is said of another call.

    Attributes:
        entries: the list.
        is_kept: whether an entry would be there for another call, too.
        moved: (entry, ``Another``) -> the entry of another call, or None.
    """

    entries: list[Any]
    is_kept: Callable[[Any], bool]
    moved: Callable[[Any, Another], Any]


@dataclass(frozen=True, eq=False)
class _Traced:
    """What the trace of one call left behind.

    Attributes:
        arguments: what it was given.
        place: where it stands.
        state: what surrounded it.
        nodes: of the graph, in order, with their names before the result is assigned.
        inputs: parameters of its module among the inputs of the graph, with their places.
        conditions: what it relied on.
        result: a ``template``.
        logged: entries of each log.
    """

    arguments: Arguments
    place: Place
    state: Any
    nodes: dict[fx.Node, str]
    inputs: list[tuple[fx.Node, Any]]
    conditions: Conditions
    result: Any
    logged: tuple[tuple[Any, ...], ...]


@contextlib.contextmanager
def repeats_written(
    functions: Mapping[FunctionType, frozenset[int]], logs: tuple[Log, ...], counts: RepeatCounts
) -> Iterator[None]:
    """Inside, this thread's traces look into repeated layers once.

    Args:
        functions: the ``forward`` of each repeated class -> ids of the modules that repeat.
        logs: what is recorded while a trace runs.
        counts: filled.

    Raises:
        RepeatsFailedError: a layer could not be written again, for a reason that is not known.
    """
    original, owner = InstructionTranslatorBase.inline_user_function_return, threading.get_ident()
    check = SideEffects.check_allowed_side_effect
    layers = _Layers(functions, logs, counts)

    def inline(
        self: Any, function: Any, args: list[Any], kwargs: Any, *rest: Any, **more: Any
    ) -> Any:
        def trace() -> Any:
            return original(self, function, args, kwargs, *rest, **more)

        if threading.get_ident() != owner or not layers.is_repeated(self, function, args):
            return trace()
        return layers.call(self, function.fn, Arguments(list(args), dict(kwargs)), trace)

    def check_allowed(self: Any, item: Any) -> Any:
        if threading.get_ident() == owner:
            layers.note_effect(item)
        return check(self, item)

    with (
        patch.object(InstructionTranslatorBase, "inline_user_function_return", inline),
        patch.object(SideEffects, "check_allowed_side_effect", check_allowed),
    ):
        yield


class _Layers:
    """The calls of repeated layers of one trace."""

    def __init__(
        self,
        functions: Mapping[FunctionType, frozenset[int]],
        logs: tuple[Log, ...],
        counts: RepeatCounts,
    ) -> None:
        self._functions = functions
        self._logs = logs
        self._counts = counts
        self._output: Any = None
        self._known: dict[FunctionType, list[_Traced]] = {}
        self._is_inside = False
        self._containers: set[int] = set()
        self._effects = 0

    def is_repeated(self, translator: Any, function: Any, args: list[Any]) -> bool:
        """Whether this is a call of a repeated layer, not inside of another one."""
        if self._is_inside or not isinstance(function, UserFunctionVariable) or not args:
            return False
        called: Any = function.fn
        modules = self._functions.get(called)
        if modules is None or translator.output.current_tracer.parent is not None:
            return False
        return id(getattr(args[0], "value", None)) in modules and args[0].source is not None

    def note_effect(self, item: Any) -> None:
        """Something is changed; what was made in the trace, and not given to a layer, may be."""
        is_new = isinstance(item.mutation_type, ValueMutationNew | AttributeMutationNew)
        if not is_new or id(item) in self._containers:
            self._effects += 1

    def call(
        self, translator: Any, function: FunctionType, given: Arguments, trace: Callable[[], Any]
    ) -> Any:
        """The result of the call, traced or written."""
        if translator.output is not self._output:  # torch began again from the start
            self._output, self._known = translator.output, {}
        self._is_inside = True
        try:
            return self._call(translator, self._known.setdefault(function, []), given, trace)
        finally:
            self._is_inside = False

    def _call(
        self, translator: Any, known: list[_Traced], given: Arguments, trace: Callable[[], Any]
    ) -> Any:
        for at, first in enumerate(known):
            with contextlib.suppress(NotComparableError):
                result = self._guarded(self._written, translator, first, given)
                known.insert(0, known.pop(at))
                self._counts.written += 1
                return result
        self._counts.traced += 1
        if len(known) >= MOST_REMEMBERED:
            return trace()
        return self._remembered(translator, known, given, trace)

    def _state(self) -> Any:
        """What surrounds a call; changes of objects show in no object before the trace ends."""
        return thread_state(), self._effects

    def _guarded(self, step: Callable[..., Any], *given: Any) -> Any:
        """The result of a step; whatever private names of torch raise becomes one error."""
        try:
            return step(*given)
        except NotComparableError:
            raise
        except Exception as error:
            raise RepeatsFailedError(f"{type(error).__name__}: {error}") from error

    # ------------------------------------------------------------------------------ the first call

    def _remembered(
        self, translator: Any, known: list[_Traced], given: Arguments, trace: Callable[[], Any]
    ) -> Any:
        try:
            self._guarded(given.described)
            place = self._guarded(place_of, translator, given.positional[0].value)
        except NotComparableError:
            return trace()
        output, state = translator.output, self._state()
        last = next(reversed(output.graph.nodes), None)
        counts, guards = _counts_of(output), frozenset(map(id, output.guards.inner))
        ordered = frozenset(output.guard_on_key_order)
        log_counts = [len(log.entries) for log in self._logs]
        self._containers = given.containers
        tracer = output.current_tracer
        before, tracer.traced_sources = tracer.traced_sources, OrderedSet()
        try:
            result = trace()
        finally:
            self._containers = set()
            looked_at = tracer.traced_sources
            tracer.traced_sources = before | looked_at
        if state != self._state() or counts != _counts_of(output):
            return result
        logged = tuple(
            tuple(filter(log.is_kept, log.entries[start:]))
            for log, start in zip(self._logs, log_counts, strict=True)
        )
        found = _Trace(output, last, guards, ordered, looked_at, place, state, logged)
        with contextlib.suppress(NotComparableError):
            known.append(self._guarded(_remember, found, given, result))
        return result

    # ------------------------------------------------------------------------------ the other calls

    def _written(self, translator: Any, first: _Traced, given: Arguments) -> Any:
        """The result of a call that is written like ``first``.

        Raises:
            NotComparableError: it has to be traced; nothing was written.
        """
        output, module = translator.output, given.positional[0].value
        given = Arguments(given.positional, given.by_name).described(first.arguments.description)
        if given.description != first.arguments.description or first.state != self._state():
            raise NotComparableError("another kind of call")
        below = Below(source for source, _ in given.modules)
        if any(each in below for each in output.side_effects.mutated_sources):
            raise NotComparableError("a layer that was changed in the trace")
        sources = Sources(first.arguments.modules, given.modules, _scope(output))
        if not first.conditions.hold(sources):
            raise NotComparableError("another kind of module")
        moved = Moved(first.place, place_of(translator, module))
        another = Another(sources, moved.frames)
        stacks = {tuple(s): s for n in first.nodes if (s := n.meta.get("nn_module_stack"))}
        paths = {path for s in stacks.values() for path, _ in moved.modules(s).values()}
        own = _own_inputs(translator, first, another, moved)
        replaced = dict(zip(first.arguments.nodes, given.nodes, strict=True)) | own
        new_of = write_again(output, first.nodes, replaced, moved)
        for path in paths - {path for path, _ in translator.nn_module_stack.values()}:
            translator.num_calls[path] = translator.num_calls.get(path, 0) + 1
        first.conditions.add_to(output, sources, another.user_stack)
        for log, entries in zip(self._logs, first.logged, strict=True):
            said = (log.moved(entry, another) for entry in entries)
            log.entries.extend(entry for entry in said if entry is not None)
        return result_of(translator, first.result, new_of, given)


@dataclass(frozen=True, eq=False)
class _Trace:
    """What is known right after a call was traced; see ``_Traced`` for the rest.

    Attributes:
        output: torch's ``OutputGraph``.
        last: its last node before the call.
        guards: ids of the guards that there were.
        ordered: places of dicts whose order was relied on.
        looked_at: places of values that the trace looked at.
    """

    output: Any
    last: fx.Node | None
    guards: frozenset[int]
    ordered: frozenset[Any]
    looked_at: Any
    place: Place
    state: Any
    logged: tuple[tuple[Any, ...], ...]


def _remember(found: _Trace, given: Arguments, result: Any) -> _Traced:
    """What the trace of a call left behind.

    Raises:
        NotComparableError: another call cannot be compared with it.
    """
    # Now it is known which arguments the layer looked at.
    arguments = Arguments(given.positional, given.by_name).described()
    if not is_like(given.description, arguments.description):
        raise NotComparableError("an argument looks different after the call")
    nodes = _nodes_after(found.output.graph, found.last)
    below = Below(source for source, _ in arguments.modules)
    inputs = _inputs_of(nodes, arguments, below)
    looked_at = [each for each in found.looked_at if each in below]
    ordered = found.output.guard_on_key_order
    conditions = Conditions(
        guards_below(found.output.guards, found.guards, looked_at, below),
        looked_at,
        [each for each in ordered if each in below and each not in found.ordered],
        {source for _, source in inputs},
        Sources(arguments.modules, arguments.modules, _scope(found.output)),
    )
    made = template(result, set(nodes), arguments)
    named = {node: node.name for node in nodes}
    return _Traced(
        arguments, found.place, found.state, named, inputs, conditions, made, found.logged
    )


def _counts_of(output: Any) -> tuple[int, ...]:
    """What grows where a trace leaves more behind than nodes and guards."""
    effects = output.side_effects
    hooks = (len(effects.tensor_hooks), len(effects.save_for_backward))
    of_run = (output.random_calls, output.pregraph_bytecode, output.cleanup_hooks)
    of_inputs = (output.unspec_variable_map, output.synthetic_source_ctor_info)
    return len(output.nn_modules), *hooks, *map(len, (*of_run, *of_inputs))


def _scope(output: Any) -> dict[str, Any]:
    return {"G": output.root_tx.f_globals, "L": output.root_tx.f_locals}


def _nodes_after(graph: fx.Graph, last: fx.Node | None) -> list[fx.Node]:
    nodes: list[fx.Node] = []
    for node in reversed(graph.nodes):
        if node is last:
            break
        if node.op != "placeholder":
            nodes.append(node)
    return nodes[::-1]


def _inputs_of(nodes: list[fx.Node], given: Arguments, below: Below) -> list[tuple[fx.Node, Any]]:
    """The inputs of the graph that belong to the call's modules, with their places, in order.

    Raises:
        NotComparableError: the nodes use, or make, something that another call cannot have.
    """
    inside, outside = set(nodes), dict[fx.Node, None]()
    for node in nodes:
        example: Any = node.meta.get("example_value")
        if node.op == "get_attr" or free_unbacked_symbols(example):
            raise NotComparableError("a graph of its own, or sizes that only the run knows")
        outside |= dict.fromkeys(each for each in node.all_input_nodes if each not in inside)
    found: dict[fx.Node, Any] = {}
    for node in outside:
        place = getattr(node.meta.get("grapharg"), "source", None)
        is_own = place is not None and place in below
        if node in given.nodes:
            if is_own:
                raise NotComparableError("a parameter of the module is an argument, too")
        elif is_own:
            found[node] = place
        elif place is None and isinstance(node.meta.get("example_value"), torch.Tensor):
            raise NotComparableError("a tensor that is no argument")
    if not found:
        return []
    return [(node, found[node]) for node in nodes[0].graph.nodes if node in found]


def _own_inputs(
    translator: Any, first: _Traced, another: Another, moved: Moved
) -> dict[fx.Node, fx.Node]:
    """The first call's parameters -> the other's, made inputs of the graph where they are not yet.

    Raises:
        NotComparableError: one looks different.
    """
    graph, known, found = translator.output.graph, translator.output.guards, {}
    for node, source in first.inputs:
        place = another.sources.renamed(source)
        there = list(map(id, known.get_guards_for_source(place)))
        count = len(graph.nodes)
        made = VariableBuilder(translator, place)(another.sources.value(source)).as_proxy().node
        if len(graph.nodes) > count:
            moved.say(made, node)
        new = [each for each in known.get_guards_for_source(place) if id(each) not in there]
        first.conditions.say_of_input(source, new, another.user_stack)
        if _key_of(made) != _key_of(node):
            raise NotComparableError(f"{source.name} looks different")
        found[node] = made
    return found


def _key_of(node: fx.Node) -> Any:
    example = node.meta.get("example_value")
    return example_key(example) if isinstance(example, torch.Tensor) else None


__all__ = ["MOST_REMEMBERED", "Another", "Log", "repeats_written"]
