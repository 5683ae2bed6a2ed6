"""Which functions a capture goes through, and that a change of any of them is named."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explorer
from explorer.artifacts.traced import FunctionRole, TracedFunction
from explorer.stages.capture import CaptureRequest, capture
from explorer.store.source_changes import changed
from explorer.torch_private import capture as dynamo
from explorer.torch_private.op_functions import op_functions
from explorer.torch_private.traced_code import TracedCalls, noticed

pytestmark = pytest.mark.filterwarnings(
    # What torch 2.13 says of models that call a cached function or an autograd function.
    "ignore:Dynamo detected a call to a .functools.lru_cache:UserWarning",
    "ignore:<class .torch.autograd.function.Function.> should not be:DeprecationWarning",
)

HEAD = """
import functools
from enum import Enum
import torch
from torch import nn
import torch.nn.functional as F
"""


def run(*cells: str, module: str = "__main__") -> dict[str, Any]:
    """What cells leave behind."""
    scope: dict[str, Any] = {"__name__": module}
    for number, cell in enumerate((HEAD, *cells)):
        code = compile(textwrap.dedent(cell), f"/tmp/ipykernel_9/{number}.py", "exec", 0, True)
        exec(code, scope)
    return scope


def traced(scope: dict[str, Any], name: str = "model") -> dynamo.RawCapture:
    return dynamo.trace(scope[name], (torch.ones(6, 4),), {})


def names(functions: tuple[TracedFunction, ...], role: FunctionRole) -> list[str]:
    own = [each for each in functions if not each.module.startswith("torch")]
    return [each.qualname for each in own if each.role is role]


def changes(functions: tuple[TracedFunction, ...], scope: dict[str, Any]) -> list[str]:
    """What would be said when a capture is to be used for another model."""
    function, receiver = dynamo.traced_function(scope["model"])
    found = changed(functions, function, receiver=receiver, op=op_functions)
    return [str(each) for each in found]


MODEL = """
G = 2
class Mode(Enum):
    FAST = 1
def by_ten(x):
    return x * 10
def helper(x, k=3, *, z=5):
    return by_ten(x) * k - z
def twice(function):
    @functools.wraps(function)
    def wrapper(*args):
        return 2 * function(*args)
    return wrapper
@twice
def decorated(x):
    return x - 1
def make(c):
    def inner(x):
        return x * c
    return inner
part = functools.partial(make(6.0))
@functools.lru_cache
def cached(n):
    return n + 21
def counted(n):
    for i in range(n):
        yield i + 31
class Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 41
    @staticmethod
    def backward(ctx, g):
        return g
class Part(nn.Module):
    class Inner(nn.Module):
        def forward(self, x):
            return x + 51
    def __init__(self):
        super().__init__()
        self.inner = self.Inner()
        self.act = make(7.0)
        self.linear = nn.Linear(4, 4)
    @property
    def bias(self):
        return 61
    def forward(self, x):
        return self.linear(self.act(self.inner(x))) + self.bias
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = Part()
        self.part.register_forward_hook(lambda module, args, out: out + 71)
    def plus(self, x):
        return x + 81
    def forward(self, x):
        x = self.plus(self.part(helper(decorated(x)))) + G + cached(3)
        for each in counted(2):
            x = x + each
        y = torch.cond(x.sum() > 0, lambda a: a + 91, lambda a: a - 1, (x,))
        return Gate.apply(part(y))
