"""Who asked: every question about sizes that one trace asks, with the code that asked it.

The methods of ShapeEnv that answer such questions are wrapped while a trace runs. From inside them
the interpreter's frames are walked outwards, to the operator or the Python instruction that is
being traced: ``TracingContext`` knows where the instruction stands, but not who asked.

Private names used (torch 2.13.0): ``ShapeEnv._log_guard`` and ``evaluate_expr``,
``torch._guards.TracingContext`` with ``loc_in_frame`` and ``loc_in_frame_positions``, and the code
objects of ``torch._dynamo.symbolic_convert`` (``generic_jump``'s inner function, ``step``),
``FakeTensorMode._dispatch_impl`` and ``_cached_dispatch_impl``, and ``torch._check``.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dis import Positions
from enum import Enum
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

import torch
from torch._guards import TracingContext
from torch.fx.experimental import symbolic_shapes
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from explorer.artifacts.common import Expression
from explorer.torch_private.layout_questions import RawLayoutQuestion

# A cached set. Without this line the wrappers below would be torch's idea of the framework's place
# and stand in its error messages.
symbolic_shapes.uninteresting_files().add(__file__)

_TORCH = str(Path(torch.__file__).parent)
_CHECKS = ("_check", "_check_with", "_check_is_size", "_check_value", "_check_index")
_MARKS = "_dynamo/variables/builder.py"
"""Where torch checks the bounds and shared ids of marks, with its own ``torch._check``."""

WRAPPED = ("_log_guard", "evaluate_expr")
"""The methods of ShapeEnv that are wrapped while a trace runs."""


class AskedBy(Enum):
    """The kind of code that asked."""

    BRANCH = "branch"
    ASSERT = "assert"
    TORCH_CHECK = "torch._check"
    INT = "int"
    OPERATOR = "op"
    MARKING = "marking"
    """Torch itself, for the bounds or the shared id of a mark."""
    OTHER = "other"


class _Role(Enum):
    """What a frame says about who asked."""

    PASSES_ON = 0
    """Such as a tracing instruction leads through on the way to its question."""
    JUMP = 1
    STEP = 2
    OPERATOR = 3
    CHECK = 4
    ELSEWHERE = 5
    """Not on the way from a jump to its question."""


@dataclass(frozen=True)
class Position:
    """Where the traced instruction stands.

    Lines are 1-based, columns are 0-based offsets in the line's UTF-8 bytes, as Python has them.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    function: str


@dataclass(frozen=True, eq=False)
class Asker:
    """Who asked one question.

    Attributes:
        kind: the kind of code.
        operator: ``aten.view.default``, when an operator asked.
        position: the Python instruction that was being traced, where there is one.
    """

    kind: AskedBy
    operator: str | None
    position: Position | None


@dataclass(frozen=True, eq=False)
class RawEvaluation:
    """One question and its answer.

    Attributes:
        expression: over torch's symbols.
        result: the answer; None when the trace failed at it.
        asker: who asked.
        guards_before: how many conditions the environment had.
        guards_after: how many it has now.
        seen_before: whether the same question had been answered before.
        user_stack: the user's frames; for a test in Python only.
    """

    expression: Expression
    result: Any
    asker: Asker
    guards_before: int
    guards_after: int
    seen_before: bool
    user_stack: traceback.StackSummary | None


@dataclass(frozen=True, eq=False)
class RawGuard:
    """One condition when it was made.

    Attributes:
        expression: over torch's symbols.
        asker: who asked.
        user_stack: the user's frames, outermost first.
        framework: torch's own place, ``file:line in function``.
    """

    expression: Expression
    asker: Asker
    user_stack: traceback.StackSummary
    framework: str


@dataclass(eq=False)
class Recording:
    """What was asked in one trace; filled while it runs, so that a failed trace has it as well.

    Attributes:
        guards: in the order in which they were made; those on sizes without a value became run-time
            assertions in the graph.
        evaluations: questions with a size in them, and tests in Python whose answer was known.
        constant_predicates: the user's frames at each torch.cond whose test was a constant.
        layout_questions: what was asked about how tensors lie in memory.
        shape_env: the environment that the questions were put to.
        missing: methods that this torch does not have, so that what they answer is not known.
    """

    guards: list[RawGuard] = field(default_factory=list)
    evaluations: list[RawEvaluation] = field(default_factory=list)
    constant_predicates: list[traceback.StackSummary] = field(default_factory=list)
    layout_questions: list[RawLayoutQuestion] = field(default_factory=list)
    shape_env: ShapeEnv | None = None
    missing: tuple[str, ...] = ()

    def forget(self) -> None:
        """Makes it as new, for another trace."""
        self.guards.clear()
        self.evaluations.clear()
        self.constant_predicates.clear()
        self.layout_questions.clear()
        self.shape_env, self.missing = None, ()


