"""Random programs for the property test.

They are source text over a small vocabulary of ops, each line checked in eager. A program is made
line by line. A line that eager refuses at some probed size, or that makes too large a tensor, is
left out, so that what remains runs at every size.
"""

from __future__ import annotations

import contextlib
import linecache
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.explorer.cutting import random_rows, register_demo_ops

register_demo_ops()

WIDTH = 4
PROBED_SIZES = ((6, 5), (2, 3), (9, 4), (17, 2))
"""(rows of x, rows of y) per probe; the first pair is the example of the capture."""
_MOST_ELEMENTS = 3000
_FILE = "<program>"

TEMPLATES = (
    # one tensor in, one out
    "{t} = torch.relu({a})",
    "{t} = {a} * 2",
    "{t} = {a} + 1.5",
    "{t} = {a}.sin()",
    "{t} = -{a}",
    "{t} = {a}.clone()",
    "{t} = {a}.contiguous()",
    "{t} = F.silu({a})",
    "{t} = torch.softmax({a}, dim=-1)",
    "{t} = {a}.sum(0)",
    "{t} = {a}.mean(-1, keepdim=True)",
    "{t} = torch.ops.demo.step({a})",
    "{t} = torch.cond({a}.sum() > 0, twice, less_one, ({a},))",
    "{t} = in_low_precision({a})",
    # two in, one out
    "{t} = {a} + {b}",
    "{t} = torch.maximum({a}, {b})",
    "{t} = torch.where({a} > 0, {a}, {b})",
    "{t} = torch.cat([{a}, {b}], dim=0)",
    "{t} = torch.cat(({a}, {b}), -1)",
    "{t} = {a} @ {b}.t()",
    "{t} = {a}.t() @ {b}",
    "{t} = torch.matmul({a}, {b})",
    # views
    "{t} = {a}.view(-1)",
    "{t} = {a}.t()",
    "{t} = {a}.transpose(0, -1)",
    "{t} = {a}.unsqueeze(1)",
    "{t} = {a}.squeeze()",
    "{t} = {a}.flatten()",
    "{t} = {a}[:, :2]",
    "{t} = {a}[1:]",
    "{t} = {a}[None]",
    "{t} = {a}[..., -1]",
    "{t} = {a}[-1]",
    "{t} = {a}.narrow(0, 0, 2)",
    "{t} = {a}.expand(2, *{a}.shape)",
    "{t} = {a}.detach()",
    # copies by index
    "{t} = {a}[[0, 1]]",
    "{t} = {a}[index]",
    "{t} = {a}.index_select(0, index)",
    "{t} = {a}[{b}.reshape(-1).argmax(0, keepdim=True) % 2]",
    "{t} = {a}.masked_fill({a} > 0, 3.0)",
    # writes
    "{a}.add_({b})",
    "{a}.mul_(0.5)",
    "{a} += 1",
    "{a}.copy_({b})",
    "{a}[:, :1] = 0",
    "{a}[index] = {b}[index]",
    "{a}[0] = {b}[-1]",
    "torch.relu_({a})",
    "F.relu({a}, inplace=True)",
    "torch.add({a}, {b}, out={c})",
    "torch.ops.demo.attn({a}, {b}, {a}, {c})",
    "{t} = {a}.add_(1)",
    # memory whose content comes later
    "{e} = torch.empty_like({a})",
    "{e} = {a}.new_empty({a}.shape)",
    "{e} = torch.empty({a}.shape[0], {a}.shape[1])",
    "torch.ops.demo.attn({a}, {b}, {a}, {filled})",
    "{filled}.copy_({a})",
    # tuples
    "{t}, {u} = {a}.chunk(2, -1)",
    "{t}, {u} = torch.split({a}, {a}.shape[0] // 2 + 1)",
    "{t}, {u} = torch.ops.demo.two({a})",
    "{t}, {u} = torch.max({a}, dim=-1)",
    "{t}, {u} = {a}[:, :2].unbind(1)",
    "{t}, {u} = torch.var_mean({a}, dim=0)",
    # sizes
    "{s} = {a}.shape[0]",
    "{s} = {a}.size(-1)",
    "{s} = {m} * 2",
    "{s} = {m} // 2",
    "{s} = {m} + {n}",
    "{s} = {m} - 1",
    "{s} = max({m}, 3)",
    "{s} = {a}.numel()",
    "{t} = torch.zeros({m}, 2) + {a}.sum()",
    "{t} = torch.full(({m},), 2.0)",
    "{t} = torch.arange({m}) * 1.0",
    "{t} = {a} * {m}",
    "{t} = {a}[:{m}]",
    "{t} = {a}[: {m} // 2, :{n}]",
    "{t} = {a}.view({m}, -1)",
    "{t} = {a}.reshape({m} * {n}, -1)",
    "{t} = {a}.reshape({b}.shape)",
    "{t} = torch.reshape({a}, shape={b}.size())",
    "{t} = torch.ones(size={a}.shape) * {b}",
    "{t} = {a}.view(*{a}.shape[:-1], 2, -1)",
    "{t} = torch.zeros({a}.shape[1:] + {a}.shape[:1])",
    "{t} = torch.broadcast_to({a}, {b}.shape)",
    "{t} = {a}.new_full({b}.shape, 0.5)",
    "{t} = {a}.repeat(2, {n})",
)
"""``{a} {b} {c}`` are tensors, ``{m} {n}`` sizes, ``{t} {u}`` new tensors, ``{s}`` a new size.

``{e}`` is new memory that nothing may read before a line with ``{filled}`` has written to it.
"""


