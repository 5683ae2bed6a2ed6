"""A trace's own record in, everything that the captured graph assumed out, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy
import torch

from explorer.artifacts import (
    BranchSite,
    Evaluation,
    GuardOrigin,
    GuardRecord,
    Phase,
    RecordedAs,
    SiteKind,
    Size,
    SourceLocation,
    Specialization,
    SpecializationReason,
    UserTensor,
)
from explorer.artifacts.common import Expression
from explorer.guards import sites
from explorer.guards.expression import expression_text
from explorer.guards.places import place_of_position, source_between, user_frames
from explorer.guards.user_words import in_user_words
from explorer.guards.values import value_records
from explorer.torch_private import capture as dynamo
from explorer.torch_private.recorder import AskedBy, RawEvaluation, RawGuard

_ORIGINS = {
    AskedBy.BRANCH: GuardOrigin.BRANCH,
    AskedBy.ASSERT: GuardOrigin.ASSERT,
    AskedBy.TORCH_CHECK: GuardOrigin.TORCH_CHECK,
    AskedBy.INT: GuardOrigin.INT_SPECIALIZATION,
    AskedBy.OPERATOR: GuardOrigin.OPERATOR,
    AskedBy.MARKING: GuardOrigin.DECLARED,
    AskedBy.OTHER: GuardOrigin.OTHER,
}
_IN_PYTHON = (AskedBy.BRANCH, AskedBy.ASSERT, AskedBy.INT)


@dataclass(frozen=True, eq=False)
class Collected:
    """What one capture assumed; the fields are those of ``CapturedGraph``."""

    guards: tuple[GuardRecord, ...]
    runtime_asserts: tuple[GuardRecord, ...]
    value_guards: tuple[GuardRecord, ...]
    branch_sites: tuple[BranchSite, ...]
    specializations: tuple[Specialization, ...]
    evaluations: tuple[Evaluation, ...]
    unknown: tuple[str, ...]


def collect(
    raw: dynamo.RawCapture,
    sizes: tuple[Size, ...],
    user_inputs: tuple[UserTensor, ...],
    thread_state: tuple[tuple[str, Any], ...],
    *,
    names_of_dim: Mapping[tuple[str, int], str] | None = None,
) -> Collected:
    """Every condition, test and question of a capture.

    Args:
        raw: the trace's own record.
        sizes: the independent sizes.
        user_inputs: the tensors of the call.
        thread_state: settings of the thread, as (name, value).
        names_of_dim: (path, dim) -> the name of its size; dims of one name are meant to be equal.
    """
    words = _Words(raw, sizes)
    tests, record_of = _shape_records(raw, words)
    evaluations = tuple(_evaluations(raw, words))
    guards = (*tests, *_bounds(sizes, evaluations))
    values = value_records(raw.value_guards, user_inputs, thread_state)
    reached = _branch_sites(raw, words, record_of)
    return Collected(
        guards=guards,
        runtime_asserts=_assert_records(raw, words),
        value_guards=values,
        branch_sites=_with_kinds(
            tuple(sorted((*reached, *sites.not_reached(reached)), key=_in_source_order))
        ),
        specializations=(*_unified(raw, words, names_of_dim or {}), *_constants(values)),
        evaluations=evaluations,
        unknown=tuple(
            f"torch {torch.__version__} has no ShapeEnv.{name}, so not every question about sizes "
            "was seen"
            for name in raw.recording.missing
        ),
    )


class _Words:
    """The trace's symbols as the user's sizes."""

    def __init__(self, raw: dynamo.RawCapture, sizes: tuple[Size, ...]) -> None:
        self.shape_env = raw.shape_env
        self.alias = {torch: size.symbol for size in sizes for torch in size.torch_symbols}
        self.names = {size.symbol: size.name for size in sizes}
        self.labels = {size.symbol: size.label for size in sizes}
        self.input_of: dict[Expression, str] = {}
        if self.shape_env is not None:
            for source, symbol in dynamo.symbol_sources(self.shape_env).items():
                self.input_of.setdefault(symbol, in_user_words(source))
        self.labels = self.input_of | self.labels

    def over_sizes(self, expression: Expression) -> Expression:
        """The expression with known equalities applied, over the sizes' symbols."""
        assert self.shape_env is not None
        return dynamo.replace_symbols(expression, self.shape_env).xreplace(self.alias)

    def text(self, expression: Expression) -> str:
        """In the sizes' names; a symbol that is no size by the input that it is read from."""
        names = {symbol: self.labels.get(symbol, str(symbol)) for symbol in expression.free_symbols}
        return expression_text(expression, {**names, **self.names})

    def sources(self, expression: Expression) -> tuple[str, ...]:
        """The inputs that it reads."""
        found = (self.labels.get(symbol, str(symbol)) for symbol in expression.free_symbols)
        return tuple(sorted(found))


