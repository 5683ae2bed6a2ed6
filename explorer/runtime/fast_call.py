"""Writes one straight Python function that serves a whole call of a compiled model.

Dynamo's own bytecode looks every parameter up and rebuilds the output. Neither is needed where
parameters are known to be the ones that were bound and the output is made of tensors in tuples,
lists and dicts: the function reads the call's tensors, checks, calls the stitching function and
rebuilds the output itself. A call that it does not serve takes the other way.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from explorer.artifacts import CapturedGraph, InputKind, Size
from explorer.runtime.output_form import Unfit, output_source
from explorer.runtime.predicate import TensorTests, tensor_tests, tensors_of

NOT_SERVED = object()
"""Result of a call that has to take the other way."""

CHANGED = object()
"""The same, because the model is no longer as it was when the function was written."""

_ARGUMENT = re.compile(r"L\['(\w+)'\]((?:\['[^'\\]*'\]|\[\d+\]|\.\w+)*)")
_SIZE = re.compile(r"(.*)\.size\(\)\[(\d+)\]")


@dataclass(frozen=True, eq=False)
class Parts:
    """What the function is made of.

    Attributes:
        captured: what the graph relies on.
        dispatch: the size that picks the stitching function, or None.
        signature: of the traced function, receiver included.
        receiver: what it is bound to, or None.
        check_guards: whether to test conditions on sizes.
        conditions: name -> function of nothing that must return True, in this order; the first says
            whether the model is as it was.
        guards_hold: a check of the call's names and values, or None.
        cells: closure variables by name.
        function_for: dispatch size -> stitching function.
        special: serves flat inputs that the tests do not accept.
        before: called with {position: tensor} before the run, or None.
        bound: position of a bound input -> its value.
        returned: number of values that the graph returns.
        results: what a call returns when the graph returns some marks, twice.
    """

    captured: CapturedGraph
    dispatch: Size | None
    signature: inspect.Signature
    receiver: Any
    check_guards: bool
    conditions: Mapping[str, Callable[[], bool]]
    guards_hold: Callable[[Mapping[str, Any]], bool] | None
    cells: Mapping[str, Any]
    function_for: Callable[[int], Callable[..., Any]]
    special: Callable[[tuple[Any, ...]], Any]
    before: Callable[[Mapping[int, Any]], None] | None
    bound: Mapping[int, Any]
    returned: int
    results: Callable[[tuple[Any, ...]], tuple[Any, Any]]


class FastCall:
    """A generated function, and how the arguments of a call become its own.

    Attributes:
        source: the text of the function.
    """

    def __init__(
        self, function: Callable[..., Any], source: str, parameters: list[inspect.Parameter]
    ) -> None:
        self.source = source
        self._function = function
        self._parameters = parameters
        self._signature = inspect.Signature(parameters)
        self._forms: dict[tuple[Any, ...], tuple[tuple[str, Any], ...] | None] = {}

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The model's output, or ``NOT_SERVED`` or ``CHANGED``."""
        if kwargs or len(args) != len(self._parameters):
            form = (len(args), *kwargs)
            if form not in self._forms:
                self._forms[form] = self._missing(args, kwargs)
            missing = self._forms[form]
            if missing is None:
                return NOT_SERVED
            args = (*args, *[kwargs.get(name, default) for name, default in missing])
        return self._function(*args)

    def _missing(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[str, Any], ...] | None:
        """Name and default of each parameter that is not given by position; None: it does not fit.

        The names of the keyword arguments are those of the call that it is asked for.
        """
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError:
            return None
        return tuple((each.name, each.default) for each in self._parameters[len(args) :])


def write_fast_call(parts: Parts, example: tuple[tuple[Any, ...], Mapping[str, Any]]) -> FastCall:
    """The function for calls of one captured graph.

    Args:
        parts: what it is made of.
        example: arguments and keyword arguments of a call that was served.

    Raises:
        Unfit: the graph, its inputs or its output are not of the plain form.
    """
    writer = _Writer(parts)
    source = writer.write(example)
    scope = writer.scope
    # The text holds names made here, constants by repr, and steps such as ['ids'] or [0] that
    # were matched by a pattern.
    exec(compile(source, "<fast_call>", "exec"), scope)
    return FastCall(scope["fast_call"], source, writer.parameters)