def _twice(value: torch.Tensor) -> torch.Tensor:
    return value * 2


def _less_one(value: torch.Tensor) -> torch.Tensor:
    return value - 1


def _in_low_precision(value: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = torch.relu(value @ value.t())
        return torch.ops.demo.step(product) @ value


_SCOPE = {
    "torch": torch,
    "F": torch.nn.functional,
    "twice": _twice,
    "less_one": _less_one,
    "in_low_precision": _in_low_precision,
}


def program_inputs(rows: int, other_rows: int) -> tuple[torch.Tensor, ...]:
    """Arguments of one call: ``x`` (rows, 4), ``y`` (other_rows, 4), ``index`` (2,)."""
    return (
        random_rows(rows, WIDTH),
        random_rows(other_rows, WIDTH, seed=1),
        torch.tensor([1, 0]),
    )


@contextlib.contextmanager
def _every_warning_is_an_error() -> Iterator[None]:
    """Torch gives most warnings once a process; a line that is deprecated is left out each time."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        torch.set_warn_always(before)


@dataclass
class ProgramBuilder:
    """Lines that run at every probed size, and what they have made so far."""

    two_inputs: bool
    lines: list[str] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    unfilled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensors = ["x", "y"] if self.two_inputs else ["x"]
        self._scopes = [
            dict(_SCOPE, **dict(zip(("x", "y", "index"), program_inputs(*sizes), strict=True)))
            for sizes in PROBED_SIZES
        ]

    def add(self, template: str, choices: tuple[int, int, int, int, int]) -> None:
        """Appends a line with operands chosen by number, unless it does not run."""
        first, second, third, size, other_size = choices
        if ("{m}" in template and not self.sizes) or ("{filled}" in template and not self.unfilled):
            return
        pick = self.sizes or [""]
        empty = self.unfilled or [""]
        number = len(self.lines)
        names = {
            "a": self.tensors[-1 - first % len(self.tensors)],
            "b": self.tensors[-1 - second % len(self.tensors)],
            "c": self.tensors[-1 - third % len(self.tensors)],
            "m": pick[-1 - size % len(pick)],
            "n": pick[-1 - other_size % len(pick)] or "2",
            "filled": empty[third % len(empty)],
            "t": f"t{number}",
            "u": f"u{number}",
            "s": f"s{number}",
            "e": f"e{number}",
        }
        line = template.format(**names)
        if self._runs(line):
            self.lines.append(line)
            self._note_results(template, names)

    def _runs(self, line: str) -> bool:
        code = compile(line, "<line>", "exec")
        for scope in self._scopes:
            before = set(scope)
            try:
                with _every_warning_is_an_error():
                    exec(code, scope)
            except (RuntimeError, IndexError, ValueError, TypeError, UserWarning):
                return False
            for name in set(scope) - before:
                value = scope[name]
                if isinstance(value, torch.Tensor) and value.numel() > _MOST_ELEMENTS:
                    return False
                if isinstance(value, int) and not 0 <= value <= _MOST_ELEMENTS:
                    return False
        return True

    def _note_results(self, template: str, names: dict[str, str]) -> None:
        target = template.partition(" = ")[0]
        for key, found in (
            ("t", self.tensors),
            ("u", self.tensors),
            ("s", self.sizes),
            ("e", self.unfilled),
        ):
            if f"{{{key}}}" in target:
                found.append(names[key])
        if "{filled}" in template:
            self.unfilled.remove(names["filled"])
            self.tensors.append(names["filled"])

    def program(self, returned: Iterable[int]) -> Program:
        """The program that returns the values with these numbers."""
        values = self.tensors + self.sizes
        chosen = [values[-1 - number % len(values)] for number in returned]
        parameters = "x, y, index" if self.two_inputs else "x, index"
        body = [*self.lines, f"return {', '.join(chosen)}{',' if len(chosen) == 1 else ''}"]
        text = f"def program({parameters}):\n" + "".join(f"    {line}\n" for line in body)
        return Program(text, self.two_inputs)


class Program:
    """A function with its source.

    Attributes:
        source: what it was made from.
        function: the function.
    """

    def __init__(self, source: str, two_inputs: bool) -> None:
        self.source = source
        self.two_inputs = two_inputs
        lines = source.splitlines(keepends=True)
        linecache.cache[_FILE] = (len(source), None, lines, _FILE)  # for stack traces
        scope = dict(_SCOPE)
        exec(compile(source, _FILE, "exec"), scope)
        self.function: Callable[..., Any] = scope["program"]

    def make_inputs(self, rows: int, other_rows: int) -> tuple[torch.Tensor, ...]:
        """Arguments of one call."""
        x, y, index = program_inputs(rows, other_rows)
        return (x, y, index) if self.two_inputs else (x, index)

    def runs_at(self, rows: int, other_rows: int) -> bool:
        """Whether eager does; it does at the probed sizes."""
        try:
            with _every_warning_is_an_error():
                self.function(*self.make_inputs(rows, other_rows))
        except (RuntimeError, IndexError, ValueError, UserWarning):
            return False
        return True

    @property
    def dynamic(self) -> dict[str, dict[int, str]]:
        """``dynamic_arg_dims``."""
        return {"x": {0: "n"}, "y": {0: "m"}} if self.two_inputs else {"x": {0: "n"}}

    def __repr__(self) -> str:
        return f"\n{self.source}"
