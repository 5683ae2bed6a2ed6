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
a translator ``output``, ``parent``, ``frame_summary``, ``is_co_filename_from_nn_modules``,
``nn_module_stack``, ``num_calls``; of its output ``graph``, ``current_tracer`` with ``parent``,
``traced_sources`` and ``proxy``, ``side_effects``, ``guards``, ``random_calls``, ``nn_modules``,
``root_tx``; ``SideEffects.check_allowed_side_effect`` with ``store_attr_mutations``,
``mutated_sources``, ``tensor_hooks`` and ``save_for_backward``; ``VariableBuilder``, the
``grapharg`` of a placeholder, ``clone`` and ``items`` of Dynamo's variables, and their mutation
types ``ValueMutationNew`` and ``AttributeMutationNew``; ``free_unbacked_symbols``.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from torch import fx
from torch._dynamo.side_effects import SideEffects
from torch._dynamo.symbolic_convert import InstructionTranslatorBase

from torch._dynamo.variables.base import AttributeMutationNew, ValueMutationNew
from torch._dynamo.variables.builder import VariableBuilder
from torch._dynamo.variables.constant import ConstantVariable
from torch._dynamo.variables.functions import UserFunctionVariable
from torch._dynamo.variables.lists import ListVariable, TupleVariable
from torch._dynamo.variables.tensor import SymNodeVariable, TensorVariable
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols, uninteresting_files
from torch.utils._ordered_set import OrderedSet

from explorer.thread_settings import thread_state
from explorer.torch_private.repeats.arguments import (
    Arguments,
    NotComparableError,
    example_key,
    storage_key,
)
from explorer.torch_private.repeats.conditions import Below, Conditions, Sources, guards_below
from explorer.torch_private.repeats.nodes import Moved, Place, write_again

MOST_TRACED = 8
"""Calls of one function that are remembered: with more kinds of layers each is traced."""


@dataclass(eq=False)
class RepeatCounts:
    """What happened to the calls of repeated layers in one trace.

    Attributes:
        traced: how many were traced.
        written: how many were written like an earlier one.
    """

    traced: int = 0
    written: int = 0


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
class Another:
    """Another call than the one that was traced.

    Attributes:
        sources: its places.
        user_stack: the user's frames of something in the first call -> those of this one.
    """

    sources: Sources
    user_stack: Callable[[traceback.StackSummary | None], traceback.StackSummary | None]


