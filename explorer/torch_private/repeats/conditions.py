"""What the trace of one call relied on, and whether it holds for the attributes of another module.

Private names used (torch 2.13.0): ``Guard`` with ``originating_source``, ``create_fn``,
``create_fn_name``, ``user_stack`` and ``stack``; ``GuardsSet`` with ``inner``, ``add`` and
``get_guards_for_source``; ``guard_on_key_order`` of torch's output; ``GUARD_VALUE_DISPATCH`` with
its ``GuardCheckSpec``; ``TensorWeakRef``; ``Source``, ``ChainedSource`` and ``TypeSource`` with
``get_value`` and ``name``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch._dynamo.guards import GUARD_VALUE_DISPATCH, GuardCheckSpec
from torch._dynamo.source import TypeSource
from torch._guards import ChainedSource, Guard, Source
from torch._library.opaque_object import is_opaque_type
from torch.utils.weak import TensorWeakRef

from explorer.torch_private.repeats.arguments import NotComparableError

_COPIED = frozenset({"attr", "key", "recompile_hint"})
"""Arguments of a guard that are no values of the module itself."""
_COMPARED = frozenset({"EQUALS_MATCH", "CONSTANT_MATCH", "BOOL_MATCH", "CONSTANT_SUBCLASS_MATCH"})
"""Guards that torch compares with ``==``, for which True is 1 and 0.0 is -0.0."""
_OF_INPUTS = ("TENSOR_MATCH", "DUPLICATE_INPUT")
"""Guards that come with an input when it is made."""
_NO_OBJECTS = (type(None), bool, int, float, complex, str, bytes, type)
"""Values that are what they are equal to: two of them being one object says nothing."""


class Sources:
    """Dynamo's places of the first call's values, as places of another call's.

    Args:
        old: place of each module that the first call was about.
        new: the same of the other call.
        scope: what places begin with, ``{"L": ..., "G": ...}``.
    """

    def __init__(
        self,
        old: Iterable[tuple[Source, Any]],
        new: Iterable[tuple[Source, Any]],
        scope: dict[str, Any],
    ) -> None:
        pairs = list(zip(old, new, strict=True))
        self._renamed: dict[Source, Source] = {a: b for (a, _), (b, _) in pairs}
        # Places below the first call's modules are looked up from the other's.
        self._values: dict[Source, Any] = {a: value for (a, _), (_, value) in pairs}
        self._locals: dict[str, Any] = {}
        self._scope = scope

    def renamed(self, source: Source) -> Source:
        """The same place of the other call; the source itself where it depends on no module.

        It is the source itself, too, for what is found through a module's class.
        """
        known = self._renamed.get(source)
        if known is None:
            known = self._renamed[source] = self._made(source)
        return known

    def _made(self, source: Source) -> Source:
        if not isinstance(source, ChainedSource) or isinstance(source, TypeSource):
            return source  # the class is the same, and a trace names it by where it saw it first
        changed = {}
        for each in dataclasses.fields(source):
            value = getattr(source, each.name)
            if isinstance(value, Source):
                other = self.renamed(value)
                if other is not value:
                    changed[each.name] = other
        return dataclasses.replace(source, **changed) if changed else source

    def value(self, source: Source) -> Any:
        """What is at that place of the other call.

        Args:
            source: as of the first call.

        Raises:
            NotComparableError: nothing is.
        """
        try:
            return source.get_value(self._scope, self._locals, self._values)
        except Exception as error:  # whatever a property of the user's raises
            raise NotComparableError(f"nothing at {source.name}") from error


@dataclass(frozen=True, eq=False)
class _Test:
    """One guard: where, what torch expects there, how it looks for that."""

    source: Source
    holds: Callable[[Any], bool]


class Conditions:
    """What one call relied on about the modules that it was given.

    Args:
        guards: all guards on places of these modules that the trace made or found there.
        places: all places of them that the trace looked at.
        ordered: places of dicts of them whose order it relied on.
        inputs: places whose values became inputs of the graph.
        sources: of the first call itself.

    Raises:
        NotComparableError: some guard cannot be checked for another module.
    """

    def __init__(
        self,
        guards: list[Guard],
        places: list[Source],
        ordered: list[Source],
        inputs: set[Source],
        sources: Sources,
    ) -> None:
        self.guards = guards
        self._stacks = {(each.originating_source, each.create_fn_name()): each for each in guards}
        self._inputs = inputs
        self._places = places
        self._objects = [sources.value(place) for place in places]
        self._ordered = ordered
        self._tests = [test for guard in guards if (test := self._test(guard, sources)) is not None]
        self._tests += [_Test(place, _has_keys(sources.value(place))) for place in ordered]

    def _test(self, guard: Guard, sources: Sources) -> _Test | None:
        name, source = guard.create_fn_name(), guard.originating_source
        for given in getattr(guard.create_fn, "keywords", {}):
            if given not in _COPIED | {"value", "source_b"}:
                raise NotComparableError(f"a guard {name} with {given}")
        if name == "DUPLICATE_INPUT":  # said by which places are one object
            return None
        value = sources.value(source)
        if source in self._inputs and is_opaque_type(type(value)):
            kind = type(value)  # its content is not in the graph
            return _Test(source, lambda other: type(other) is kind)
        check = GUARD_VALUE_DISPATCH.get(name)
        if not isinstance(check, GuardCheckSpec):
            raise NotComparableError(f"a guard {name}")
        expected = check.get_metadata_fn(guard, value)
        if name in _COMPARED:
            kind, text = type(value), repr(value)
            return _Test(
                source,
                lambda other: (
                    type(other) is kind
                    and repr(other) == text
                    and bool(check.eval_fn(other, expected))
                ),
            )
        return _Test(source, lambda other: bool(check.eval_fn(other, expected)))

    def hold(self, other: Sources) -> bool:
        """Whether all of it holds for the modules of another call."""
        try:
            if not all(test.holds(other.value(test.source)) for test in self._tests):
                return False
            return self._same_objects([other.value(place) for place in self._places])
        except NotComparableError:
            return False

    def _same_objects(self, others: list[Any]) -> bool:
        """Whether the same places are one object: a trace takes ``a is b`` for constant."""
        of_first: dict[int, int] = {}
        of_other: dict[int, int] = {}
        for first, other in zip(self._objects, others, strict=True):
            if type(first) is not type(other):
                return False
            if isinstance(first, _NO_OBJECTS):
                continue
            if of_first.setdefault(id(first), id(other)) != id(other):
                return False
            if of_other.setdefault(id(other), id(first)) != id(first):
                return False
        return True

    def add_to(self, output: Any, other: Sources, user_stack: Callable[[Any], Any]) -> None:
        """Adds the guards of another call as its trace would have.

        Args:
            output: torch's ``OutputGraph``.
            other: places and values of that call.
            user_stack: the first call's stack of a guard -> the other call's.
        """
        output.guard_on_key_order |= {other.renamed(place) for place in self._ordered}
        known = output.guards
        for guard in self.guards:
            source = other.renamed(guard.originating_source)
            is_input = guard.originating_source in self._inputs
            if is_input and guard.create_fn_name() in _OF_INPUTS:
                continue
            create = _for_other(guard.create_fn, other, guard.originating_source)
            there = known.get_guards_for_source(source)
            if any(_is_same(create, each.create_fn) for each in there):
                continue
            new = Guard(source, create, stack=guard.stack, user_stack=user_stack(guard.user_stack))
            known.add(new)

    def say_of_input(
        self, source: Source, new: Iterable[Guard], user_stack: Callable[[Any], Any]
    ) -> None:
        """Lets the guards that came with an input stand where the first call's do.

        Args:
            source: of the first call's input.
            new: the guards of the other call's.
            user_stack: the first call's stack of a guard -> the other call's.
        """
        for guard in new:
            first = self._stacks.get((source, guard.create_fn_name()))
            if first is not None:
                guard.user_stack = user_stack(first.user_stack)


def _has_keys(first: Any) -> Callable[[Any], bool]:
    keys = list(first)
    return lambda other: list(other) == keys


def _for_other(create: Any, other: Sources, source: Source) -> Any:
    """A guard's maker with what it holds of the first call replaced."""
    if not isinstance(create, functools.partial):
        return create
    changed = dict(create.keywords)
    if isinstance(changed.get("value"), TensorWeakRef):
        changed["value"] = TensorWeakRef(other.value(source))
    elif "value" in changed:
        changed["value"] = other.value(source)
    if "source_b" in changed:
        changed["source_b"] = other.renamed(changed["source_b"])
    return functools.partial(create.func, *create.args, **changed)