model = Model()
"""


@pytest.fixture(scope="module")
def functions() -> tuple[TracedFunction, ...]:
    return traced(run(MODEL)).functions


def test_every_function_is_recorded_and_the_root_first(
    functions: tuple[TracedFunction, ...],
) -> None:
    assert functions[0].qualname == "Model.forward"
    assert set(names(functions, FunctionRole.TRACED)) == {
        "Model.forward",
        "Model.plus",
        "Model.__init__.<locals>.<lambda>",
        "Part.forward",
        "Part.Inner.forward",
        "Part.bias",
        "Gate.forward",
        "by_ten",
        "cached",
        "counted",
        "decorated",
        "helper",
        "make.<locals>.inner",
        "twice.<locals>.wrapper",
    }
    assert not any(each.unknown for each in functions)


EDITS = {
    "a helper's helper": ("x * 10", "x * 11", "by_ten of __main__: a constant 10 -> 11"),
    "a default": ("k=3", "k=4", "helper of __main__: default of k 3 -> 4"),
    "a keyword default": ("z=5", "z=6", "helper of __main__: default of z 5 -> 6"),
    "a decorator": ("2 * function", "3 * function", "twice.<locals>.wrapper of __main__: a const"),
    "what it decorates": ("x - 1\n", "x - 2\n", "decorated of __main__: a constant 1 -> 2"),
    "inside a partial": (
        "make(6.0)",
        "make(6.5)",
        "make.<locals>.inner of __main__: closure value",
    ),
    "a function of a module": ("make(7.0)", "make(7.5)", "make.<locals>.inner of __main__: clos"),
    "a cached function": ("n + 21", "n + 22", "cached of __main__: a constant 21 -> 22"),
    "a generator": ("i + 31", "i + 32", "counted of __main__: a constant 31 -> 32"),
    "an autograd function": ("x * 41", "x * 42", "Gate.forward of __main__: a constant 41 -> 42"),
    "a class in a class": ("x + 51", "x + 52", "Part.Inner.forward of __main__: a constant 51"),
    "a property": ("return 61", "return 62", "Part.bias of __main__: a constant 61 -> 62"),
    "a hook": (
        "out + 71",
        "out + 72",
        "Model.__init__.<locals>.<lambda> of __main__: a constant 71",
    ),
    "a method": ("x + 81", "x * 81", "Model.plus of __main__: code"),
    "a branch of torch.cond": (
        "a + 91",
        "a + 92",
        "Model.forward of __main__: a constant of <lamb",
    ),
    "a global": ("G = 2", "G = 3", "Model.forward of __main__: global G 2 -> 3"),
    "another function in its place": (
        "self.act = make(7.0)",
        "self.act = by_ten",
        "make.<locals>.inner of __main__: by_ten of __main__ is in its place",
    ),
    "no function in its place": (
        "self.act = make(7.0)",
        "self.act = nn.ReLU()",
        "make.<locals>.inner of __main__: missing: L['self']._modules['part'].act",
    ),
    "a function of torch": (
        "model = Model()",
        "model = Model(); model.part.linear.forward = by_ten",
        "Model.forward of __main__: methods of single modules none -> part.linear.forward",
    ),
}


@pytest.mark.parametrize(("old", "new", "said"), EDITS.values(), ids=EDITS)
def test_edit_is_named(
    functions: tuple[TracedFunction, ...], old: str, new: str, said: str
) -> None:
    assert MODEL.count(old) == 1
    found = changes(functions, run(MODEL.replace(old, new)))
    assert [each[: len(said)] for each in found] == [said]
    edited = traced(run(MODEL.replace(old, new))).functions
    assert [each.digest for each in edited] != [each.digest for each in functions]


def test_the_same_cells_again_and_in_another_order_change_nothing(
    functions: tuple[TracedFunction, ...],
) -> None:
    again = run(MODEL)
    assert changes(functions, again) == []
    before, middle, after = MODEL.partition("def make(c):")
    moved = run("# a comment\n\n" + before, middle + after.replace("G = 2\n", ""))
    assert changes(functions, moved) == []
    assert [each.digest for each in traced(again).functions] == [each.digest for each in functions]


def test_redefined_helper_is_named_in_the_same_process(
    functions: tuple[TracedFunction, ...],
) -> None:
    scope = run(MODEL)
    exec("def by_ten(x):\n    return x * 12\n", scope)
    assert changes(functions, scope) == ["by_ten of __main__: a constant 10 -> 12"]


def test_root_is_found_for_functions_methods_closures_and_partials() -> None:
    scope = run(
        MODEL, "whole = make(3.0)\nbound = model.plus\nclosed = (lambda f: lambda x: f(x))(whole)"
    )
    for name, root in (
        ("whole", "make.<locals>.inner"),
        ("bound", "Model.plus"),
        ("closed", "<lambda>.<locals>.<lambda>"),
    ):
        raw = traced(scope, name)
        assert raw.functions[0].qualname == root
        function, receiver = dynamo.traced_function(scope[name])
        assert changed(raw.functions, function, receiver=receiver) == ()
    raw = traced(scope, "closed")
    other = run(MODEL, "closed = (lambda f: lambda x: f(x))(make(4.0))")["closed"]
    (change,) = changed(raw.functions, other)
    assert str(change) == "make.<locals>.inner of __main__: closure value c 3.0 -> 4.0"


def test_invariants_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
    class Model(nn.Module):
        def forward(self, x):
            return x + 1
    def invariants(x):
        torch._check(x.size(0) <= 64)
    model = Model()
    """

    def capture_of(source: str) -> dynamo.RawCapture:
        scope = run(source, module="in_cells")
        module = types.ModuleType("in_cells")
        vars(module).update(scope)
        monkeypatch.setitem(sys.modules, "in_cells", module)  # Dynamo looks for it there
        given = (torch.ones(6, 4),)
        return dynamo.trace(scope["model"], given, {}, invariants=scope["invariants"])

    raw = capture_of(source)
    assert {"Model.forward", "invariants"} <= set(names(raw.functions, FunctionRole.TRACED))
    again = capture_of(source)
    assert changed(raw.functions, again.function, receiver=again.receiver) == ()
    other = capture_of(source.replace("64", "65"))
    (change,) = changed(raw.functions, other.function, receiver=other.receiver)
    assert str(change) == "invariants of in_cells: a constant 64 -> 65"