class _Writer:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.scope: dict[str, Any] = {"NOT_SERVED": NOT_SERVED, "CHANGED": CHANGED}
        every = list(parts.signature.parameters.values())
        self.parameters = every if parts.receiver is None else every[1:]
        fit = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if any(each.kind not in fit for each in self.parameters) or parts.captured.outside:
            raise Unfit("its signature or the tensors that it reads are not plain")
        self.names = {each.name: f"argument_{i}" for i, each in enumerate(self.parameters)}
        self.lines: list[str] = []

    def write(self, example: tuple[tuple[Any, ...], Mapping[str, Any]]) -> str:
        """The text of the function."""
        texts = self._input_texts()
        tests = tensor_tests(
            self.parts.captured, texts.__getitem__, check_guards=self.parts.check_guards
        )
        self.scope |= tests.scope
        sizes = self._size_texts(tests)
        self._conditions()
        self._read(texts)
        self._check(tests, {**texts, **sizes})
        self._run(tests, {**texts, **sizes})
        self._return(example)
        head = f"def fast_call({', '.join(self.names.values())}):"
        return head + "\n" + "".join(f"    {line}\n" for line in self.lines)

    def _input_texts(self) -> dict[int, str]:
        """Position of a tensor of the call -> the local variable that holds it."""
        self.ways: dict[int, str] = {}
        for each in tensors_of(self.parts.captured):
            found = _ARGUMENT.fullmatch(self.parts.captured.inputs[each.position].source)
            if found is None or found[1] not in self.names:
                raise Unfit(f"{each.expected.path} is found in another way")
            self.ways[each.position] = self.names[found[1]] + found[2]
        return {position: f"value_{i}" for i, position in enumerate(self.ways)}

    def _size_texts(self, tests: TensorTests) -> dict[int, str]:
        """Position of an input that is a size -> the local variable that holds it."""
        captured = self.parts.captured
        name_of = {source: size.name for size in captured.sizes for source in size.sources}
        found = {}
        for position, each in enumerate(captured.inputs):
            if each.kind is InputKind.SIZE:
                step = _SIZE.fullmatch(each.path)
                name = name_of.get((step[1], int(step[2]))) if step else None
                if name is None:
                    raise Unfit(f"{each.path} is no size of a tensor of the call")
                found[position] = tests.size_names[name]
        return found

    def _conditions(self) -> None:
        result = "CHANGED"
        for name, condition in self.parts.conditions.items():
            self.scope[name] = condition
            self.lines.append(f"if not {name}(): return {result}")
            result = "NOT_SERVED"
        if self.parts.guards_hold is None:
            return
        self.scope["guards_hold"] = self.parts.guards_hold
        self.scope["receiver"] = self.parts.receiver
        items = dict(self.names)
        if self.parts.receiver is not None:
            items[next(iter(self.parts.signature.parameters))] = "receiver"
        for number, (name, cell) in enumerate(self.parts.cells.items()):
            self.scope[f"cell_{number}"] = cell
            items[name] = f"cell_{number}.cell_contents"
        scope = ", ".join(f"{name!r}: {text}" for name, text in items.items())
        self.lines.append(f"if not guards_hold({{{scope}}}): return NOT_SERVED")

    def _read(self, texts: Mapping[int, str]) -> None:
        reads = [f"{texts[position]} = {way}" for position, way in self.ways.items()]
        if all(way in self.names.values() for way in self.ways.values()):
            self.lines += reads
            return
        self.lines += ["try:", *[f"    {line}" for line in reads]]
        self.lines.append("except (AttributeError, IndexError, KeyError, TypeError):")
        self.lines.append("    return NOT_SERVED")

    def _check(self, tests: TensorTests, texts: Mapping[int, str]) -> None:
        if tests.types:
            self.lines.append(f"if not ({' and '.join(tests.types)}): return NOT_SERVED")
        for position, dim, name in tests.readings:
            self.lines.append(f"if {texts[position]}.dim() <= {dim}: return NOT_SERVED")
            self.lines.append(f"{name} = {texts[position]}.shape[{dim}]")
        accepted = "\n        and ".join(tests.tests) or "True"
        self.lines.append(f"if (\n        {accepted}\n    ):")

    def _run(self, tests: TensorTests, texts: Mapping[int, str]) -> None:
        parts = self.parts
        if parts.before is not None:
            self.scope["before"] = parts.before
            pairs = ", ".join(f"{position}: {texts[position]}" for position in self.ways)
            self.lines.append(f"    before({{{pairs}}})")
        self.scope |= {"function_for": parts.function_for, "special": parts.special}
        dispatch = tests.size_names[parts.dispatch.name] if parts.dispatch is not None else "0"
        arguments = ", ".join(texts[position] for position in sorted(texts))
        self.lines.append(f"    result = function_for({dispatch})({arguments})")
        flat = []
        for position in range(len(parts.captured.inputs)):
            if position not in texts:
                self.scope[f"bound_{position}"] = parts.bound[position]
            flat.append(texts.get(position, f"bound_{position}"))
        self.lines += ["else:", f"    result = special(({''.join(f'{each}, ' for each in flat)}))"]

    def _return(self, example: tuple[tuple[Any, ...], Mapping[str, Any]]) -> None:
        bound = inspect.Signature(self.parameters).bind(*example[0], **example[1])
        bound.apply_defaults()
        arguments = {self.names[name]: value for name, value in bound.arguments.items()}
        text, scope = output_source(self.parts.results, arguments, returned=self.parts.returned)
        self.scope |= scope
        self.lines.append(f"return {text}")


__all__ = ["CHANGED", "NOT_SERVED", "FastCall", "Parts", "Unfit", "write_fast_call"]