@dataclass(frozen=True, eq=False)
class _Traced:
    """What the trace of one call left behind."""

    arguments: Arguments
    place: Place
    frames: list[traceback.FrameSummary]
    state: Any
    nodes: list[fx.Node]
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
    """
    if not functions:
        yield
        return
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
        self._arguments: Arguments | None = None
        self._effects = 0

    def is_repeated(self, translator: Any, function: Any, args: list[Any]) -> bool:
        """Whether this is a call of a repeated layer, not inside of another one."""
        if self._is_inside or not isinstance(function, UserFunctionVariable) or not args:
            return False
        modules = self._functions.get(function.fn)
        if modules is None or translator.output.current_tracer.parent is not None:
            return False
        return id(getattr(args[0], "value", None)) in modules and args[0].source is not None

    def note_effect(self, item: Any) -> None:
        """Something is changed that was there before the trace, or that a layer was given."""
        is_new = isinstance(item.mutation_type, ValueMutationNew | AttributeMutationNew)
        given = self._arguments
        if not is_new or (given is not None and id(item) in given.containers):
            self._effects += 1

    def call(
        self, translator: Any, function: FunctionType, given: Arguments, trace: Callable[[], Any]
    ) -> Any:
        """The result of the call, traced or written."""
        output = translator.output
        if output is not self._output:  # torch began again from the start
            self._output, self._known = output, {}
        self._is_inside = True
        try:
            return self._call(translator, function, given, trace)
        finally:
            self._is_inside = False

    def _call(
        self, translator: Any, function: FunctionType, given: Arguments, trace: Callable[[], Any]
    ) -> Any:
        known = self._known.setdefault(function, [])
        for at, first in enumerate(known):
            result = self._written(translator, first, given)
            if result is not None:
                known.insert(0, known.pop(at))
                self._counts.written += 1
                return result
        self._counts.traced += 1
        if len(known) >= MOST_TRACED:
            return trace()
        return self._remembered(translator, known, given, trace)

    # ------------------------------------------------------------------------------ the first call

    def _remembered(
        self, translator: Any, known: list[_Traced], given: Arguments, trace: Callable[[], Any]
    ) -> Any:
        output = translator.output
        tracer, guards = output.current_tracer, output.guards
        place, frames = _place(translator, given)
        last = next(reversed(output.graph.nodes), None)
        before = (_counts_of(output), len(guards.inner), [len(log.entries) for log in self._logs])
        effects = self._effects
        settings = thread_state()
        looked_at, tracer.traced_sources = tracer.traced_sources, OrderedSet()
        with contextlib.suppress(NotComparableError):
            given.described()
        self._arguments = given
        try:
            result = trace()
        finally:
            self._arguments = None
            places = tracer.traced_sources
            tracer.traced_sources = looked_at | places
        counts, guard_count, log_counts = before
        if effects != self._effects or counts != _counts_of(output):
            return result
        nodes = _nodes_after(output.graph, last)
        logged = tuple(
            tuple(filter(log.is_kept, log.entries[start:]))
            for log, start in zip(self._logs, log_counts, strict=True)
        )
        # Now that it is known which arguments it looked at.
        arguments = Arguments(given.positional, given.by_name)
        with contextlib.suppress(NotComparableError):
            arguments.described()
            if _unchanged(given, arguments):
                inputs = _inputs_of(nodes, arguments)
                below = Below(source for source, _ in arguments.modules)
                conditions = Conditions(
                    guards_below(guards, guard_count, places, below),
                    [each for each in places if each in below],
                    {source for _, source in inputs},
                    Sources(arguments.modules, arguments.modules, _scope(output)),
                )
                known.append(
                    _Traced(
                        arguments,
                        place,
                        frames,
                        (settings, effects),
                        nodes,
                        inputs,
                        conditions,
                        _template(result, set(nodes), arguments),
                        logged,
                    )
                )
        return result

    # ------------------------------------------------------------------------------ the other calls

    def _written(self, translator: Any, first: _Traced, given: Arguments) -> Any:
        """The result of a call that is written like ``first``; None where it has to be traced."""
        output = translator.output
        given = Arguments(given.positional, given.by_name)
        try:
            given.described(first.arguments.description)
        except NotComparableError:
            return None
        # Guards are looked up from the objects themselves, which do not show what a trace changed.
        state = (thread_state(), self._effects)
        if given.description != first.arguments.description or first.state != state:
            return None
        below = Below(source for source, _ in given.modules)
        if any(source in below for source in output.side_effects.mutated_sources):
            return None
        place, frames = _place(translator, given)
        if any("@" in key for key in place.modules):  # torch numbers the calls of one module
            return None
        sources = Sources(first.arguments.modules, given.modules, _scope(output))
        if not first.conditions.hold(sources):
            return None
        moved = Moved(first.place, place)
        another = Another(sources, lambda stack: _stack_at(stack, first.frames, frames))
        try:
            paths = [path for node in first.nodes for path in _paths(node, moved)]
            own = _own_inputs(translator, first, another, moved)
        except (NotComparableError, AttributeError):
            return None
        replaced = dict(zip(first.arguments.nodes, given.nodes, strict=True)) | own
        new_of = write_again(output, first.nodes, replaced, moved)
        for path in dict.fromkeys(paths):
            translator.num_calls[path] = translator.num_calls.get(path, 0) + 1
        first.conditions.add_to(output.guards, sources, another.user_stack)
        for log, entries in zip(self._logs, first.logged, strict=True):
            moved_entries = (log.moved(entry, another) for entry in entries)
            log.entries.extend(entry for entry in moved_entries if entry is not None)
        return _result(translator, first.result, new_of, given)


# ---------------------------------------------------------------------------- what a trace leaves


def _counts_of(output: Any) -> tuple[int, ...]:
    """What grows where a trace leaves more behind than nodes and guards."""
    effects = output.side_effects
    hooks = (len(effects.tensor_hooks), len(effects.save_for_backward))
    return len(output.random_calls), len(output.nn_modules), *hooks


def _nodes_after(graph: fx.Graph, last: fx.Node | None) -> list[fx.Node]:
    nodes: list[fx.Node] = []
    for node in reversed(graph.nodes):
        if node is last:
            break
        if node.op != "placeholder":
            nodes.append(node)
    nodes.reverse()
    return nodes


def _unchanged(before: Arguments, after: Arguments) -> bool:
    """Whether the arguments that the layer was given look as they did."""
    if before.description is None:
        return False
    known = {node: key for node, key in zip(before.nodes, map(_key_of, before.nodes), strict=True)}
    return all(_key_of(node) == known.get(node, _key_of(node)) for node in after.nodes)


def _key_of(node: fx.Node) -> Any:
    example = node.meta.get("example_value")
    return example_key(example) if isinstance(example, torch.Tensor) else None


def _inputs_of(nodes: list[fx.Node], given: Arguments) -> list[tuple[fx.Node, Any]]:
    """The inputs of the graph that belong to the call's modules, with their places.

    Raises:
        NotComparableError: the nodes use, or make, something that another call cannot have.
    """
    inside, outside = set(nodes), dict[fx.Node, None]()
    below = Below(source for source, _ in given.modules)
    for node in nodes:
        if node.op == "get_attr" or free_unbacked_symbols(node.meta.get("example_value")):
            raise NotComparableError("a graph of its own, or sizes that only the run knows")
        outside |= dict.fromkeys(each for each in node.all_input_nodes if each not in inside)
    found = []
    for node in outside:
        argument = getattr(node.meta.get("grapharg"), "source", None)
        is_own = argument is not None and argument in below
        if node in given.nodes:
            if is_own:
                raise NotComparableError("a parameter of the module is an argument, too")
        elif is_own:
            found.append((node, argument))
        elif argument is None and isinstance(node.meta.get("example_value"), torch.Tensor):
            raise NotComparableError("a tensor that is no argument")
    return sorted(found, key=_position_among_placeholders(found))


def _position_among_placeholders(found: list[Any]) -> Callable[[Any], int]:
    if not found:
        return lambda each: 0
    order = {node: at for at, node in enumerate(found[0][0].graph.nodes)}
    return lambda each: order[each[0]]


# --------------------------------------------------------------------------- what another call has


def _scope(output: Any) -> dict[str, Any]:
    return {"G": output.root_tx.f_globals, "L": output.root_tx.f_locals}


def _own_inputs(
    translator: Any, first: _Traced, another: Another, moved: Moved
) -> dict[fx.Node, fx.Node]:
    """The first call's parameters -> the other's, made inputs of the graph where they are not yet.

    Raises:
        NotComparableError: one looks different.
    """
    output, found = translator.output, {}
    for node, source in first.inputs:
        nodes, guards = len(output.graph.nodes), len(output.guards.inner)
        value = another.sources.value(source)
        made = VariableBuilder(translator, another.sources.renamed(source))(value).as_proxy().node
        if len(output.graph.nodes) > nodes:
            moved.say(made, node)
        first.conditions.say_of_input(output.guards, guards, source, another.user_stack)
        if _key_of(made) != _key_of(node):
            raise NotComparableError(f"{source.name} looks different")
        found[node] = made
    return found


def _place(translator: Any, given: Arguments) -> tuple[Place, list[traceback.FrameSummary]]:
    """Where a call stands, and the user's frames of it, outermost first."""
    frames: list[traceback.FrameSummary] = []
    each = translator
    while each is not None:
        if not each.is_co_filename_from_nn_modules():
            frames.append(each.frame_summary())
        each = getattr(each, "parent", None)
    shown = [frame for frame in reversed(frames) if frame.filename not in uninteresting_files()]
    text = "".join(traceback.StackSummary.from_list(shown).format())
    module = given.positional[0].value
    return Place(dict(translator.nn_module_stack), text, module), frames[::-1]


