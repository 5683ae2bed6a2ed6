"""Whole compilations on disk: nothing is traced for what fits, and nothing stale is ever served."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explorer
from explorer import (
    ArtifactOrigin,
    Cancelled,
    CompilationConfig,
    GuardPolicy,
    GuardViolation,
    LayerName,
    Session,
    StoreConfig,
    counters,
)
from explorer.progress import CancelToken
from tests.explorer.comparing import filled
from tests.explorer.keeping import GraphKeeping

NOTHING_DONE = {"captured": 0, "normalised": 0, "split": 0, "deduped": 0, "compiled": 0}


def session_of(model: Any, *example: Any, config: Any = None, **rest: Any) -> Session:
    changes = config or {}
    settings = CompilationConfig(backend=GraphKeeping(), max_size=64).replace(**changes)
    return Session(model, example, config=settings, **rest)


def loaded(model: Any, *example: Any, **rest: Any) -> Session:
    """A session that has to find everything stored."""
    session = session_of(model, *example, **rest)
    with counters.expect(compilations_loaded=1, **NOTHING_DONE):
        session.update()
    assert session.compilation.origin is ArtifactOrigin.STORE
    assert session.compilation.timings["load"] > 0
    return session


def compiled(model: Any, *example: Any, **rest: Any) -> Session:
    """A session that may not take a stored compilation."""
    session = session_of(model, *example, **rest)
    with counters.expect(compilations_loaded=0, captured=1):
        session.update()
    assert "load" not in session.compilation.timings
    return session


class Net(nn.Module):
    """Attributes, a buffer, a submodule, a helper: what a forward reads."""

    def __init__(self, scale: Any = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.scale = scale
        self.settings = {"shift": 1.0}
        self.register_buffer("offset", torch.ones(4))

    def forward(self, x: torch.Tensor, flag: bool = True) -> dict[str, Any]:
        y = self.linear(x) * self.scale + self.settings["shift"] + self.offset
        return {"y": y.relu() if flag else y, "rows": x.shape[0]}


def check(session: Session, model: Any, *example: Any, **kwargs: Any) -> None:
    """The session's results are eager's, on the long and on the short way."""
    for _ in range(3):
        with torch.no_grad():
            torch.testing.assert_close(session.run(*example, **kwargs), model(*example, **kwargs))


# ----------------------------------------------------------------------------------- what is loaded


def test_nothing_is_traced_the_next_time() -> None:
    torch.manual_seed(0)
    first = compiled(Net(), filled(6, 4))
    assert first.compilation.counts["compilations_saved"] == 1
    model = Net()  # of other weights
    session = loaded(model, filled(6, 4))
    for rows in (6, 2, 64, 1):
        check(session, model, filled(rows, 4))
    with torch.no_grad():
        model.linear.weight.mul_(3)
    check(session, model, filled(9, 4))
    model.linear.weight = nn.Parameter(torch.ones(4, 4))
    check(session, model, filled(9, 4))


def test_what_people_look_at_is_the_same() -> None:
    config = {"splitting_ops": ("Tensor.relu",), "compile_ranges_endpoints": (8,)}
    a = compiled(Net(), filled(6, 4), config=config).compilation
    b = loaded(Net(), filled(6, 4), config=config).compilation
    assert b.stitching_source == a.stitching_source
    assert b.pieces_frame().equals(a.pieces_frame())
    assert b.guards_frame().equals(a.guards_frame())
    assert [piece.readable() for piece in b.pieces] == [piece.readable() for piece in a.pieces]
    assert b.captured.branch_sites == a.captured.branch_sites
    assert [str(each) for each in b.captured.functions] == [str(e) for e in a.captured.functions]
    assert b.audit().report() == a.audit().report()
    assert b.notes == a.notes
    assert b.explain_difference(0, 1) == a.explain_difference(0, 1) != ()
    assert "artifacts" in b.summary()
    assert a._repr_html_().count("<table") == b._repr_html_().count("<table") > 0


def test_editing_after_a_load_captures_nothing() -> None:
    compiled(Net(), filled(6, 4))
    model = Net()
    session = loaded(model, filled(6, 4))
    with counters.expect(captured=0, split=1, compilations_loaded=0, compilations_saved=1):
        session.update(splitting_ops=("Tensor.relu",))
    assert len(session.compilation.pieces) == 2
    check(session, model, filled(5, 4))
    difference = session.diff()
    assert difference.config
    edited = loaded(Net(), filled(6, 4), config={"splitting_ops": ("Tensor.relu",)})
    with pytest.raises(GuardViolation, match="flag"):
        edited.run(filled(6, 4), False)


def test_a_plan_takes_what_is_stored() -> None:
    compiled(Net(), filled(6, 4))
    session = session_of(Net(), filled(6, 4))
    with counters.expect(captured=0, compiled=0):
        assert len(session.plan().to_reuse) == 1
        assert len(session.plan(splitting_ops=("Tensor.relu",)).unique.pieces) == 2
        assert all(each.is_hit for each in session.stored())
        session.update()
    check(session, session.request.model, filled(5, 4))


def test_a_load_tells_its_progress_and_can_be_cancelled() -> None:
    compiled(Net(), filled(6, 4))
    told: list[Any] = []
    session = session_of(Net(), filled(6, 4))
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        session.update(cancel=cancel)
    assert session.history == ()
    loaded_session = session_of(Net(), filled(6, 4))
    loaded_session.update(progress=told.append)
    assert [str(each.what) for each in told] == ["loaded from the store"]


def test_every_call_is_recorded_as_before() -> None:
    compiled(Net(), filled(6, 4))
    session = loaded(Net(), filled(6, 4))
    with session.model().record() as record:
        session.run(filled(5, 4))
    assert record.sizes == {"x_0": 5}
    assert len(record.piece_microseconds) == len(session.compilation.pieces)


def helped(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, x * 2]).sum(dim=0)


def with_keywords(
    x: torch.Tensor, *rest: torch.Tensor, scale: float = 2.0, **more: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    return (x * scale, *(each + 1 for each in rest), *more.values())


class Counting(nn.Module):
    """It writes to a buffer and to an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return x * self.seen


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) + torch.tensor([1.0, 2.0, 3.0, 4.0])


