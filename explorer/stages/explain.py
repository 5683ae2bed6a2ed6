"""Two pieces in, Differences out: in words, why they do not share an artifact.

The useful difference comes first: calls that only one piece makes, then constants, then what is
passed to a call, then inputs, outputs, and what is known of the sizes. What follows from an earlier
difference is left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from explorer.artifacts import CapturedGraph, Difference, Piece, SourceLocation
from explorer.stages.dedupe import Record, record_of

_MOST_OF_A_KIND = 5
_LONGEST_TEXT = 120
_VALUE = ("node",)
_TAGGED = ("float", "complex", "bytes", "ellipsis", "size", "function", "object", "value")
_TEXT_HINT = "A text argument is part of the graph, so each one makes a graph of its own."
_NAME_HINT = (
    "This text keeps the pieces apart: it is part of the graph, so each text makes a graph of its "
    "own. Declare the parameter of {op} as explorer.LayerName and pass LayerName({text}), "
    "made once: it is an input of the graph."
)
_TORCH_NAMESPACES = ("aten", "prims", "prim", "inductor", "higher_order")
_SIZE_HINT = (
    "One artifact serves one size range, so pieces share it only where the same size picks it."
)


def explain_difference(
    a: Piece, b: Piece, captured: CapturedGraph, dispatch: str | None = None
) -> tuple[Difference, ...]:
    """In words, what makes two pieces differ; empty when they are the same.

    Args:
        a: a piece.
        b: another piece of the same capture.
        captured: step 1.
        dispatch: name of the size that picks the range.
    """
    if a.kind is not b.kind:
        return (Difference("kind", a.kind.value, b.kind.value),)
    left, right = _Side(a, captured, dispatch), _Side(b, captured, dispatch)
    if left.record.fingerprint == right.record.fingerprint:
        return ()
    return tuple(_Comparison(left, right).differences())


class _Side:
    """One piece, its record, and the words for what is in it."""

    def __init__(self, piece: Piece, captured: CapturedGraph, dispatch: str | None) -> None:
        self.piece = piece
        self.record: Record = record_of(piece, captured, dispatch)
        self.names = [node.name for node in piece.graph.nodes]
        self.calls = [i for i, each in enumerate(self.record.nodes) if _is_call(each)]
        self.inputs = [i for i, each in enumerate(self.record.nodes) if each[0] == "input"]
        self.targets = [_identity(self.record.nodes[i]) for i in self.calls]

    def sized(self, value: Any) -> str:
        """A value of the record as text, its sizes by the user's names."""
        items = (str(item) for item in value) if isinstance(value, tuple) else None
        text = f"({', '.join(items)})" if items is not None else str(value)
        return re.sub(r"\bc\d+\b", lambda found: self.record.size_names[found[0]], text)

    def call_text(self, index: int) -> str:
        """A call with what is passed to it: ``operator.sub(x, y)``."""
        node = self.record.nodes[index]
        if node[0] != "call":
            return _target(node)
        parts = [self.argument_text(value) for value in node[2]]
        parts += [f"{key}={self.argument_text(value)}" for key, value in node[3]]
        text = f"{_target(node)}({', '.join(parts)})"
        return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."

    def argument_text(self, value: Any) -> str:
        """One argument as a reader of the source would write it."""
        if not isinstance(value, tuple):
            return repr(value)
        head, *rest = value
        if head == "node":
            return self.names[rest[0]]
        if head in ("tuple", "list", "slice", "dict"):
            return f"{head}({', '.join(self.argument_text(item) for item in rest)})"
        return _shown(value) if rest else str(head)