def _paths(node: fx.Node, moved: Moved) -> list[str]:
    """The paths of the modules that the other call's copy of a node will be in.

    Raises:
        NotComparableError: they cannot be told.
    """
    stack = node.meta.get("nn_module_stack") or {}
    if any("@" in key for key in stack):
        raise NotComparableError("a module that is called twice")
    return [path for path, _ in moved.modules(stack).values()]


def _stack_at(
    stack: traceback.StackSummary | None,
    first: list[traceback.FrameSummary],
    frames: list[traceback.FrameSummary],
) -> traceback.StackSummary | None:
    """The user's frames of something in the first call, with the frames of the other call."""
    if stack is None or first == frames or list(stack[: len(first)]) != first:
        return stack
    return traceback.StackSummary.from_list([*frames, *stack[len(first) :]])


# ------------------------------------------------------------------------------------- the result


def _template(result: Any, inside: set[fx.Node], given: Arguments) -> Any:
    """What a call returned, for ``_result``.

    Raises:
        NotComparableError: it cannot be made again.
    """
    kind = type(result)
    if kind is ConstantVariable:
        return result
    if kind in (TensorVariable, SymNodeVariable):
        node = result.as_proxy().node
        if node in given.nodes:
            return ("argument", given.nodes.index(node))
        if node not in inside:
            raise NotComparableError("it returns what it was not given")
        if kind is TensorVariable and _shares_memory(node, inside, given):
            raise NotComparableError("it returns a view")
        return ("made", node, result)
    if kind in (TupleVariable, ListVariable) and id(result) not in given.containers:
        return (kind, *(_template(item, inside, given) for item in result.items))
    raise NotComparableError(f"it returns a {kind.__name__}")