class Listed(nn.Module):
    """Layers in a list, settings in objects and lists, a type that decides."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.options = types.SimpleNamespace(factors=[1.0, 2.0, 3.0], kind=torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, factor in zip(self.layers, self.options.factors, strict=True):
            x = layer(x) * factor if isinstance(layer, nn.Linear) else x
        return x.to(self.options.kind)


@pytest.mark.parametrize(
    ("make", "args", "kwargs"),
    [
        (lambda: helped, (filled(5, 3),), {}),
        (lambda: with_keywords, (filled(5, 3), filled(2, 3)), {"scale": 3.0, "z": filled(4, 2)}),
        (Counting, (filled(5, 3),), {}),
        (Tied, (filled(5, 4),), {}),
        (Listed, (filled(5, 4),), {}),
    ],
    ids=["function", "keywords", "writes", "tied", "listed"],
)
def test_models_of_all_kinds(make: Callable[[], Any], args: Any, kwargs: Any) -> None:
    torch.manual_seed(0)
    compiled(make(), *args, example_kwargs=kwargs)
    torch.manual_seed(1)
    model = make()
    other = make()
    if isinstance(model, nn.Module):
        other.load_state_dict(model.state_dict())
    session = loaded(model, *args, example_kwargs=kwargs)
    for _ in range(3):
        with torch.no_grad():
            expected = other(*args, **kwargs)
        torch.testing.assert_close(session.run(*args, **kwargs), expected)
    if isinstance(model, nn.Module):
        torch.testing.assert_close(dict(model.named_buffers()), dict(other.named_buffers()))


class Named(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = LayerName(name)
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.explorer.named_scale(x, self.name)


def named_scale(x: torch.Tensor, name: LayerName) -> torch.Tensor:
    return x * name.resolve().factor


def test_names_of_layers_lead_to_the_layers_of_this_model() -> None:
    explorer.direct_register_custom_op(
        "named_scale", named_scale, fake_impl=lambda x, name: torch.empty_like(x)
    )

    def make() -> nn.Module:
        model = nn.Sequential(Named("a"), Named("b"))
        for module in model.children():
            assert isinstance(module, Named)
            module.name.register(module)
        return model

    config = {"splitting_ops": ("explorer::named_scale",)}
    compiled(make(), filled(5, 4), config=config)
    model = make()
    with torch.no_grad():
        next(model.parameters()).fill_(3.0)
    session = loaded(model, filled(5, 4), config=config)
    check(session, model, filled(5, 4))


def test_hooks_are_said_to_be_why_nothing_is_stored_whole() -> None:
    model = Net().eval()
    model.register_forward_hook(lambda module, args, output: None)
    session = session_of(model, filled(6, 4))
    session.update()
    answer = session.stored_whole()
    assert (answer.is_hit, answer.reason) == (False, "its modules have hooks")


def test_a_call_of_another_flag_is_refused_as_before() -> None:
    first = compiled(Net(), filled(6, 4))
    second = loaded(Net(), filled(6, 4))
    for session in (first, second):
        session.run(filled(6, 4))
    texts = []
    for session in (first, second):
        with pytest.raises(GuardViolation) as raised:
            session.run(filled(6, 4), False)
        texts.append(str(raised.value))
    assert texts[0] == texts[1]
    assert "flag" in texts[0]


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] != 4 else x + 1


def test_a_size_for_which_the_graph_is_not_right_is_refused_as_before() -> None:
    sessions = compiled(Branching(), filled(6, 4)), loaded(Branching(), filled(6, 4))
    texts = []
    for session in sessions:
        with pytest.raises(GuardViolation) as raised:
            session.run(filled(4, 4))
        texts.append(str(raised.value))
        check(session, Branching(), filled(5, 4))
    assert texts[0] == texts[1]


# ------------------------------------------------------------------------------ what is not loaded

HELPER = """
import torch
SCALE = 2
OPTIONS = {"shift": 1}