# --------------------------------------------------------------------------------------- conditions


def _shape_records(
    raw: dynamo.RawCapture, words: _Words
) -> tuple[tuple[GuardRecord, ...], Mapping[int, int]]:
    """The conditions that something tested, and torch's index -> index here."""
    records: list[GuardRecord] = []
    index_of: dict[int, int] = {}
    known: dict[Expression, int] = {}
    for number, guard in enumerate(raw.shape_guards):
        expression = words.over_sizes(guard.expression)
        if expression in (sympy.true, sympy.false) or not expression.free_symbols:
            continue  # the equality that made two dims one size; the input check compares both dims
        if expression not in known:
            known[expression] = len(records)
            records.append(_record(guard, expression, words))
        index_of[number] = known[expression]
    return tuple(records), index_of


def _record(
    guard: RawGuard, expression: Expression, words: _Words, *, runtime_assert: bool = False
) -> GuardRecord:
    stack = user_frames(guard.user_stack)
    location = place_of_position(guard.asker.position) or (stack[-1] if stack else None)
    origin = _ORIGINS[guard.asker.kind]
    if origin is GuardOrigin.BRANCH and _is_assert(location):
        origin = GuardOrigin.ASSERT  # one with a message that is no constant arrives as a branch
    return GuardRecord(
        expression=expression,
        text=words.text(expression),
        origin=origin,
        location=location,
        sources=words.sources(expression),
        operator=guard.asker.operator,
        user_stack=stack,
        framework=guard.framework or None,
        phase=Phase.DYNAMO,
        runtime_assert=runtime_assert,
    )


def _is_assert(location: SourceLocation | None) -> bool:
    return location is not None and sites.kind_of(location) is SiteKind.ASSERT


def _assert_records(raw: dynamo.RawCapture, words: _Words) -> tuple[GuardRecord, ...]:
    found: dict[Expression, GuardRecord] = {}
    for guard in raw.runtime_asserts:
        expression = words.over_sizes(guard.expression)
        if expression.free_symbols and expression not in found:
            found[expression] = _record(guard, expression, words, runtime_assert=True)
    return tuple(found.values())


def _bounds(sizes: tuple[Size, ...], evaluations: tuple[Evaluation, ...]) -> list[GuardRecord]:
    records = []
    for size in sizes:
        name, source = size.name, (size.label,)
        if size.low > 0:
            zero_one = size.low == 2 and not size.unbacked
            records.append(
                GuardRecord(
                    sympy.Ge(size.symbol, size.low, evaluate=False),
                    f"{name} >= {size.low}",
                    GuardOrigin.ZERO_ONE if zero_one else GuardOrigin.RANGE,
                    sources=source,
                    operators=_asked_for_one(size.symbol, evaluations) if zero_one else (),
                )
            )
        if size.high is not None:
            condition = sympy.Le(size.symbol, size.high, evaluate=False)
            text = f"{name} <= {size.high}"
            records.append(GuardRecord(condition, text, GuardOrigin.RANGE, sources=source))
    return records


def _asked_for_one(symbol: Expression, evaluations: tuple[Evaluation, ...]) -> tuple[str, ...]:
    """The operators that asked whether a size is 1 and relied on the answer."""
    questions = {sympy.Eq(symbol, 1), sympy.Ne(symbol, 1), sympy.Lt(symbol, 2)}
    found = [each.operator for each in evaluations if each.expression in questions]
    return tuple(dict.fromkeys(name for name in found if name is not None))


# ---------------------------------------------------------------------------- questions and answers