def _shares_memory(node: fx.Node, inside: set[fx.Node], given: Arguments) -> bool:
    """Whether a result shares memory with what the layer was given, or is a part of something."""
    key = storage_key(node)
    outside = (each for other in inside for each in other.all_input_nodes if each not in inside)
    if any(storage_key(each) == key for each in outside):
        return True
    example = node.meta["example_value"]
    return bool(example.storage_offset() != 0) or any(storage_key(n) == key for n in given.nodes)


def _result(
    translator: Any, template: Any, new_of: Mapping[fx.Node, fx.Node], given: Arguments
) -> Any:
    """What the other call returns, as Dynamo's own object."""
    if not isinstance(template, tuple):
        return template
    kind, *parts = template
    if kind == "argument":
        return given.holders[parts[0]]
    if kind == "made":
        node, old = new_of[parts[0]], parts[1]
        example = node.meta["example_value"]
        if isinstance(example, torch.Tensor):
            _give_memory(translator, node, example)
        return old.clone(proxy=translator.output.current_tracer.proxy(node))
    items = [_result(translator, part, new_of, given) for part in parts]
    if kind is ListVariable:
        return ListVariable(items, mutation_type=ValueMutationNew())
    return TupleVariable(items)


def _give_memory(translator: Any, node: fx.Node, example: torch.Tensor) -> None:
    """An example of its own: what torch does with the result may look at which memory it has."""
    with translator.fake_mode:
        node.meta["example_value"] = torch.empty_strided(
            example.shape,
            example.stride(),
            dtype=example.dtype,
            device=example.device,
            requires_grad=example.requires_grad,
        )


__all__ = ["MOST_TRACED", "Another", "Log", "RepeatCounts", "repeats_written"]