def act(x, power=1):
    return torch.sin(x) * SCALE ** power + OPTIONS["shift"]

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x):
        return act(self.linear(x)) + 1

def closing(scale):
    def model(x):
        return act(x) * scale
    return model
"""


@pytest.fixture
def module() -> Iterator[Callable[[str], types.ModuleType]]:
    """Makes a module of one name again and again, as a restarted kernel would."""
    name = "module_of_the_test"

    def make(text: str = HELPER) -> types.ModuleType:
        made = types.ModuleType(name)
        sys.modules[name] = made
        exec(compile(text, f"<{name}>", "exec"), made.__dict__)
        return made

    yield make
    sys.modules.pop(name, None)


def seeded(model: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return model()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("torch.sin", "torch.cos", "act"),
        ("SCALE = 2", "SCALE = 5", "SCALE"),
        ('{"shift": 1}', '{"shift": 3}', "shift"),
        ("power=1", "power=2", "power"),
        ("+ 1\n\ndef", "+ 2\n\ndef", "forward"),
        ("def act", "def act2(x): return x\ndef act", ""),
    ],
    ids=["helper", "global", "item", "default", "forward", "more"],
)
def test_an_edit_is_noticed_and_named(
    module: Callable[..., types.ModuleType],
    old: str,
    new: str,
    named: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert old in HELPER
    compiled(seeded(module().Net), filled(6, 4))
    edited = seeded(module(HELPER.replace(old, new, 1)).Net)
    make = compiled if named else loaded
    with caplog.at_level(logging.WARNING, logger="explorer"):
        session = make(edited, filled(6, 4))
    again = [each.getMessage() for each in caplog.records if " again: " in each.getMessage()]
    assert len(again) == bool(named)
    assert named in "".join(again)
    check(session, edited, filled(5, 4))
    back = seeded(module().Net)  # the first one is still there
    check(loaded(back, filled(6, 4)), back, filled(5, 4))


def test_a_look_does_not_claim_to_compile(
    module: Callable[..., types.ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    compiled(seeded(module().Net), filled(6, 4))
    edited = seeded(module(HELPER.replace("SCALE = 2", "SCALE = 5")).Net)
    with caplog.at_level(logging.WARNING, logger="explorer"), counters.expect(compiled=0):
        session_of(edited, filled(6, 4)).stored()
    (message,) = [each for each in caplog.messages if " again: " in each]
    assert message.startswith("would compile Net again: ")


def test_the_nearest_one_says_what_changed(
    module: Callable[..., types.ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    compiled(seeded(module().Net), filled(6, 4))
    other = HELPER.replace("SCALE = 2", "SCALE = 3").replace("+ 1\n\ndef", "+ 2\n\ndef")
    other = other.replace("torch.sin", "torch.tan").replace("self.linear(x)", "self.linear(x * 2)")
    compiled(seeded(module(other).Net), filled(6, 4))
    with caplog.at_level(logging.WARNING, logger="explorer"):
        compiled(seeded(module(HELPER.replace("SCALE = 2", "SCALE = 5")).Net), filled(6, 4))
    assert caplog.messages[-1].endswith("act of module_of_the_test: global SCALE 2 -> 5")


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + HELPER.replace("\n\n", "\n\n\n# another\n\n"),
        HELPER.replace("def act", "def unread():\n    return 0\n\n\ndef act").replace(
            "    def forward(self, x):\n", '    def forward(self, x):\n        """Text."""\n'
        ),
    ],
    ids=["comments", "other code and a docstring"],
)
def test_what_does_nothing_changes_nothing(
    module: Callable[..., types.ModuleType], text: str
) -> None:
    compiled(seeded(module().Net), filled(6, 4))
    model = seeded(module(text).Net)
    check(loaded(model, filled(6, 4)), model, filled(5, 4))


CALL = "    def __call__(self, x):\n        return super().__call__(x) * 9\n"
MANY_WAYS = """
import dataclasses, enum, functools, os
import torch

