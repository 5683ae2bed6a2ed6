"""A failed trace in, the trap that the model fell into out: the place, what is wrong, the change.

Torch's own texts name the rule that was broken, seldom the line, and never the user's size. What a
text does not tell apart is not guessed: then there is no trap, and torch's text stands.
"""

from __future__ import annotations

import re

from explorer.artifacts import SourceLocation
from explorer.artifacts.common import Expression
from explorer.guards.cond_traps import COND_TEXTS, failed_in_cond, leak
from explorer.guards.expression import expression_text
from explorer.guards.fixes import Situation, fixes_text
from explorer.guards.op_traps import (
    RETURNS_INPUT,
    fake_trap,
    reads_layer_name,
    returns_input,
)
from explorer.guards.places import is_user_file, place_of_position, source_between, user_place
from explorer.guards.predicate_traps import logic_trap_at
from explorer.guards.trap import Trap, TrapKind
from explorer.guards.user_words import in_user_words
from explorer.stages.graphs import frames_of
from explorer.torch_private import capture as dynamo
from explorer.torch_private import failures


def explain_trace_error(
    error: BaseException,
    text: str | None = None,
    *,
    recording: dynamo.Recording | None = None,
) -> str | None:
    """What to say of a trace that failed, when it is a trap that is known; else None.

    Args:
        error: what the trace raised.
        text: its text, when it is not ``str(error)``.
        recording: what was asked meanwhile; it knows the names of sizes and the columns.
    """
    trap = trap_of(error, text, recording=recording)
    if trap is None:
        return None
    at = " at" if trap.place else " -"
    return (
        f"The model does not trace into one graph{at} {trap} "
        "Running the model without compiling is not affected."
    )


def trap_of(
    error: BaseException,
    text: str | None = None,
    *,
    recording: dynamo.Recording | None = None,
) -> Trap | None:
    """The trap behind an error of a trace or a call, or None.

    Args:
        error: what was raised.
        text: its text, when it is not ``str(error)``.
        recording: what was asked while tracing.
    """
    text = str(error) if text is None else text
    place = user_place(getattr(error, "real_stack", None)) or _place_in(text)
    question = failures.unanswered_question(error)
    if question is not None:
        return _unanswered(question, place, (recording, text))
    if "Data-dependent branching" in text:
        found = re.match(r"(?:if|elif|while) (.*?):", place.text) if place else None
        return _value_test(place, found[1] if found else "")
    if failed_in_cond(error) and place is not None:
        return leak(place, text)
    if re.search(RETURNS_INPUT, text):
        return returns_input(place, text)
    named = reads_layer_name(place, text)
    if named is not None:
        return named
    for pattern, make in COND_TEXTS.items():
        if re.search(pattern, text):
            return make(place, text)
    return None


# ---------------------------------------------------------------------- tests without an answer


def _unanswered(
    question: Expression, place: SourceLocation | None, known: tuple[dynamo.Recording | None, str]
) -> Trap | None:
    """The trap of a test that has no answer; ``known`` is what was recorded, and torch's text."""
    recording, text = known
    names = size_names(recording)
    condition = expression_text(question, names)
    sizes = sorted({names[symbol] for symbol in question.free_symbols if symbol in names})
    asked = [each for each in recording.evaluations if each.result is None] if recording else []
    if asked and asked[-1].asker.operator is not None:
        fake = fake_trap(asked[-1].asker.operator, condition, place, asked_at=text)
        if fake is not None:
            return fake
    tested = place_of_position(asked[-1].asker.position) if asked else None
    place = tested or place
    logic = logic_trap_at(place) if place else None
    if logic is not None:
        return logic
    code = source_between(tested) if tested else ""
    if sizes:
        return _size_test(place, code or condition, condition, sizes)
    return _value_test(place, code) if names else _unknown_test(place, condition)


def _size_test(place: SourceLocation | None, code: str, condition: str, sizes: list[str]) -> Trap:
    subject = f"{' and '.join(sizes)} {'is' if len(sizes) == 1 else 'are'}"
    return Trap(
        TrapKind.SIZE_TEST,
        place,
        f"the test `{code}` asks whether {condition}, and {subject} marked unbacked, so there is "
        "no answer while tracing",
        fixes_text(Situation.UNBACKED_TEST),
    )


def _unknown_test(place: SourceLocation | None, condition: str) -> Trap:
    return Trap(
        TrapKind.VALUE_TEST,
        place,
        f"a test asks whether {condition}, which is not known while tracing: a size that is marked "
        "unbacked, or a value of a tensor",
        fixes_text(Situation.UNBACKED_TEST),
    )


def _value_test(place: SourceLocation | None, code: str) -> Trap:
    return Trap(
        TrapKind.VALUE_TEST,
        place,
        f"the branch{f' on `{code}`' if code else ''} depends on what a tensor holds, which is not "
        "known while tracing",
        fixes_text(Situation.VALUE_TEST),
    )


def size_names(recording: dynamo.Recording | None) -> dict[Expression, str]:
    """Torch's symbol -> the user's name of an unbacked size, ``x.size(0)`` for another one."""
    if recording is None or recording.shape_env is None:
        return {}
    sources = dynamo.symbol_sources(recording.shape_env)
    names = {symbol: in_user_words(source) for source, symbol in sources.items()}
    return names | failures.unbacked_names(recording.shape_env)


def _place_in(text: str) -> SourceLocation | None:
    for frame in reversed(frames_of(text)):
        if is_user_file(frame.file):
            return frame
    return None