def test_forward_of_a_decorated_class_is_the_root() -> None:
    source = """
    from explorer import support_torch_compile
    @support_torch_compile(dynamic_arg_dims={"x": 0})
    class Model(nn.Module):
        def forward(self, x: torch.Tensor):
            return x + 1
    model = Model()
    """
    functions = traced(run(source)).functions
    assert names(functions, FunctionRole.TRACED) == ["Model.forward"]
    assert changes(functions, run(source)) == []
    assert changes(functions, run(source.replace("+ 1", "+ 2"))) == [
        "Model.forward of __main__: a constant 1 -> 2"
    ]


def test_function_that_raised_while_it_was_traced_is_recorded() -> None:
    scope = run("""
    def refuses(x):
        raise ValueError("no")
    def model(x):
        try:
            return refuses(x)
        except ValueError:
            return x + 1
    """)
    assert "refuses" in names(traced(scope).functions, FunctionRole.TRACED)


def test_a_capture_hands_the_functions_over() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    found = capture(CaptureRequest(model, (torch.ones(6, 4),), {}), explorer.CompilationConfig())
    assert isinstance(found.raw, dynamo.RawCapture)
    assert found.functions == found.raw.functions
    assert found.functions[0].qualname == "Sequential.forward"
    empty = capture(CaptureRequest(lambda x: 1, (torch.ones(2),), {}), explorer.CompilationConfig())
    assert len(empty.functions) == 1


def test_torch_is_left_as_it_was() -> None:
    from torch._dynamo.symbolic_convert import InliningInstructionTranslator as Translator

    before = Translator.__init__
    with noticed(TracedCalls()):
        assert Translator.__init__ is not before
    assert Translator.__init__ is before