class Kind(enum.Enum):
    FIRST = 1
    SECOND = 2

@dataclasses.dataclass
class Settings:
    shift: float = 1.0
    kind: Kind = Kind.FIRST

class Marker:
    pass

class Inner(torch.nn.Linear):
    pass

class Base(torch.nn.Module):
    factor = 2.0
    def scaled(self, x):
        return x * self.factor
    def __init__(self):
        super().__init__()
        self.linear = Inner(4, 4)
        self.settings = Settings()
        self.acts = {"first": lambda x: x.relu(), "second": torch.tanh}
        self.part = functools.partial(torch.clamp, max=1.0)
        self.table = torch.arange(4.0)
        self.steps = [1.0, 2.0]
        self.mark, self.other = Marker(), Marker()
        self.ups = [1.0]
        self.downs = self.ups
    def tail(self, x):
        return x + 1

class Bias(Base, Marker):
    @property
    def bias(self):
        return 0.5
    @staticmethod
    def turned(x):
        return x.flip(0)
    def tail(self, x):
        return super().tail(x) * 2
    def forward(self, x):
        x = self.linear(x)
        if self.settings.kind is Kind.FIRST:
            x = self.scaled(x)
        for step in self.steps:
            x = x * step
        x = x + self.ups[0] - self.downs[0]
        x = self.acts["first"](x) + self.part(x) + self.settings.shift + self.bias
        x = self.turned(x) + self.table + TABLE
        if isinstance(self, Marker):
            x = x * 3
        if hasattr(self, "extra"):
            x = x - 10
        if self.mark is self.other:
            x = x / 7
        if os.environ.get("MODE_OF_THE_TEST") == "loud":
            x = x * 100
        return self.tail(x) * NUMBERS["a"] + Bias.factor

