"""What can be done about a branch: one entry per fix, for the diagnosis and for error messages.

The entries say what is known of a fix. Whether it helps one model is known only after it was
tried: see the diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Situation(Enum):
    """What there is to fix."""

    SIZE_TEST = "a test on a size that has a value while tracing"
    UNBACKED_TEST = "a test on a size that is marked unbacked"
    VALUE_TEST = "a test on what a tensor holds"


@dataclass(frozen=True)
class Fix:
    """One way to treat a branch.

    Attributes:
        id: stable, for settings and machines.
        title: a few words, as a heading.
        description: one line that says what it does.
        use: what to use, as a part of a sentence.
        warnings: what to look out for, one sentence each.
        situations: where it applies.
        helps: False for what is known not to help and is often tried.
    """

    id: str
    title: str
    description: str
    use: str
    warnings: tuple[str, ...]
    situations: frozenset[Situation]
    helps: bool = True


_SIZES = frozenset({Situation.SIZE_TEST, Situation.UNBACKED_TEST})
_EVERYWHERE = frozenset(Situation)

FIXES = (
    Fix(
        id="torch.cond",
        title="torch.cond(test, f, g, (x,))",
        description="Both sides are in the graph, and each call takes one.",
        use="torch.cond with both sides as functions",
        warnings=(
            "Both sides return tensors of the same dtypes and the same order of strides.",
            "A side does not return an input as it is: return x.clone().",
            "A side does not change an input in place.",
            "Join tests with & and |, and negate with torch.sym_not: and, or and not decide while "
            "tracing.",
            "What one side demands, by torch._check or by a view, is demanded of every call.",
        ),
        situations=_EVERYWHERE,
    ),
    Fix(
        id="custom_op",
        title="a custom op around the branch",
        description="The branch runs inside an op that is called and not traced.",
        use="a torch.library.custom_op around the branch, whose fake does not test the size",
        warnings=(
            "Nothing is fused into the op or across it.",
            "Its fake implementation must not look at the size, or the branch is decided again.",
            "It must not return an input as it is, which fails only when that side runs.",
        ),
        situations=_EVERYWHERE,
    ),
    Fix(
        id="torch.where",
        title="torch.where(test, a, b)",
        description="Both sides are computed, and the test picks.",
        use="torch.where over the results of both sides",
        warnings=(
            "Both sides run in every call.",
            "The test is a tensor: torch.scalar_tensor(x.shape[0]) == 4.",
        ),
        situations=_EVERYWHERE,
    ),
    Fix(
        id="variants",
        title="guard_policy=GuardPolicy.VARIANTS",
        description="One graph is captured for each side, and the sizes of a call pick it.",
        use="a backed dim with guard_policy=GuardPolicy.VARIANTS",
        warnings=(
            "Each side is captured and compiled by itself.",
            "vLLM has no setting for it.",
        ),
        situations=_SIZES,
    ),
    Fix(
        id="split_submodules",
        title="a compiled submodule for each side",
        description="The test stays in Python outside, and each side is compiled by itself.",
        use="a compiled submodule for each side, with the test outside",
        warnings=("What is fused across the test in one graph is not fused any more.",),
        situations=_EVERYWHERE,
    ),
    Fix(
        id="torch._check",
        title="torch._check(...)",
        description="The sizes of one side are declared unsupported.",
        use="torch._check before that line, if the sizes of one side are not supported",
        warnings=(
            "Inductor does not enforce it once guards are dropped: use it with GuardPolicy.CHECK.",
            "An example of an unsupported size cannot be captured.",
        ),
        situations=_SIZES,
    ),
    Fix(
        id="unbacked",
        title="mark_unbacked_dims, or DynamicShapesType.UNBACKED",
        description="The capture fails at this line instead of keeping one side without a word.",
        use="mark_unbacked_dims, to make the capture fail at the line",
        warnings=("It finds the branch and does not remove it.",),
        situations=frozenset({Situation.SIZE_TEST}),
    ),
    Fix(
        id="specialize_on",
        title="mark_dynamic(..., specialize_on=[...])",
        description="Torch lowers the same trace again for the given sizes.",
        use="mark_dynamic without specialize_on",
        warnings=("It is known not to help: there is one trace, so the branch stays decided.",),
        situations=frozenset({Situation.SIZE_TEST}),
        helps=False,
    ),
)
"""Every fix, the most general ones first."""


def fix_of(identifier: str) -> Fix:
    """The fix with an id.

    Raises:
        KeyError: there is none.
    """
    return {each.id: each for each in FIXES}[identifier]


def fixes_for(situation: Situation) -> tuple[Fix, ...]:
    """The fixes that apply and may help, in the order of ``FIXES``."""
    return tuple(each for each in FIXES if each.helps and situation in each.situations)


def fixes_text(situation: Situation) -> str:
    """What can be done, as one sentence of an error message."""
    uses = [each.use for each in fixes_for(situation)]
    return f"Use {'; '.join(uses[:-1])}; or {uses[-1]}."