class _Comparison:
    """Walks two records side by side."""

    def __init__(self, left: _Side, right: _Side) -> None:
        self.left, self.right = left, right
        self.pairs: list[tuple[int, int]] = []
        self.changed: list[tuple[Sequence[int], Sequence[int]]] = []
        for same, (a, b), (c, d) in _aligned(left.targets, right.targets):
            calls_a, calls_b = left.calls[a:b], right.calls[c:d]
            if same:
                self.pairs += zip(calls_a, calls_b, strict=True)
            else:
                self.changed.append((calls_a, calls_b))
        self.partner = dict([*zip(left.inputs, right.inputs, strict=False), *self.pairs])

    def differences(self) -> Iterator[Difference]:
        """The useful ones, most useful first."""
        found = _first(self.calls())
        if not found:
            found = _first(self.constants())
            if len(self.left.inputs) == len(self.right.inputs):
                found += _first(self.inputs())
            found = found or _first(self.wiring()) or _first(self.input_count())
            found = found or _first(self.outputs()) or _first(self.results())
            found += self.facts()
        yield from found or [Difference("value", self.left.piece.name, self.right.piece.name)]

    def places(self, a: int | None, b: int | None) -> tuple[SourceLocation, ...]:
        """The user's lines of a node on each side, where there is one."""
        sides = ((self.left, a), (self.right, b))
        lines = [side.record.locations[index] for side, index in sides if index is not None]
        return tuple(line for line in lines if line is not None)

    def calls(self) -> Iterator[Difference]:
        """Calls that one piece makes and the other does not."""
        for calls_a, calls_b in self.changed:
            for a, b in zip_longest(calls_a, calls_b):
                words = _apart(_call_words(self.left, a), _call_words(self.right, b))
                yield Difference("call", *words, self.places(a, b))

    def constants(self) -> Iterator[Difference]:
        """Numbers, texts and flags that differ in calls of the same function."""
        for a, b in self.pairs:
            first, second = self.left.record.nodes[a], self.right.record.nodes[b]
            if first[0] != "call":
                if first != second:
                    words = _apart(*_subgraph_words(first, second))
                    yield Difference("call", *words, self.places(a, b))
                continue
            one, other = _constants(first), _constants(second)
            if one == other:
                continue
            places, target = self.places(a, b), _target(first)
            texts = (self.left.call_text(a), self.right.call_text(b))
            if len(one) != len(other):
                yield Difference("constant", *texts, places)
                continue
            x, y = next(pair for pair in zip(one, other, strict=True) if pair[0] != pair[1])
            if _VALUE in (x, y):  # such as a linear with a bias beside one without
                yield Difference("argument", *texts, places)
                continue
            hint = _text_hint(target, x, y)
            words = _apart(f"{_shown(x)} in {target}", f"{_shown(y)} in {target}")
            yield Difference("constant", *words, places, hint)

    def wiring(self) -> Iterator[Difference]:
        """The same calls with the same constants, but other values passed to them."""
        for a, b in self.pairs:
            used = _references(self.left.record.nodes[a])
            if [self.partner.get(index) for index in used] != _references(
                self.right.record.nodes[b]
            ):
                texts = (self.left.call_text(a), self.right.call_text(b))
                yield Difference("argument", *texts, self.places(a, b))

    def inputs(self) -> Iterator[Difference]:
        """Inputs of another dtype, device or layout, or that share memory otherwise."""
        for a, b in zip(self.left.inputs, self.right.inputs, strict=False):
            first, second = self.left.record.nodes[a], self.right.record.nodes[b]
            labels = (f"of input {self.left.names[a]}", f"of input {self.right.names[b]}")
            yield from self.values(first[1], second[1], labels, self.places(a, b))
            if first[2] != second[2]:
                words = (self.memory_words(self.left, a), self.memory_words(self.right, b))
                yield Difference("alias", *words, self.places(a, b))
            elif first[3] != second[3]:
                words = (_bits_words(self.left, a), _bits_words(self.right, b))
                yield Difference("layout", *words, self.places(a, b))

    def input_count(self) -> Iterator[Difference]:
        """More values that come in on one side."""
        one, other = (
            f"{side.piece.name} takes {', '.join(side.piece.inputs) or 'nothing'}"
            for side in (self.left, self.right)
        )
        if len(self.left.inputs) != len(self.right.inputs):
            yield Difference("input", one, other)

    def memory_words(self, side: _Side, index: int) -> str:
        """Which other inputs share memory with one."""
        group = side.record.nodes[index][2]
        nodes = side.record.nodes
        others = [side.names[i] for i in side.inputs if i != index and nodes[i][2] == group]
        if group is None or not others:
            return f"input {side.names[index]} has memory of its own"
        return f"input {side.names[index]} shares memory with {', '.join(others)}"

    def values(
        self,
        value_a: Any,
        value_b: Any,
        labels: tuple[str, str],
        places: tuple[SourceLocation, ...],
    ) -> Iterator[Difference]:
        """The first of dtype, device, shape, strides and offset that differs."""
        if value_a == value_b:
            return
        kinds, one, other = ("value",), (value_a,), (value_b,)
        if _is_tensor(value_a) and _is_tensor(value_b):
            kinds, one, other = (
                ("dtype", "device", "shape", "stride", "storage offset"),
                value_a,
                value_b,
            )
        for kind, x, y in zip(kinds, one, other, strict=True):
            if x != y:
                texts = (f"{self.left.sized(x)} {labels[0]}", f"{self.right.sized(y)} {labels[1]}")
                yield Difference(kind, *texts, places)
                return

    def outputs(self) -> Iterator[Difference]:
        """Other values that are handed on."""
        last = (len(self.left.record.nodes) - 1, len(self.right.record.nodes) - 1)
        used = _references(self.left.record.nodes[last[0]])
        given = _references(self.right.record.nodes[last[1]])
        if [self.partner.get(index) for index in used] != given:
            one, other = (
                f"{side.piece.name} hands on {', '.join(side.piece.outputs) or 'nothing'}"
                for side in (self.left, self.right)
            )
            yield Difference("output", one, other)

    def results(self) -> Iterator[Difference]:
        """Calls that make something else of inputs that are the same."""
        for a, b in self.pairs:
            first, second = self.left.record.nodes[a], self.right.record.nodes[b]
            if first[0] == "call":
                label = f"of the result of {_target(first)}"
                yield from self.values(first[4], second[4], (label, label), self.places(a, b))

    def facts(self) -> list[Difference]:
        """What the compile step knows of the sizes on one side only."""
        left, right = self.left.record, self.right.record
        found = []
        for kind in ("symbol", "guard"):
            one = _facts_only_in(left, right, kind)
            other = _facts_only_in(right, left, kind)
            if one or other:
                texts = ("; ".join(one) or "nothing", "; ".join(other) or "nothing")
                found.append(Difference(kind, *texts, (), _SIZE_HINT if kind == "symbol" else ""))
        return found