TABLE = torch.tensor([1.0, 2.0, 3.0, 4.0])
NUMBERS = {"a": 2}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("factor = 2.0", "factor = 4.0"),
        ("return x * self.factor", "return x / self.factor"),
        ("shift: float = 1.0", "shift: float = 3.0"),
        ("kind: Kind = Kind.FIRST", "kind: Kind = Kind.SECOND"),
        ("x.relu()", "x.sigmoid()"),
        ("max=1.0", "max=0.1"),
        ("torch.arange(4.0)", "torch.arange(4.0) + 5"),
        ("torch.arange(4.0)", "torch.arange(4.0).double()"),
        ("[1.0, 2.0]", "[1.0, 5.0]"),
        ("[1.0, 2.0]", "[1.0, 2.0, 3.0]"),
        ("Marker(), Marker()", "(Marker(),) * 2"),
        ("self.downs = self.ups", "self.downs = [5.0]"),
        ("return x + 1", "return x + 11"),
        ("class Bias(Base, Marker)", "class Bias(Base)"),
        ("return 0.5", "return 1.5"),
        ("x.flip(0)", "x.flip(1)"),
        ("    @property", "    def scaled(self, x):\n        return x * 77\n    @property"),
        ("class Bias(Base, Marker):", "class Bias(Base, Marker):\n" + CALL),
        ("class Inner(torch.nn.Linear):", "class Inner(torch.nn.Linear):\n" + CALL),
        ("return super().tail(x) * 2", "return super().tail(x) * 5"),
        ("    factor = 2.0", "    factor = 2.0\n    extra = True"),
        ("[1.0, 2.0, 3.0, 4.0]", "[9.0, 2.0, 3.0, 4.0]"),
        ('{"a": 2}', '{"a": 3}'),
        ("FIRST = 1", "FIRST = 7"),
        ("", ""),
    ],
)
def test_whatever_is_edited_nothing_stale_is_served(
    module: Callable[..., types.ModuleType], old: str, new: str
) -> None:
    assert old in MANY_WAYS
    compiled(seeded(module(MANY_WAYS).Bias), filled(6, 4))
    model = seeded(module(MANY_WAYS.replace(old, new, 1)).Bias)
    session = session_of(model, filled(6, 4))
    check(session, model, filled(5, 4))


