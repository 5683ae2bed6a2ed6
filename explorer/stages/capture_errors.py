"""What a failed capture says: the place in the user's code, the reason, the fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import sympy

from explorer.artifacts import SourceLocation
from explorer.artifacts.common import Expression
from explorer.errors import SpecializedDim
from explorer.guards.op_traps import fake_trap
from explorer.guards.places import is_user_file, place_of_position, user_place
from explorer.guards.traps import explain_trace_error
from explorer.intermediate_tensors import STEP_INSIDE
from explorer.stages.graphs import frames_of
from explorer.stages.inputs import DynamicDim
from explorer.torch_private import capture as dynamo


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _at(place: SourceLocation | None) -> str:
    return f" at {place}: {place.text}" if place else ""


def trace_error_text(error: BaseException, recording: dynamo.Recording | None = None) -> str:
    """What to say of a trace that failed.

    Args:
        error: what it raised.
        recording: what was asked until then; it knows the names of the sizes.
    """
    explained = explain_trace_error(error, recording=recording)
    if explained is not None:
        return explained
    place = user_place(getattr(error, "real_stack", None)) or _place_in_text(str(error))
    text = str(error)
    reason = _first_line(error)
    hint = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("Hint:"):
            hint = " " + stripped.removeprefix("Hint:").strip()
            break
    if "data-dependent" in text:
        hint = (
            " A branch on a value that is not known while tracing cannot be in one graph: use "
            "torch.where or torch.cond, or move the branch out of the model."
        )
    return (
        f"The model does not trace into one graph{_at(place)} - {reason}.{hint} "
        f"Running the model without compiling is not affected."
    ).replace("..", ".")


def _place_in_text(text: str) -> SourceLocation | None:
    for frame in reversed(frames_of(text)):
        if is_user_file(frame.file):
            return frame
    return None


def specialised_dim(
    error: BaseException, recording: dynamo.Recording, dims: Iterable[DynamicDim]
) -> SpecializedDim:
    """The error for a marked dim that torch found to be a constant when it built its guards."""
    text = str(error).replace(STEP_INSIDE, "")
    named = next(
        (each for each in dims if f"{source_of(each.path)}.size()[{each.dim}]" in text), None
    )
    constant = re.search(r"constant \((\d+)\)", text)
    place = _culprit(recording, named) or _place_in_text(text)
    return _specialised(named, int(constant[1]) if constant else None, place)


def frozen_dim(raw: dynamo.RawCapture, dim: DynamicDim, value: int | None) -> SpecializedDim:
    """The error for a marked dim that is a constant in the traced graph."""
    return _specialised(dim, value, _culprit(raw.recording, dim))


def _specialised(
    dim: DynamicDim | None, value: int | None, place: SourceLocation | None
) -> SpecializedDim:
    label = f"{dim.path}.size({dim.dim})" if dim else "A dynamic dim"
    return SpecializedDim(
        f"{label} was asked to be dynamic, but the model fixed it to "
        f"{'one value' if value is None else value}{_at(place)}. Make that line independent of "
        "the size, capture with another example size, leave the dim static, or let "
        "guard_policy=GuardPolicy.VARIANTS capture a graph for each side.",
        path=dim.path if dim else None,
        dim=dim.dim if dim else None,
        value=value,
        location=place,
    )


def _culprit(recording: dynamo.Recording, dim: DynamicDim | None) -> SourceLocation | None:
    """The line of the condition that fixed a dim: the first equality on it, else the last test."""
    symbol = _symbol_of(recording, dim)
    tests = [
        guard
        for guard in recording.guards
        if symbol is None or symbol in guard.expression.free_symbols
    ]
    equal = [
        guard
        for guard in tests
        if isinstance(guard.expression, sympy.Equality)
        and (symbol is None or any(side.is_number for side in guard.expression.args))
    ]
    chosen = equal[0] if equal else tests[-1] if tests and symbol is not None else None
    if chosen is None:
        return None
    call = user_place(chosen.user_stack)
    if chosen.asker.operator is not None:
        fake = fake_trap(chosen.asker.operator, "", call, asked_at=chosen.framework)
        if fake is not None:
            return fake.place
    return place_of_position(chosen.asker.position) or call


def _symbol_of(recording: dynamo.Recording, dim: DynamicDim | None) -> Expression | None:
    if dim is None or recording.shape_env is None:
        return None
    wanted = f"{source_of(dim.path)}.size()[{dim.dim}]"
    return dynamo.symbol_sources(recording.shape_env).get(wanted)


def source_of(path: str) -> str:
    """Dynamo's name of an input: ``L['batch']['ids']`` for ``batch['ids']``."""
    root = re.split(r"[\[.]", path, maxsplit=1)[0]
    return f"L['{root}']{path.removeprefix(root)}"


def grown_text(sizes: Mapping[tuple[str, int], int], error: BaseException) -> str:
    """What to say when the model fails at the sizes that stand in for 0 and 1."""
    grown = ", ".join(f"{path}.size({dim}) = {size}" for (path, dim), size in sizes.items())
    return (
        f"A dynamic dim cannot be captured at size 0 or 1, so the example was tried at {grown}, "
        f"where the model fails: {error}. Give an example with a larger size, leave the dim "
        "static, or pass make_inputs."
    )


def unified_text(
    raw: dynamo.RawCapture, group: Mapping[str, Any], dim: DynamicDim, name: str
) -> str:
    """What to say of two dims that the model made one size."""
    first_path, first_dim = group["sources"][0]
    place = None
    for guard in raw.shape_guards:
        if isinstance(guard.expression, sympy.Equality) and not any(
            side.is_number for side in guard.expression.args
        ):
            place = user_place(guard.user_stack)
    return (
        f"{name} ({dim.path}.size({dim.dim})) and {group['name']} ({first_path}.size({first_dim})) "
        f"are one size: the model demands it{_at(place)}"
    )
