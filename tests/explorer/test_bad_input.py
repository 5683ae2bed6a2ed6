"""What unusual input gets: eager's result, or one sentence with object, place and fix.

One row per kind of input. A refusal is one line, is an error of this package or the model's own,
and leaves the compiled model usable.
"""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

import explorer
from explorer import (
    CaptureError,
    CompilationConfig,
    ConfigError,
    ExplorerError,
    GradRequired,
    GuardViolation,
    InputError,
    SizeOutOfRange,
    SplittingOpWarning,
    UnknownSplittingOp,
)
from tests.explorer.comparing import Call, assert_same, call, filled, see

HERE = r"test_bad_input\.py:\d+"


class Kind(enum.Enum):
    UP = 1
    DOWN = 2


class Plain:
    """A class that torch's trees do not know."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class Named(torch.nn.Module):
    """Modules with names that need escaping."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("<img src=x>", "a'b\"c", "🙂", "line\nbreak"):
            self.add_module(name, torch.nn.Linear(3, 3))

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x


@torch.library.custom_op("bad_input::without_fake", mutates_args=())
def without_fake(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@torch.library.custom_op("bad_input::writes", mutates_args=("x",))
def writes(x: torch.Tensor) -> None:
    x.add_(1)


@torch.library.custom_op("bad_input::tuple_of", mutates_args=())
def tuple_of(x: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return x * 2, x + len(name)


@tuple_of.register_fake
def _(x: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(x), torch.empty_like(x)


def prints(x):
    print(x)
    return x


def item(x):
    if x.max().item() > 0:
        return x + 1
    return x


def by_sum(x):
    return x + 1 if x.sum() > 0 else x - 1


def by_four(x):
    return x * 2 if x.shape[0] == 4 else x + 1


def in_place(x):
    x.mul_(2)
    return x + 1


def passes_through(x):
    return x, x[1:], None, 3, x.shape[0], x.shape, x + 1


def tensorless(n=3):
    return torch.ones(n) * 2


def of_kind(x, kind, flag, name, scale, nothing):
    x = x + 1 if kind is Kind.UP else x - 1
    return x * scale if flag and name == "a" and nothing is None else x


def raises(x):
    raise LookupError("nothing of that name")


def writes_second(x, y):
    y.add_(x)
    return x + y


def of_plain(record):
    return record.tensor * 2


def mutates_twice(x):
    y = x * 2
    torch.ops.bad_input.writes(y)
    z = y * 3
    torch.ops.bad_input.writes(y)
    return z, y


def takes_tuple(x):
    a, b = torch.ops.bad_input.tuple_of(x, "name")
    c, d = torch.ops.bad_input.tuple_of(a, "other")
    return a + b + c + d


def rows(n: int) -> Call:
    return call(filled(n, 3))


def two_rows(n: int) -> Call:
    return call(filled(n, 3), filled(n, 3))


@dataclass
class Refused:
    """Compiling, or the call, raises ``error`` with words that match."""

    model: Any
    error: type[BaseException] | tuple[type[BaseException], ...]
    message: str
    example: Callable[[int], Call] = rows
    given: Callable[[], Call] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)


@dataclass
class Equal:
    """Compiling works, and calls equal eager at every size."""

    model: Any
    example: Callable[[int], Call] = rows
    sizes: tuple[int, ...] = (0, 1, 2, 3, 16)
    settings: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)


def row(case: Refused | Equal, description: str) -> Any:
    return pytest.param(case, id=description)


def mul(x):
    return x * 2 + 1


def scaled(x, scale):
    return x * scale


def add(x, y):
    return x + y


def at_edges(name: str, message: str, *values: Any) -> list[Any]:
    return [
        row(Refused(mul, ConfigError, message, settings={name: value}), f"{name} = {value!r}")
        for value in values
    ]


REFUSED = [
    row(Refused(prints, CaptureError, rf"print.*|{HERE}"), "graph break: print"),
    row(Refused(item, CaptureError, rf"{HERE}.*if x\.max\(\)\.item\(\) > 0"), "graph break: item"),
    row(Refused(by_sum, CaptureError, rf"{HERE}.*torch\.cond.*torch\.where"), "branch on data"),
    row(
        Refused(by_four, GuardViolation, rf"x_0 = 4: .*x_0 != 4 \(.*{HERE}", given=lambda: rows(4)),
        "branch on a shape",
    ),
    row(
        Refused(
            writes_second,
            InputError,
            "share memory",
            two_rows,
            given=lambda: (lambda x: call(x, x))(filled(4, 3)),
        ),
        "inputs that overlap",
    ),
    row(
        Refused(
            of_plain,
            GuardViolation,
            r"record.*(size|dtype) mismatch",
            lambda n: call(Plain(filled(5, 3))),
            given=lambda: call(Plain(filled(5, 3).double())),
        ),
        "a class without a tree: its tensors are static",
    ),
    row(
        Refused(mul, GuardViolation, "x has dtype", given=lambda: call(filled(5, 3).double())),
        "another dtype",
    ),
    row(
        Refused(
            mul, InputError, "quantised|subclass|layout", lambda n: call(filled(n, 3).to_sparse())
        ),
        "sparse tensor",
    ),
    row(
        Refused(mul, InputError, "meta", lambda n: call(torch.empty(n, 3, device="meta"))),
        "meta tensor",
    ),
    row(
        Refused(
            mul,
            SizeOutOfRange,
            "x_0 = 65 .* 1–8, 9–64",
            given=lambda: rows(65),
            settings={"compile_ranges_endpoints": (8,), "max_size": 64},
        ),
        "size above all ranges",
    ),
    *at_edges("max_size", "max_size", 0, -5, 1.5, 2**63, "64", True),
    *at_edges("compile_sizes", "compile_sizes", (0,), (-1,), (2.0,), (2**63,), (9000,), ("16",)),
    *at_edges("compile_sizes", "compile_sizes must hold ints", ("capture_sizes",), (None,)),
    *at_edges("compile_sizes", "and there are none", ("cudagraph_capture_sizes",)),
    *at_edges("compile_ranges_endpoints", "endpoints", (-1,), (4.0,), (2**63,), ((8, 4),), "8"),
    row(
        Refused(
            mul,
            ConfigError,
            r"asks for dim 3, but x has 2 dims",
            rest={"dynamic_arg_dims": {"x": 3}},
        ),
        "dim out of range",
    ),
    row(
        Refused(
            lambda x, k: x * k,
            ConfigError,
            "dimensions 0 for argument k with type int in dynamic_arg_dims: only tensors and",
            lambda n: call(filled(n, 3), 3),
            rest={"dynamic_arg_dims": {"k": 0}},
        ),
        "dynamic dim on something else than a tensor",
    ),
    row(
        Refused(
            mul,
            ConfigError,
            "'ids', which is no argument; tensors are at x",
            rest={"dynamic_arg_dims": {"ids": 0}},
        ),
        "unknown argument name",
    ),
    row(
        Refused(
            lambda x: x.reshape(5, -1) + 1, CaptureError, rf"x\.size\(0\).*fixed it to 5.*{HERE}"
        ),
        "dynamic dim that the model fixes",
    ),
    row(
        Refused(
            add,
            GuardViolation,
            r"y\.size\(0\) is 8, but must be 7",
            two_rows,
            given=lambda: call(filled(7, 3), filled(8, 3)),
        ),
        "two dims related by the model",
    ),
    row(
        Refused(
            lambda x: x.view(x.shape[0] // 8, 8, 3),
            GuardViolation,
            r"// 8",
            lambda n: rows(16),
            given=lambda: rows(17),
        ),
        "divisible dim",
    ),
    row(
        Refused(
            mul,
            UnknownSplittingOp,
            "aten::mull.*aten::mul",
            settings={"splitting_ops": ("aten::mull",)},
        ),
        "unknown splitting op",
    ),
    row(
        Refused(
            mul,
            UnknownSplittingOp,
            "__import__",
            settings={"splitting_ops": ("__import__('os').abort()",)},
        ),
        "code as a splitting op",
    ),
    row(Refused(raises, LookupError, "^nothing of that name$"), "model that raises"),
    row(Refused(torch.nn.Linear, CaptureError, "Linear is a class"), "class for a model"),
    row(Refused("model", CaptureError, "is a str, which cannot be called"), "text for a model"),
    row(
        Refused(
            mul, GradRequired, "requires grad", given=lambda: call(filled(5, 3).requires_grad_())
        ),
        "input that requires grad",
    ),
    row(
        Refused(lambda x: without_fake(x), CaptureError, "bad_input.*without_fake"),
        "custom op without a fake kernel",
    ),
    row(Refused(mul, InputError, "missing a required argument: 'x'", lambda n: call()), "no input"),
    row(
        Refused(mul, InputError, r"x is a list, but was a tensor", given=lambda: call([1, 2])),
        "list for a tensor",
    ),
    row(
        Refused(
            scaled,
            CaptureError,
            r"numpy array of several items.*torch\.from_numpy",
            lambda n: call(filled(n, 3), np.ones(3, dtype=np.float32)),
        ),
        "array for a number",
    ),
    row(Refused(mul, ConfigError, "lacks name", settings={"backend": 3}), "number for a backend"),
    row(
        Refused(
            mul, ConfigError, "One name|identifier", rest={"dynamic_arg_dims": {"x": {0: "a-b"}}}
        ),
        "size name that is no identifier",
    ),
]


def config_of(case: Refused | Equal) -> CompilationConfig:
    return CompilationConfig(**{"backend": "eager", "max_size": 64, **case.settings})


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case: Refused) -> None:
    def attempt() -> None:
        args, kwargs = case.example(5)
        fast = explorer.compile_model(
            case.model, args, example_kwargs=kwargs, config=config_of(case), **case.rest
        )
        assert case.given is not None, "the compile was expected to fail"
        given_args, given_kwargs = case.given()
        try:
            fast(*given_args, **given_kwargs)
        finally:
            example = case.example(16)  # the compiled model still works
            assert_same(see(case.model, example), see(fast, case.example(16)), layouts=False)

    with pytest.raises(case.error, match=case.message) as caught:
        attempt()
    if isinstance(caught.value, ExplorerError):
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 900


EQUAL = [
    row(Equal(in_place), "input changed in place"),
    row(Equal(passes_through), "output that is an input, a view, a constant, None, a size"),
    row(Equal(tensorless, lambda n: call()), "no tensor argument"),
    row(
        Equal(of_kind, lambda n: call(filled(n, 3), Kind.UP, True, "a", 2.5, None)),
        "None, bool, text, enum and float arguments",
    ),
    row(Equal(lambda x: x @ x.t()), "size zero and one"),
    row(Equal(mul, lambda n: call(filled(3, n).t())), "transposed"),
    row(Equal(mul, lambda n: call(filled(n, 1).expand(n, 3))), "expanded"),
    row(Equal(mul, lambda n: call(filled(n * 2, 6)[::2, ::2])), "not contiguous"),
    row(
        Equal(mul, sizes=(1, 8, 9, 32, 33, 64), settings={"compile_ranges_endpoints": (8, 32)}),
        "sizes at the edges of ranges",
    ),
    row(
        Equal(mul, settings={"compile_ranges_endpoints": (32, 8, 8), "compile_sizes": (16, 4, 16)}),
        "unsorted and duplicate endpoints and sizes",
    ),
    row(Equal(mul, rest={"dynamic_arg_dims": {"x": -2}}), "negative dim"),
    row(
        Equal(
            mul,
            settings={"splitting_ops": ("aten::mul", "Tensor.mul", "operator.mul", "aten::mul")},
        ),
        "one splitting op under several names",
    ),
    row(
        Equal(takes_tuple, settings={"splitting_ops": ("bad_input::tuple_of",)}),
        "splitting op that returns a tuple, called with text",
    ),
    row(
        Equal(mutates_twice, settings={"splitting_ops": ("bad_input::writes",)}),
        "splitting op that writes to its argument",
    ),
    row(Equal(lambda x: (x / 0, torch.log(-x.abs()))), "NaN and infinity"),
    row(Equal(Named()), "names with quotes, markup, line breaks"),
    row(Equal(torch.compile(mul, backend="eager")), "function compiled already"),
    row(
        Equal(lambda x: (x.bool(), x.long(), x.half(), x.to(torch.complex64))),
        "other dtypes inside",
    ),
]


@pytest.mark.parametrize("case", EQUAL)
def test_equal_to_eager(case: Equal) -> None:
    args, kwargs = case.example(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SplittingOpWarning)
        fast = explorer.compile_model(
            case.model, args, example_kwargs=kwargs, config=config_of(case), **case.rest
        )
    for size in case.sizes:
        assert_same(
            see(case.model, case.example(size)), see(fast, case.example(size)), layouts=False
        )
    assert isinstance(fast.compilation.summary(), str)


def test_splitting_op_that_never_occurs_warns_and_lists_which_do() -> None:
    config = CompilationConfig(backend="eager", splitting_ops=("aten::softmax",))
    with pytest.warns(SplittingOpWarning, match=r"aten::softmax.*(mul|add)"):
        fast = explorer.compile_model(mul, (filled(5, 3),), config=config)
    assert len(fast.compilation.pieces) == 1


def test_what_was_sorted_or_dropped_is_said() -> None:
    settings = {"compile_ranges_endpoints": (32, 8, 8, 999), "compile_sizes": (16, 4, 16)}
    config = CompilationConfig(backend="eager", max_size=64, **settings)
    notes = " ".join(explorer.compile_model(mul, (filled(5, 3),), config=config).compilation.notes)
    for part in ("endpoints sorted", "duplicate endpoints", "999", "compile sizes sorted"):
        assert part in notes


def test_refusals_are_errors_of_this_package() -> None:
    for error in (CaptureError, ConfigError, GuardViolation, InputError, SizeOutOfRange):
        assert issubclass(error, ExplorerError)
    assert issubclass(SizeOutOfRange, ValueError) and issubclass(ConfigError, ValueError)