def test_the_environment_that_a_model_reads_counts(
    module: Callable[..., types.ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(seeded(module(MANY_WAYS).Bias), filled(6, 4))
    loaded(seeded(module(MANY_WAYS).Bias), filled(6, 4))
    monkeypatch.setenv("MODE_OF_THE_TEST", "loud")
    model = seeded(module(MANY_WAYS).Bias)
    check(compiled(model, filled(6, 4)), model, filled(5, 4))


def test_a_model_in_a_file_of_another_name_is_the_same(
    module: Callable[..., types.ModuleType],
) -> None:
    compiled(seeded(module().Net), filled(6, 4))
    moved = types.ModuleType("another_name")
    exec(compile(HELPER, "<another_name>", "exec"), moved.__dict__)
    model = seeded(moved.Net)
    check(loaded(model, filled(6, 4)), model, filled(5, 4))


class Unreadable:
    """An argument that shows nothing of itself."""

    def __init__(self, factor: int) -> None:
        object.__setattr__(self, "factor", factor)

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            raise RuntimeError("not for others")
        return object.__getattribute__(self, name)


def test_a_model_that_cannot_be_told_is_compiled_all_the_same() -> None:
    def model(x: torch.Tensor, given: Any = None) -> torch.Tensor:
        return x * 2

    for _ in range(2):
        session = session_of(model, filled(6, 4), Unreadable(3))
        session.update()
        assert not session.compilation.was_loaded_whole
        check(session, model, filled(5, 4), Unreadable(3))


def test_a_closure_value_counts(module: Callable[..., types.ModuleType]) -> None:
    compiled(module().closing(3), filled(6, 4))
    loaded(module().closing(3), filled(6, 4))
    other = module().closing(7)
    check(compiled(other, filled(6, 4)), other, filled(6, 4))


def changed_scale(model: Net) -> None:
    model.scale = 3


def changed_item(model: Net) -> None:
    model.settings["shift"] = 4.0


def changed_mode(model: Net) -> None:
    model.eval()


def changed_dtype(model: Net) -> None:
    model.double()


def changed_module(model: Net) -> None:
    model.linear = nn.Sequential(nn.Linear(4, 4))  # type: ignore[assignment]


def own_forward(model: Net) -> None:
    model.linear.forward = lambda x: x * 2  # type: ignore[method-assign]


def frozen(model: Net) -> None:
    model.linear.weight.requires_grad_(False)


def double_result(module: nn.Module, args: Any, result: torch.Tensor) -> torch.Tensor:
    return result * 2


def hooked(model: Net) -> None:
    model.linear.register_forward_hook(double_result)


@pytest.mark.parametrize(
    "change",
    [
        changed_scale,
        changed_item,
        changed_mode,
        changed_dtype,
        changed_module,
        own_forward,
        frozen,
        hooked,
    ],
)
def test_another_state_of_the_model_is_another_compilation(change: Callable[[Net], None]) -> None:
    compiled(Net(), filled(6, 4))
    model = Net()
    change(model)
    x = filled(6, 4).to(model.linear.weight.dtype) if change is changed_dtype else filled(6, 4)
    check(compiled(model, x), model, x)


def test_what_changes_after_the_load_is_noticed() -> None:
    compiled(Net(), filled(6, 4))
    model = Net()
    session = loaded(model, filled(6, 4))
    check(session, model, filled(6, 4))
    model.scale = 3
    with pytest.raises(GuardViolation, match=r"self\.scale == 2"):
        session.run(filled(6, 4))
    model.scale = 2
    check(session, model, filled(6, 4))
    model.linear.weight.requires_grad_(False)
    with counters.expect(captured=1):
        check(session, model, filled(6, 4))


def test_another_example_is_another_compilation() -> None:
    compiled(Net(), filled(6, 4))
    for example in ((filled(7, 4),), (filled(6, 4), False), (filled(4, 6).t(),)):
        compiled(Net(), *example)
    loaded(Net(), filled(6, 4), False)


@pytest.mark.parametrize(
    "changes",
    [
        {"splitting_ops": ("Tensor.relu",)},
        {"compile_sizes": (4,)},
        {"compile_ranges_endpoints": (4,)},
        {"max_size": 32},
        {"guard_policy": GuardPolicy.DROP},
        {"out_of_range": "eager"},
        {"dedupe": False},
    ],
)
def test_every_setting_that_a_compilation_shows_counts(changes: dict[str, Any]) -> None:
    compiled(Net(), filled(6, 4))
    compiled(Net(), filled(6, 4), config=changes)
    loaded(Net(), filled(6, 4), config=changes)


def test_every_field_of_the_configuration_is_a_factor_or_has_a_reason() -> None:
    import dataclasses

    from explorer.compilation_key import NOT_OF_A_COMPILATION
    from explorer.store.key import config_factors

    factors = config_factors(CompilationConfig(), NOT_OF_A_COMPILATION)
    for field in dataclasses.fields(CompilationConfig):
        is_factor = any(name.startswith(f"config.{field.name}") for name in factors)
        assert is_factor != (field.name in NOT_OF_A_COMPILATION), field.name


def test_parts_of_a_model_are_stored_apart() -> None:
    from explorer import set_model_tag, support_torch_compile, use_config

    @support_torch_compile(dynamic_arg_dims={"x": 0})
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    def run(tag: str) -> None:
        with use_config(CompilationConfig(backend=GraphKeeping())), set_model_tag(tag):
            part = Part()
        with torch.no_grad():
            part(filled(5, 4))

    with counters.expect(captured=1, compiled=1, compilations_saved=1):
        run("head")
    with counters.expect(captured=1, compiled=0, loaded=1, compilations_saved=1):
        run("tail")
    with counters.expect(captured=0, compilations_loaded=2):
        run("head")
        run("tail")


def answer_of_today() -> int:
    return 5


def test_a_result_that_became_a_constant_is_not_stored() -> None:
    asked = torch._dynamo.assume_constant_result(answer_of_today)

    def model(x: torch.Tensor) -> torch.Tensor:
        return x * asked()

    first = compiled(model, filled(6, 4))
    assert "compilations_saved" not in first.compilation.counts
    answer = session_of(model, filled(6, 4)).stored_whole()
    assert not answer.is_hit
    assert answer.reason.startswith(
        "it was compiled but not stored: nothing is known of the result of answer_of_today"
    )
    compiled(model, filled(6, 4))


def test_a_monkeypatched_function_of_torch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(x)

    compiled(model, filled(6, 4))
    monkeypatch.setattr(torch.nn.functional, "silu", lambda x: x * 100)
    check(compiled(model, filled(6, 4)), model, filled(6, 4))


def test_a_lost_piece_is_a_miss_of_the_whole(store_of_the_test: Path) -> None:
    from explorer.store.artifact_store import open_store

    compiled(Net(), filled(6, 4))
    store = open_store(None)
    (piece,) = store.find("piece", {})
    entry = store.get("piece", piece.factors)
    assert entry is not None
    store.reject(entry, "the test wants it gone")
    model = Net()
    check(compiled(model, filled(6, 4)), model, filled(6, 4))
    loaded(Net(), filled(6, 4))


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 2).relu() + 1


@pytest.mark.parametrize("lost", ["A", "B"])
def test_what_is_read_of_a_whole_that_lost_a_piece_counts_once(lost: str) -> None:
    from explorer.store.artifact_store import open_store

    config = {"splitting_ops": ("Tensor.relu",)}
    first = compiled(Twice(), filled(6, 4), config=config)
    assert [each.unique_id for each in first.compilation.artifacts] == ["A", "B"]
    store = open_store(None)
    (piece,) = (each for each in store.find("piece", {}) if each.label.split()[0] == lost)
    entry = store.get("piece", piece.factors)
    assert entry is not None
    store.reject(entry, "the test wants it gone")
    with counters.expect(loaded=1, compiled=1, saved=1, compilations_loaded=0):
        session_of(Twice(), filled(6, 4), config=config).update()
    with counters.expect(loaded=2):
        loaded(Twice(), filled(6, 4), config=config)


def test_nothing_is_looked_up_where_the_store_is_off_or_the_backend_keeps_nothing() -> None:
    compiled(Net(), filled(6, 4))
    compiled(Net(), filled(6, 4), config={"store": StoreConfig(enabled=False)})
    compiled(Net(), filled(6, 4), config={"backend": "eager"})


def test_a_dump_is_written_of_what_was_loaded(tmp_path: Path) -> None:
    compiled(Net(), filled(6, 4), config={"debug_dump_path": tmp_path / "first"})
    loaded(Net(), filled(6, 4), config={"debug_dump_path": tmp_path / "second"})
    names = [
        sorted(str(path.relative_to(tmp_path / each)) for path in (tmp_path / each).rglob("*.py"))
        for each in ("first", "second")
    ]
    assert names[0]
    assert len(names[0]) == len(names[1])


# ---------------------------------------------------------------------------------------- variants

VARIANTS = {"guard_policy": GuardPolicy.VARIANTS}


class Twisted(nn.Module):
    def forward(self, x: torch.Tensor, flag: bool = True) -> torch.Tensor:
        if x.shape[0] < 4:
            return x * 2 if flag else x - 1
        return x + 1 if x.shape[0] != 8 else x.sum(dim=0)


def test_variants_are_loaded_for_the_calls_that_need_them() -> None:
    torch.manual_seed(0)
    calls = [(filled(n, 3), flag) for n in (6, 2, 3, 8, 1) for flag in (True, False)]
    first = compiled(Twisted(), filled(6, 3), config=VARIANTS)
    for call in calls:
        check(first, Twisted(), *call)
    graphs = len(first.model().variants)
    assert graphs > 3
    session = loaded(Twisted(), filled(6, 3), config=VARIANTS)
    with counters.expect(captured=0, compiled=0):
        for x, flag in calls[:-2]:
            check(session, Twisted(), x, flag)
    # Another size of the same region, in another order: the same graphs.
    again = loaded(Twisted(), filled(6, 3), config=VARIANTS)
    with counters.expect(captured=0, compiled=0, compilations_loaded=2):
        check(again, Twisted(), filled(3, 3), False)
        check(again, Twisted(), filled(7, 3))
        check(again, Twisted(), filled(8, 3))


def test_a_variant_of_edited_code_is_captured_again(
    module: Callable[..., types.ModuleType],
) -> None:
    text = """
import torch

def small(x):
    return x * 2

def model(x):
    return small(x) if x.shape[0] < 4 else x + 1
"""
    first = compiled(module(text).model, filled(6, 3), config=VARIANTS)
    first.run(filled(2, 3))
    edited = module(text.replace("x * 2", "x * 3")).model
    session = compiled(edited, filled(6, 3), config=VARIANTS)
    with counters.expect(captured=1, compilations_loaded=0):
        check(session, edited, filled(2, 3))