def _is_same(a: Any, b: Any) -> bool:
    if not (isinstance(a, functools.partial) and isinstance(b, functools.partial)):
        return a is b
    return a.func is b.func and a.args == b.args and _plain(a.keywords) == _plain(b.keywords)


def _plain(keywords: Mapping[str, Any]) -> Any:
    return {
        key: id(value() if isinstance(value, TensorWeakRef) else value) if key == "value" else value
        for key, value in keywords.items()
    }


class Below:
    """Tells places of some modules, and below them, from all others.

    Args:
        modules: the modules' own places.
    """

    def __init__(self, modules: Iterable[Source]) -> None:
        self._known: dict[Source, bool] = dict.fromkeys(modules, True)

    def __contains__(self, source: Source) -> bool:
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = isinstance(source, ChainedSource) and any(
                value in self
                for each in dataclasses.fields(source)
                if isinstance(value := getattr(source, each.name), Source)
            )
        return known


def guards_below(
    known: Any, before: frozenset[int], places: Iterable[Source], below: Below
) -> list[Guard]:
    """The guards on places of some modules: new ones, and older ones on places looked at.

    Args:
        known: torch's ``GuardsSet``.
        before: ids of the guards that there were before the trace.
        places: what it looked at.
        below: the modules.
    """
    looked_at = set(places)
    return [
        guard
        for guard in known.inner
        if guard.originating_source in below
        and (id(guard) not in before or guard.originating_source in looked_at)
    ]


__all__ = ["Below", "Conditions", "Sources", "guards_below"]