@contextlib.contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """Inside, the questions that this thread's traces ask are added to ``recording``."""
    recording.missing = tuple(name for name in WRAPPED if not hasattr(ShapeEnv, name))
    wrappers = {
        "_log_guard": _wrap_log_guard,
        "evaluate_expr": _wrap_evaluate,
    }
    owner = threading.get_ident()
    with contextlib.ExitStack() as stack:
        asked: list[Expression] = []
        for name, wrap in wrappers.items():
            if name not in recording.missing:
                wrapped = wrap(getattr(ShapeEnv, name), recording, asked, owner)
                stack.enter_context(patch.object(ShapeEnv, name, wrapped))
        yield


def _wrap_log_guard(
    original: Callable[..., Any], recording: Recording, asked: list[Expression], owner: int
) -> Callable[..., Any]:
    def log_guard(env: Any, prefix: str, guard: Any, forcing_spec: bool = False) -> Any:
        # A suppressed one is logged and not kept.
        if not prefix.startswith("eval [guard suppressed]") and threading.get_ident() == owner:
            # The condition alone does not tell a number that was asked for from a truth value.
            recording.guards.append(_raw_guard(guard, asked[-1] if asked else guard))
        return original(env, prefix, guard, forcing_spec=forcing_spec)

    return log_guard