def inner_function(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def test_traces_of_other_threads_are_not_noticed() -> None:
    def compile_and_run() -> torch.Tensor:
        torch.compiler.reset()  # else what was compiled before is called
        compiled = torch.compile(lambda x: inner_function(x), backend="eager", fullgraph=True)
        return compiled(torch.ones(2))

    calls = TracedCalls()
    with noticed(calls), ThreadPoolExecutor(1) as pool:
        pool.submit(compile_and_run).result()
    assert calls.calls == []
    with noticed(calls):
        compile_and_run()
    assert [code.co_name for code, *_ in calls.calls] == ["inner_function"]


def test_member_of_an_enum_and_class_that_decided_a_branch_count() -> None:
    source = """
    class Mode(Enum):
        FAST = 1
        SLOW = 2
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.mode, self.kind = Mode.FAST, Model
        def forward(self, x):
            x = x + 1 if self.mode is Mode.FAST else x
            return x + 1 if self.kind is Model else x
    model = Model()
    """
    functions = traced(run(source)).functions
    assert changes(functions, run(source)) == []
    assert changes(functions, run(source.replace("Mode.FAST, Model", "Mode.SLOW, Model"))) == [
        "Model.forward of __main__: value at L['self'].mode Mode.FAST = 1 -> Mode.SLOW = 2"
    ]
    assert changes(functions, run(source.replace("Mode.FAST, Model", "Mode.FAST, Mode"))) == [
        "Model.forward of __main__: value at L['self'].kind class Model -> class Mode"
    ]


def test_what_a_dataclass_writes_is_found_by_name() -> None:
    source = """
    from dataclasses import dataclass
    @dataclass
    class Output:
        hidden: torch.Tensor
        scale: int = 71
    def model(x):
        out = Output(x)
        return out.hidden * out.scale
    """
    functions = traced(run(source)).functions
    assert names(functions, FunctionRole.TRACED) == ["model", "Output.__init__"]
    assert not any(each.unknown for each in functions)
    assert changes(functions, run(source)) == []
    assert changes(functions, run(source.replace("71", "72"))) == [
        "Output.__init__ of __main__: default of scale 71 -> 72"
    ]


LOCAL = """
def make(c):
    def counted(n):
        for i in range(n):
            yield i + c
    class Pair:
        def __getitem__(self, number):
            return number + 11
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()
        def forward(self, x):
            for each in counted(2):
                x = x + each + self.pair[1]
            return x
    return Model()
model = make(5)
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("i + c", "i * c", "make.<locals>.counted of __main__: code"),
        ("make(5)", "make(6)", "make.<locals>.counted of __main__: closure value c 5 -> 6"),
        ("+ 11", "+ 12", "make.<locals>.Pair.__getitem__ of __main__: a constant 11 -> 12"),
    ],
)
def test_functions_that_no_name_leads_to_are_found_through_what_holds_them(
    old: str, new: str, said: str
) -> None:
    functions = traced(run(LOCAL)).functions
    assert not any(each.unknown for each in functions)
    assert changes(functions, run(LOCAL)) == []
    assert changes(functions, run(LOCAL.replace(old, new))) == [said]


# --------------------------------------------------------------------------------------- custom ops


OWN_OP = """
from explorer import direct_register_custom_op
def body(x: torch.Tensor) -> torch.Tensor:
    return of_body(x)
def of_body(x):
    return x + 11
def fake(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty((x.shape[0] * 1, 4))
op = direct_register_custom_op("traced_code_NAME", body, fake_impl=fake)
def model(x):
    return op(x) * 2
"""

TORCH_OP = """
@torch.library.custom_op("traced_code::NAME", mutates_args=())
def op(x: torch.Tensor) -> torch.Tensor:
    return of_body(x)
def of_body(x):
    return x + 11
@op.register_fake
def fake(x):
    return x.new_empty((x.shape[0] * 1, 4))
def model(x):
    return op(x) * 2
"""

LIBRARY_OP = """
library = torch.library.Library("traced_code_NAME", "FRAGMENT")
library.define("op(Tensor x) -> Tensor")
library.impl("op", lambda x: x + 11, "CPU")
@torch.library.register_fake("traced_code_NAME::op", lib=library)
def fake(x):
    return x.new_empty((x.shape[0] * 1, 4))
def model(x):
    return torch.ops.traced_code_NAME.op(x) * 2
"""


@pytest.mark.parametrize(
    ("source", "old", "new", "said"),
    [
        (OWN_OP, "x + 11", "x + 12", "body of __main__: global of_body: what of_body does"),
        (OWN_OP, "* 1, 4", "* 2, 4", "fake of __main__: a constant 1 -> 2"),
        (TORCH_OP, "x + 11", "x + 12", "op of __main__: global of_body: what of_body does"),
        (TORCH_OP, "* 1, 4", "* 2, 4", "fake of __main__: a constant 1 -> 2"),
        (LIBRARY_OP, "* 1, 4", "* 2, 4", "fake of __main__: a constant 1 -> 2"),
    ],
    ids=["own op", "own fake", "torch's op", "torch's fake", "fake of a library"],
)
def test_edit_of_a_custom_op_is_named(source: str, old: str, new: str, said: str) -> None:
    number = len(old) * len(source)
    source = source.replace("NAME", f"op{number}")
    scope = run(source)
    functions = traced(scope).functions
    assert not any(each.unknown for each in functions)
    assert changes(functions, scope) == []
    again = run_again(source, scope)
    assert changes(functions, again) == []
    assert changes(functions, run_again(source.replace(old, new), again)) == [said]


def run_again(source: str, scope: dict[str, Any]) -> dict[str, Any]:
    """As in another process, where an op of a library can be made again."""
    if "library" in scope:
        scope["library"]._destroy()
    return run(source)


def test_op_in_a_branch_counts() -> None:
    source = OWN_OP.replace("NAME", "branch").replace(
        "return op(x) * 2", "return torch.cond(x.sum() > 0, lambda a: op(a), lambda a: a + 1, (x,))"
    )
    functions = traced(run(source)).functions
    assert names(functions, FunctionRole.FAKE) == ["fake"]
    assert names(functions, FunctionRole.OP) == ["body"]


def test_custom_op_without_its_function_is_not_known() -> None:
    scope = run("""
    library = torch.library.Library("traced_code_hidden", "FRAGMENT")
    library.define("op(Tensor x) -> Tensor")
    library.impl("op", lambda x: x + 11, "CompositeExplicitAutograd")
    def model(x):
        return torch.ops.traced_code_hidden.op(x)
    """)
    functions = traced(scope).functions
    (found,) = [each for each in functions if each.role is FunctionRole.FAKE]
    assert found.unknown == ("the fake of traced_code_hidden::op",)
    assert changes(functions, scope)[0].endswith(
        "not known whether the fake of traced_code_hidden::op changed"
    )


def test_schema_of_an_op_counts() -> None:
    scope = run(OWN_OP.replace("NAME", "schema"))
    functions = traced(scope).functions
    function, receiver = dynamo.traced_function(scope["model"])

    def other(name: str) -> dict[str, Any]:
        return {**op_functions(name), "schema": "other"}

    found = changed(functions, function, receiver=receiver, op=other)
    assert found
    assert all(each.what.endswith("-> other") for each in found)


def test_op_of_torch_has_no_functions() -> None:
    assert op_functions("aten::relu") == {}
    assert op_functions("aten::there_is_none") == {}


def test_function_that_is_put_into_the_graph_as_it_is_counts() -> None:
    source = """
    scale = 2
    class Settings:
        size = 3
    settings = Settings()
    @torch.compiler.allow_in_graph
    def whole(x):
        return x * 51
    def model(x):
        return whole(x) + 1
    """
    functions = traced(run(source)).functions
    assert names(functions, FunctionRole.FAKE) == ["whole"]
    assert "whole of __main__: a constant 51 -> 52" in changes(
        functions, run(source.replace("51", "52"))
    )


# ---------------------------------------------------------------------------------- other processes

IN_A_CHILD = """
import sys, torch
from tests.explorer.torch_private.test_traced_code import MODEL, run, traced
for each in traced(run(MODEL.replace(*sys.argv[1:]))).functions:
    print(each.qualname, each.digest, each.places)
"""


def test_digests_and_places_are_the_same_in_another_process(
    functions: tuple[TracedFunction, ...],
) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_CHILD, "G = 2", "G = 2\n# a comment"],
        cwd=Path(__file__).resolve().parents[3],
        env={"PYTHONHASHSEED": "4711", "PYTHONPATH": ".", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [f"{each.qualname} {each.digest} {each.places}" for each in functions]
    assert ran.stdout.splitlines() == here