def _text_hint(target: str, x: Any, y: Any) -> str:
    """What to do about two texts that differ; a custom op can take a LayerName instead."""
    if not (isinstance(x, str) and isinstance(y, str)):
        return ""
    namespace, separator, _ = target.partition("::")
    if not separator or namespace in _TORCH_NAMESPACES:
        return _TEXT_HINT
    return _NAME_HINT.format(op=target, text=_shown(x))


def _is_call(node: tuple[Any, ...]) -> bool:
    return node[0] not in ("input", "output")


def _identity(node: tuple[Any, ...]) -> str:
    """What a node of a record calls; two functions of one name are two."""
    return str(node[1] if node[0] == "call" else node[0])


def _target(node: tuple[Any, ...]) -> str:
    """What a node of a record calls, without the identity that marks a function of the user's."""
    return re.sub(r" \S* \d+$", "", _identity(node))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 5 and isinstance(value[2], tuple)


def _apart(one: str, other: str) -> tuple[str, str]:
    """Two texts for things that differ, also where both are called the same."""
    return one, f"another {other}" if one == other else other


def _call_words(side: _Side, index: int | None) -> str:
    """The target of a call, or that there is none."""
    if index is None:
        return f"no such call in {side.piece.name}"
    return _target(side.record.nodes[index])


