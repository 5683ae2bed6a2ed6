"""Random programs, cut at random ops: the pieces together do what eager does, bit by bit.

``EXPLORER_HYPOTHESIS_PROFILE=nightly`` runs many more programs than CI, and other ones each time.
"""

from __future__ import annotations

import contextlib
import itertools
import os

import pytest
import torch
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st

from explorer import (
    CaptureError,
    CompilationConfig,
    DynamicShapesConfig,
    DynamicShapesType,
    GuardViolation,
    Session,
)
from explorer.compilation import Compilation
from explorer.stages.split import present_ops
from tests.explorer.cutting import assert_equal_to_eager, assert_well_formed, plain
from tests.explorer.random_programs import PROBED_SIZES, TEMPLATES, Program, ProgramBuilder

PROFILES = {"ci": (300, True), "nightly": (20_000, False)}
"""Name -> how many programs, and whether they are the same ones each time."""

_examples, _derandomize = PROFILES[os.environ.get("EXPLORER_HYPOTHESIS_PROFILE", "ci")]
run_programs = settings(
    max_examples=_examples,
    derandomize=_derandomize,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SIZE_ONE = (1, 3)
MOST_LINES = 40
_CHOICE = st.integers(0, 7)
_MARKS = st.sampled_from([DynamicShapesType.BACKED] * 4 + list(DynamicShapesType))
_LINE = st.tuples(st.integers(0, len(TEMPLATES) - 1), st.tuples(*[_CHOICE] * 5))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Up to 40 lines, those that run of up to 60 that are tried; 1 to 4 values are returned."""
    builder = ProgramBuilder(two_inputs=draw(st.booleans()))
    count = draw(st.integers(1, 60))
    for template, choices in draw(st.lists(_LINE, min_size=count, max_size=count)):
        if len(builder.lines) < MOST_LINES:
            builder.add(TEMPLATES[template], choices)
    return builder.program(draw(st.lists(st.integers(0, 30), min_size=1, max_size=4)))


@pytest.mark.timeout(0)
@run_programs
@given(programs(), st.sets(st.integers(0, 40), max_size=6), st.integers(0, 9), _MARKS)
def test_pieces_do_what_the_program_does(
    program: Program, split_at: set[int], one_in_ten: int, marks: DynamicShapesType
) -> None:
    session = Session(
        program.function,
        program.make_inputs(*PROBED_SIZES[0]),
        dynamic_arg_dims=program.dynamic,
        config=CompilationConfig(backend="eager", dynamic_shapes=DynamicShapesConfig(marks)),
    )
    try:
        names = list(present_ops(session.compilation.normalised))
    except CaptureError:  # the program fixes a size, so there is nothing to cut
        reject()
    some = sorted({names[number % len(names)] for number in split_at}) if names else []
    sizes = list(PROBED_SIZES[:3])
    # A trace without examples leaves assertions in the graph, which speak for torch, not for us.
    if one_in_ten == 0 and marks is not DynamicShapesType.UNBACKED and program.runs_at(*SIZE_ONE):
        sizes.append(SIZE_ONE)
    for splitting_ops in (some, names):
        note(f"split at {splitting_ops}")
        compilation = session.update(splitting_ops=tuple(splitting_ops))
        assert_well_formed(compilation.split)
        assert_differences_are_explained(compilation)
        for size in sizes:
            assert_equal_or_refused(program, session, size)


def assert_differences_are_explained(compilation: Compilation) -> None:
    """Two pieces have a difference in words just when they are not in one group."""
    compiled = [piece for piece in compilation.pieces if piece.unique_id is not None]
    for one, other in itertools.pairwise(compiled[:6]):
        explained = compilation.explain_difference(one, other)
        assert bool(explained) == (one.unique_id != other.unique_id)
        assert all(each.kind != "value" for each in explained), explained


def assert_equal_or_refused(program: Program, session: Session, size: tuple[int, int]) -> None:
    """A size for which the graph is not right is refused before anything is written."""
    inputs = program.make_inputs(*size)
    before = plain(inputs)
    refused = False
    with torch.no_grad(), contextlib.suppress(GuardViolation):
        refused = True
        session.run(*inputs)
        refused = False
    if refused:
        assert size != PROBED_SIZES[0], "the example itself was refused"
        assert plain(inputs) == before, f"an input was written before {size} was refused"
    else:
        assert_equal_to_eager(program.function, session.run, program.make_inputs, size)