def _wrap_evaluate(
    original: Callable[..., Any], recording: Recording, asked: list[Expression], owner: int
) -> Callable[..., Any]:
    evaluations = recording.evaluations
    answered: set[Expression] = set()

    def evaluate_expr(env: Any, expression: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(env, expression, *args, **kwargs)
        recording.shape_env = env
        before = len(env.guards)
        asked.append(expression)
        try:
            result = original(env, expression, *args, **kwargs)
        except Exception:
            if getattr(expression, "free_symbols", None):
                evaluations.append(_evaluation(expression, None, (before, before), False))
            raise
        finally:
            asked.pop()
        # `if n:` is the constant True by the time it arrives here. Most constants come from
        # `guard_or_false` and its like, which take no for an answer.
        if getattr(expression, "free_symbols", None) or (
            kwargs.get("fallback_value") is None and _is_python_test(sys._getframe(1))
        ):
            guards = (before, len(env.guards))
            evaluations.append(_evaluation(expression, result, guards, expression in answered))
            answered.add(expression)
        return result

    return evaluate_expr


def _evaluation(
    expression: Expression, result: Any, guards: tuple[int, int], seen_before: bool
) -> RawEvaluation:
    asker = who_asked(expression)
    is_test = asker.kind in (AskedBy.BRANCH, AskedBy.ASSERT, AskedBy.INT)
    stack = TracingContext.extract_stack() if is_test else None
    return RawEvaluation(expression, result, asker, *guards, seen_before, stack)


def _raw_guard(guard: Expression, question: Expression) -> RawGuard:
    asker, framework = who_asked(question), _framework_place()
    if asker.kind is AskedBy.TORCH_CHECK and framework.startswith(_MARKS):
        asker = Asker(AskedBy.MARKING, None, None)
    return RawGuard(guard, asker, TracingContext.extract_stack(), framework)


# ----------------------------------------------------------------------------------- walking frames

_ROLES: dict[int, _Role] = {}
"""id of a code object -> what is known of it.

Code objects themselves would do as keys, but hashing one takes longer than all the rest. Only
torch's own are kept.
"""
_KEPT: list[CodeType] = []
"""These code objects, so that the ids stay theirs."""

# Looking up the member of an Enum takes as long as looking at a frame.
_PASSES_ON, _ELSEWHERE = _Role.PASSES_ON, _Role.ELSEWHERE

_JUMP_DEPTH = 7
"""Frames from a jump to the question that it asks, at most; 4 and 5 in torch 2.13.0.

Looking at one takes longer than one would think: Python makes an object of it first.
"""

_ON_THE_WAY = ("/_dynamo/", "/fx/experimental/symbolic_shapes.py", "/fx/experimental/sym_node.py")
_DISPATCH = ("_dispatch_impl", "_cached_dispatch_impl")


def _role(code: CodeType) -> _Role:
    role = _ROLES.get(id(code))
    if role is None:
        role = _role_of(code.co_filename, code.co_name, code.co_varnames)
        if code.co_filename.startswith(_TORCH):
            _KEPT.append(code)
            _ROLES[id(code)] = role
    return role


def _role_of(file: str, name: str, variables: tuple[str, ...]) -> _Role:
    if not file.startswith(_TORCH):
        return _Role.ELSEWHERE
    inside = file[len(_TORCH) :]
    if inside == "/_dynamo/symbolic_convert.py" and "inst" in variables:
        named = {"inner": _Role.JUMP, "step": _Role.STEP}
        return named.get(name, _Role.PASSES_ON)
    if inside.startswith("/_subclasses/fake_tensor") and name in _DISPATCH:
        return _Role.OPERATOR
    if inside == "/__init__.py":
        return _Role.CHECK if name in _CHECKS else _Role.PASSES_ON
    if inside == "/fx/experimental/symbolic_shapes.py" and name == "_guard_or":
        return _Role.ELSEWHERE
    return _Role.PASSES_ON if inside.startswith(_ON_THE_WAY) else _Role.ELSEWHERE


def _is_python_test(frame: FrameType | None) -> bool:
    """Whether a jump instruction asked, looking a few frames out only: most questions are not."""
    for _ in range(_JUMP_DEPTH):
        if frame is None:
            return False
        role = _ROLES.get(id(frame.f_code)) or _role(frame.f_code)
        if role is not _PASSES_ON:
            return role is _Role.JUMP
        frame = frame.f_back
    return False


def who_asked(question: Expression) -> Asker:
    """Walks outwards from the caller to the operator or the instruction that is being traced.

    Args:
        question: what is asked; a number means that a size becomes a Python int.
    """
    frame: FrameType | None = sys._getframe(1)
    checks = False
    while frame is not None:
        role = _ROLES.get(id(frame.f_code)) or _role(frame.f_code)
        if role is _PASSES_ON or role is _ELSEWHERE:
            pass
        elif role is _Role.OPERATOR:
            operator = _operator_name(frame.f_locals.get("func"))
            return Asker(AskedBy.OPERATOR, operator, _position(frame))
        elif role is _Role.JUMP:
            kind = AskedBy.ASSERT if "error_msg" in frame.f_locals else AskedBy.BRANCH
            return Asker(kind, None, _position(frame))
        elif role is _Role.STEP:
            is_truth = question.is_Relational or question.is_Boolean
            kind = AskedBy.OTHER if is_truth else AskedBy.INT
            return Asker(AskedBy.TORCH_CHECK if checks else kind, None, _position(frame))
        elif role is _Role.CHECK:
            checks = True
        frame = frame.f_back
    return Asker(AskedBy.OTHER, None, None)


_operator_name: Callable[[Any], str] = functools.cache(str)


def _position(frame: FrameType | None) -> Position | None:
    """Where the instruction stands; looked for outwards where torch's context does not say."""
    context = TracingContext.try_get()
    positions: Positions | None = getattr(context, "loc_in_frame_positions", None)
    if context is not None and positions is not None and context.loc_in_frame is not None:
        file, _, function = context.loc_in_frame
        return _of_instruction(positions, file, function)
    while frame is not None:
        if _role(frame.f_code) in (_Role.JUMP, _Role.STEP):
            local = frame.f_locals
            code = local["self"].f_code
            return _of_instruction(local["inst"].positions, code.co_filename, code.co_name)
        frame = frame.f_back
    return None


def _of_instruction(positions: Positions | None, file: str, function: str) -> Position | None:
    if positions is None or positions.lineno is None:
        return None
    return Position(
        file,
        positions.lineno,
        positions.col_offset or 0,
        positions.end_lineno or positions.lineno,
        positions.end_col_offset or 0,
        function,
    )


def _framework_place() -> str:
    """The innermost frame that torch itself finds interesting."""
    uninteresting = symbolic_shapes.uninteresting_files()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename not in uninteresting:
            file = code.co_filename.removeprefix(_TORCH).lstrip("/")
            return f"{file}:{frame.f_lineno} in {code.co_name}"
        frame = frame.f_back
    return ""


__all__ = [
    "WRAPPED",
    "AskedBy",
    "Asker",
    "Position",
    "RawEvaluation",
    "RawGuard",
    "Recording",
    "recorded",
    "who_asked",
]