def _evaluations(raw: dynamo.RawCapture, words: _Words) -> dict[Evaluation, None]:
    found: dict[Evaluation, None] = {}
    for each in raw.recording.evaluations:
        if each.result is None or not each.expression.free_symbols:
            continue
        expression = words.over_sizes(each.expression)
        if expression.free_symbols:
            place = place_of_position(each.asker.position)
            origin = _ORIGINS[each.asker.kind]
            answer = _plain(each.result)
            found[Evaluation(expression, answer, origin, each.asker.operator, place)] = None
    return found


def _plain(result: Any) -> bool | int:
    if result in (sympy.true, sympy.false, True, False) and not getattr(result, "is_Integer", 0):
        return bool(result)
    return int(result)


def _branch_sites(
    raw: dynamo.RawCapture, words: _Words, record_of: Mapping[int, int]
) -> tuple[BranchSite, ...]:
    groups: dict[SourceLocation, list[RawEvaluation]] = {}
    for each in raw.recording.evaluations:
        if each.asker.kind in _IN_PYTHON and each.result is not None:
            place = place_of_position(each.asker.position)
            if place is not None:
                groups.setdefault(place, []).append(each)
    return tuple(_site(place, asked, words, record_of) for place, asked in groups.items())


def _in_source_order(site: BranchSite) -> tuple[str, int, int]:
    return (site.location.file, site.location.line, site.location.column or 0)


def _site(
    place: SourceLocation,
    asked: list[RawEvaluation],
    words: _Words,
    record_of: Mapping[int, int],
) -> BranchSite:
    expressions = [
        words.over_sizes(each.expression) for each in asked if each.expression.free_symbols
    ]
    made = [number for each in asked for number in range(each.guards_before, each.guards_after)]
    guards = tuple(dict.fromkeys(record_of[number] for number in made if number in record_of))
    kind = SiteKind.INT if asked[0].asker.kind is AskedBy.INT else SiteKind.IF
    if asked[0].asker.kind is AskedBy.ASSERT:
        kind = SiteKind.ASSERT
    return BranchSite(
        location=place,
        text=words.text(expressions[0]) if expressions else source_between(place),
        kind=kind,
        answers=tuple(dict.fromkeys(_plain(each.result) for each in asked)),
        recorded_as=_recorded_as(asked, bool(made)),
        guards=guards,
        expressions=tuple(dict.fromkeys(expressions)),
        user_stack=user_frames(asked[0].user_stack),
    )


def _recorded_as(asked: list[RawEvaluation], made_guard: bool) -> RecordedAs:
    if made_guard:
        return RecordedAs.GUARD
    return RecordedAs.CACHED if any(each.seen_before for each in asked) else RecordedAs.IMPLIED


def _with_kinds(found: tuple[BranchSite, ...]) -> tuple[BranchSite, ...]:
    """The sites with what the source says that they stand in."""
    return tuple(
        replace(site, kind=sites.kind_of(site.location) or site.kind)
        if site.kind is SiteKind.IF
        else site
        for site in found
    )


# --------------------------------------------------------------------------------- became constants


def _unified(
    raw: dynamo.RawCapture, words: _Words, names_of_dim: Mapping[tuple[str, int], str]
) -> list[Specialization]:
    """Two dims that were asked to be dynamic, each by itself, and must be equal."""
    name_of = {f"{path}.size({dim})": name for (path, dim), name in names_of_dim.items()}
    found: dict[tuple[str, str], Specialization] = {}
    for guard in raw.shape_guards:
        sides = getattr(guard.expression, "args", ())
        is_equality = isinstance(guard.expression, sympy.Equality)
        if not is_equality or not all(isinstance(side, sympy.Symbol) for side in sides):
            continue
        first, second = sorted(words.input_of.get(side, str(side)) for side in sides)
        if name_of.get(first, first) == name_of.get(second, second):
            continue
        place = _record(guard, guard.expression, words).location
        found.setdefault(
            (first, second),
            Specialization(second, first, SpecializationReason.UNIFIED, location=place),
        )
    return list(found.values())


def _constants(values: tuple[GuardRecord, ...]) -> list[Specialization]:
    """Int arguments of the call, which the graph has as constants."""
    return [
        Specialization(
            each.sources[0], each.value, SpecializationReason.PYTHON_VALUE, location=each.location
        )
        for each in values
        if each.expression is not None and isinstance(each.value, int)
    ]