def _bits_words(side: _Side, index: int) -> str:
    conjugate, negative = side.record.nodes[index][3] or (False, False)
    kind = "a lazy conjugate" if conjugate else "a lazy negative" if negative else "no lazy bit"
    return f"{kind} in input {side.names[index]}"


def _first(found: Iterable[Difference]) -> list[Difference]:
    """The first few, none twice."""
    kept: dict[tuple[str, str, str], Difference] = {}
    for each in found:
        kept.setdefault((each.kind, each.a, each.b), each)
        if len(kept) == _MOST_OF_A_KIND:
            break
    return list(kept.values())


def _aligned(a: list[str], b: list[str]) -> Iterator[tuple[bool, tuple[int, int], tuple[int, int]]]:
    """Stretches of two lists that are the same or not.

    What both begin and end with is set apart first.
    """
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    yield True, (0, start), (0, start)
    matcher = difflib.SequenceMatcher(
        None, a[start : len(a) - end], b[start : len(b) - end], autojunk=False
    )
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        yield tag == "equal", (start + a_from, start + a_to), (start + b_from, start + b_to)
    yield True, (len(a) - end, len(a)), (len(b) - end, len(b))


def _constants(call: tuple[Any, ...]) -> list[Any]:
    """What is written out in a call of a record, with a mark where a value is passed."""
    found = [item for value in call[2] for item in _written_out(value)]
    return found + [item for key, value in call[3] for item in (key, *_written_out(value))]


def _written_out(value: Any) -> list[Any]:
    if not isinstance(value, tuple) or value[0] in _TAGGED:
        return [value]
    if value[0] == "node":
        return [_VALUE]
    head, *items = value
    return [("container", head), *(part for item in items for part in _written_out(item))]


def _references(node: tuple[Any, ...]) -> list[int]:
    """Positions of the values that a call or an output of a record takes."""
    if node[0] == "output":
        return _positions(node[1])
    if node[0] != "call":
        return []
    values = [*node[2], *(value for _, value in node[3])]
    return [position for value in values for position in _positions(value)]


def _positions(value: Any) -> list[int]:
    if not isinstance(value, tuple) or value[0] in _TAGGED:
        return []
    if value[0] == "node":
        return [value[1]]
    return [position for item in value[1:] for position in _positions(item)]


def _subgraph_words(first: tuple[Any, ...], second: tuple[Any, ...]) -> tuple[str, str]:
    """Which call inside two graphs, such as the branches of ``torch.cond``, differs first."""
    if first[0] == second[0] == "subgraph":
        for one, other in zip(first[1], second[1], strict=False):
            if one != other:
                return f"{_inner_text(one)} in a branch", f"{_inner_text(other)} in a branch"
        return f"a branch of {len(first[1])} nodes", f"a branch of {len(second[1])} nodes"
    return str(first[0]), str(second[0])


def _inner_text(node: tuple[Any, ...]) -> str:
    if node[0] != "call":
        return str(node[0])
    written = _constants(node)
    constants = [
        _shown(each) for each in written if each != _VALUE and each != ("container", "tuple")
    ]
    return f"{_target(node)} with {', '.join(constants)}" if constants else _target(node)


def _shown(constant: Any) -> str:
    """A constant of a record as text; of an object only what it is."""
    text = repr(constant)
    if isinstance(constant, tuple):
        text = f"a {constant[1]}" if constant[0] in ("object", "container") else str(constant[-1])
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _facts_only_in(one: Record, other: Record, kind: str) -> list[str]:
    found = zip(one.facts, one.fact_texts, strict=True)
    return [
        text
        for fact, text in found
        if fact not in other.facts and (fact[0] == "guard") == (kind == "guard")
    ]
