"""Decorated classes: what is compiled and when, and that instances stay what they were."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

import pytest
import torch

from explorer import (
    CompilationConfig,
    CompilationMode,
    ConfigError,
    GuardViolation,
    IntermediateTensors,
    compilation_of,
    compile_model,
    compiled_model_of,
    counters,
    ignore_torch_compile,
    set_model_tag,
    skip_compiled,
    support_torch_compile,
    use_config,
)

if TYPE_CHECKING:
    from builtins import int as Unknown


@pytest.fixture(autouse=True)
def eager_backend() -> Iterator[None]:
    with torch.no_grad(), use_config(CompilationConfig(backend="eager")):
        yield


class Plain(torch.nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, width)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        x = self.linear(x).relu()
        return x if y is None else x + y


@support_torch_compile
class Decorated(Plain):
    pass


def rows(count: int = 5, width: int = 4) -> torch.Tensor:
    return torch.arange(count * width, dtype=torch.float32).reshape(count, width) / 7


def assert_as_eager(model: Any, *args: Any, **kwargs: Any) -> None:
    torch.testing.assert_close(model(*args, **kwargs), model.forward(*args, **kwargs))


# ------------------------------------------------------------------------------ what gets compiled


def test_first_call_compiles_and_later_ones_take_it() -> None:
    model = Decorated()
    assert compiled_model_of(model) is None
    with counters.expect(models_seen=1, graphs_seen=1, compiled=1):
        assert_as_eager(model, rows())
    with counters.expect(models_seen=0, captured=0, compiled=0):
        for count in (2, 7, 64):
            assert_as_eager(model, rows(count))
    (size,) = compilation_of(model).captured.sizes
    assert size.label == "x.size(0)"
    assert compilation_of(model).name == "Decorated"


def test_forward_itself_stays_eager() -> None:
    model = Decorated()
    with counters.expect(captured=0):
        model.forward(rows())


def test_with_arguments() -> None:
    @support_torch_compile(dynamic_arg_dims={"x": {-2: "rows"}, "y": [0]})
    class Named(Plain):
        pass

    model = Named()
    with counters.expect(graphs_seen=1):
        assert_as_eager(model, rows(), rows())
        assert_as_eager(model, rows(9), rows(9))
    assert [size.name for size in compilation_of(model).captured.sizes] == ["rows"]


def test_an_argument_that_is_none_has_no_dims() -> None:
    @support_torch_compile(dynamic_arg_dims={"x": 0, "y": 0}, mark_unbacked_dims={"y": 0})
    class WithNone(Plain):
        pass

    model = WithNone()
    assert_as_eager(model, rows())
    assert [size.label for size in compilation_of(model).captured.sizes] == ["x.size(0)"]
    with pytest.raises(GuardViolation):
        model(rows(), rows())


def test_unbacked_dims() -> None:
    @support_torch_compile(mark_unbacked_dims={"x": 0})
    class Unbacked(Plain):
        pass

    model = Unbacked()
    with counters.expect(graphs_seen=1):
        for count in (5, 1, 9):
            assert_as_eager(model, rows(count))
    assert compilation_of(model).captured.sizes[0].unbacked


class Annotated:
    """Functions whose one annotated argument is dynamic."""

    def tensor(self, x: torch.Tensor, k: int = 2) -> Any:
        return x * k

    def optional(self, x: Optional[torch.Tensor], k: int = 2) -> Any:  # noqa: UP045 (the form itself)
        return None if x is None else x * k

    def union(self, x: torch.Tensor | None, k: int = 2) -> Any:
        return None if x is None else x * k

    def floats(self, x: torch.FloatTensor, k: int = 2) -> Any:
        return x * k

    def longs(self, x: torch.LongTensor, k: int = 2) -> Any:
        return x * k

    def beside_unknown(self, x: torch.Tensor, k: Unknown = 2) -> Any:
        return x * k


@pytest.mark.parametrize("name", [name for name in vars(Annotated) if name[0] != "_"])
def test_dims_are_inferred_from_annotations(name: str) -> None:
    cls = type("Inferred", (torch.nn.Module,), {"forward": vars(Annotated)[name]})
    model = support_torch_compile(cls)()
    assert_as_eager(model, rows())
    assert [size.label for size in compilation_of(model).captured.sizes] == ["x.size(0)"]


def test_intermediate_tensors() -> None:
    @support_torch_compile
    class Stage(torch.nn.Module):
        def forward(self, x: torch.Tensor, given: IntermediateTensors | None = None) -> Any:
            hidden = x if given is None else x + given["hidden"]
            return IntermediateTensors({"hidden": hidden * 2})

    first, second = Stage(), Stage()
    for count in (5, 8):
        between = first(rows(count))
        last = second(rows(count), between)
        assert isinstance(between, IntermediateTensors)
        torch.testing.assert_close(last["hidden"], rows(count) * 6)
    assert compilation_of(second).captured.sizes[0].name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dynamic_arg_dims": {"z": 0}}, r"Argument 'z' of dynamic_arg_dims.*x, y"),
        ({"mark_unbacked_dims": {"z": 0}}, r"Argument 'z' of mark_unbacked_dims.*x, y"),
        ({"dynamic_arg_dims": {}}, "No dynamic dimensions found"),
    ],
)
def test_wrong_names_are_refused_where_the_class_is_decorated(
    arguments: dict[str, Any], words: str
) -> None:
    class Mine(Plain):
        pass

    with pytest.raises(ConfigError, match=words):
        support_torch_compile(**arguments)(Mine)


def test_what_cannot_be_decorated() -> None:
    class NoForward(torch.nn.Module):
        pass

    class NoTensor(torch.nn.Module):
        def forward(self, k: int) -> int:
            return k

    with pytest.raises(TypeError, match="NoForward has no forward"):
        support_torch_compile(NoForward)
    with pytest.raises(TypeError, match="decorates a class"):
        support_torch_compile(Plain())  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"No dynamic dimensions .*NoTensor"):
        support_torch_compile(NoTensor)


def test_dims_of_something_else_than_tensors_are_refused_at_the_call() -> None:
    @support_torch_compile(dynamic_arg_dims={"x": 0, "k": 0})
    class Wrong(torch.nn.Module):
        def forward(self, x: torch.Tensor, k: int = 3) -> torch.Tensor:
            return x * k

    with pytest.raises(ConfigError, match="argument k with type int"):
        Wrong()(rows())


# ---------------------------------------------------------------------- instances stay as they are


def test_class_and_state_are_those_of_the_author() -> None:
    model = Decorated()
    assert Decorated.__bases__ == (Plain,)
    assert type(model) is Decorated
    assert list(model.state_dict()) == list(Plain().state_dict())
    assert_as_eager(model, rows())
    assert list(model.state_dict()) == list(Plain().state_dict())
    assert [name for name, _ in model.named_modules()] == ["", "linear"]


def test_decorating_twice_is_harmless() -> None:
    before = Decorated.__call__, Decorated.__init__
    assert support_torch_compile(Decorated) is Decorated
    assert support_torch_compile(dynamic_arg_dims={"x": 1})(Decorated) is Decorated
    assert (Decorated.__call__, Decorated.__init__) == before


def test_copies_are_compiled_for_themselves() -> None:
    model = Decorated()
    assert_as_eager(model, rows())
    deep, shallow = copy.deepcopy(model), copy.copy(model)
    deep.linear.weight.mul_(3)
    for each in (deep, shallow):
        with counters.expect(graphs_seen=1):
            assert_as_eager(each, rows())
        assert compiled_model_of(each) is not compiled_model_of(model)
    assert_as_eager(model, rows())


def test_pickles_hold_the_eager_model() -> None:
    model = Decorated()
    assert_as_eager(model, rows())
    loaded = pickle.loads(pickle.dumps(model))
    assert type(loaded) is Decorated
    assert compiled_model_of(loaded) is None
    torch.testing.assert_close(loaded(rows()), model(rows()))
    assert compiled_model_of(loaded) is not None


def test_an_instance_without_init_is_compiled_too() -> None:
    made = Decorated.__new__(Decorated)
    made.__dict__.update({k: v for k, v in vars(Decorated()).items() if "piecewise" not in k})
    with counters.expect(graphs_seen=1):
        assert_as_eager(made, rows())


def test_weights_that_change_are_followed() -> None:
    model = Decorated()
    assert_as_eager(model, rows())
    model.linear.weight = torch.nn.Parameter(torch.ones(4, 4))
    assert_as_eager(model, rows())
    model.linear = torch.nn.Linear(4, 4, bias=False)
    assert_as_eager(model, rows())


def hooks_on(module: torch.nn.Module, seen: list[Any]) -> list[Any]:
    def with_kwargs(_: Any, args: Any, kwargs: Any) -> Any:
        seen.append(("pre with kwargs", sorted(kwargs)))
        return args, kwargs

    return [
        module.register_forward_pre_hook(lambda _, args: seen.append("pre")),
        module.register_forward_pre_hook(lambda _, args: (args[0] + 1, *args[1:])),
        module.register_forward_pre_hook(with_kwargs, with_kwargs=True),
        module.register_forward_hook(lambda m, args, out: seen.append((m, len(args)))),
        module.register_forward_hook(lambda m, args, kwargs, out: out * 3, with_kwargs=True),
        module.register_forward_hook(lambda m, args, out: seen.append("always"), always_call=True),
    ]


@pytest.mark.parametrize("when", ["before the first call", "after it"])
def test_hooks_run_as_eager_runs_them(when: str) -> None:
    model, plain = Decorated(), Plain()
    plain.load_state_dict(model.state_dict())
    seen: list[Any] = []
    expected: list[Any] = []
    if when == "after it":
        model(rows(), y=rows())
    handles = hooks_on(model, seen) + hooks_on(plain, expected)
    with counters.expect(graphs_seen=int(when == "before the first call")):
        torch.testing.assert_close(model(rows(), y=rows()), plain(rows(), y=rows()))
    assert len(expected) == 4
    assert [str(each).replace("Decorated", "Plain") for each in seen] == [
        str(each) for each in expected
    ]
    with pytest.raises(GuardViolation):
        model(rows(3, 9), y=rows(3, 9))
    assert seen[-1] == "always"
    for handle in handles:
        handle.remove()
    assert_as_eager(model, rows(), y=rows())


def test_hook_of_all_modules_runs() -> None:
    model = Decorated()
    seen: list[str] = []
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, args, out: seen.append(type(module).__name__)
    )
    try:
        model(rows())
    finally:
        handle.remove()
    assert seen[-1] == "Decorated"


# ---------------------------------------------------------------------------- classes above, below


def test_subclass_inherits_and_its_own_forward_is_compiled() -> None:
    class Below(Decorated):
        def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(x, y) + 1

    model = Below()
    with counters.expect(models_seen=1, graphs_seen=1):
        assert_as_eager(model, rows())
    assert len(compilation_of(model).pieces) == 1


def test_ignored_subclass_and_one_below_that_is_decorated_again() -> None:
    @ignore_torch_compile
    class Ignored(Decorated):
        pass

    @support_torch_compile
    class Again(Ignored):
        pass

    with counters.expect(models_seen=0, graphs_seen=0):
        assert_as_eager(Ignored(), rows())
    with counters.expect(models_seen=1, graphs_seen=1):
        assert_as_eager(Again(), rows())
    with counters.expect(graphs_seen=1):
        assert_as_eager(Decorated(), rows())


def test_decorated_subclass_has_settings_of_its_own() -> None:
    made: list[str] = []

    @support_torch_compile(dynamic_arg_dims={"x": {0: "below"}})
    class Below(Decorated):
        def __init__(self) -> None:
            super().__init__()
            made.append("once")

    model = Below()
    with counters.expect(models_seen=1, graphs_seen=1):
        assert_as_eager(model, rows())
    assert made == ["once"]
    assert [size.name for size in compilation_of(model).captured.sizes] == ["below"]


def test_decorated_submodules_of_an_ignored_module_are_compiled() -> None:
    @ignore_torch_compile
    @support_torch_compile
    class Parent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Decorated(), Decorated()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    with counters.expect(models_seen=2, graphs_seen=2):
        assert_as_eager(Parent(), rows())


def test_enable_if_is_asked_for_each_instance() -> None:
    asked: list[CompilationConfig] = []

    def wanted(config: CompilationConfig) -> bool:
        asked.append(config)
        return config.max_size > 100

    @support_torch_compile(enable_if=wanted)
    class Sometimes(Plain):
        pass

    with use_config(CompilationConfig(backend="eager", max_size=64)), counters.expect(captured=0):
        assert_as_eager(Sometimes(), rows())
    with counters.expect(graphs_seen=1):
        model = Sometimes()
        assert_as_eager(model, rows())
        assert_as_eager(model, rows())
    assert [each.max_size for each in asked] == [64, 8192]


# ---------------------------------------------------------------------- configuration, tags, modes


def test_configuration_is_that_of_where_the_instance_was_made() -> None:
    with use_config(CompilationConfig(backend="eager", compile_ranges_endpoints=(8, 32))):
        model = Decorated()
    assert_as_eager(model, rows())
    assert [str(each) for each in compilation_of(model).size_ranges] == ["1–8", "9–32", "33–8192"]


def test_tags_keep_parts_apart() -> None:
    class Parent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with set_model_tag("first"):
                self.a = Decorated()
            with set_model_tag("second"):
                self.b = Decorated()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) if x.shape[0] == 4 else self.b(x)

    model = Parent()
    for count in (4, 5, 6):
        torch.testing.assert_close(
            model(rows(count)), (model.a if count == 4 else model.b).forward(rows(count))
        )
    assert [compilation_of(each).name for each in (model.a, model.b)] == ["first", "second"]


def test_encoder_takes_any_size() -> None:
    @support_torch_compile(is_encoder=True)
    class Encoder(Plain):
        pass

    with use_config(CompilationConfig(backend="eager", max_size=8, compile_ranges_endpoints=(4,))):
        model = Encoder()
        with set_model_tag("vision", is_encoder=True):
            by_tag = Decorated()
    for each in (model, by_tag):
        assert_as_eager(each, rows())
        assert_as_eager(each, rows(100))
        assert compilation_of(each).size_ranges[-1].end == 2**31 - 1
    assert [compilation_of(each).name for each in (model, by_tag)] == ["Encoder", "vision"]


def test_skip_compiled() -> None:
    model = Decorated()
    with skip_compiled(), counters.expect(captured=0):
        assert_as_eager(model, rows())
    with counters.expect(graphs_seen=1):
        assert_as_eager(model, rows())
    with skip_compiled():
        model(torch.ones(2, 4), torch.ones(4))  # no size of a tensor that was None


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        (CompilationMode.NONE, {"models_seen": 0, "captured": 0}),
        (CompilationMode.STOCK_TORCH_COMPILE, {"stock_compiled": 1, "captured": 0}),
        (CompilationMode.DYNAMO_TRACE_ONCE, {"graphs_seen": 1, "pieces_seen": 1}),
        (CompilationMode.PIECEWISE, {"graphs_seen": 1, "pieces_seen": 1}),
    ],
)
def test_modes(mode: CompilationMode, counts: dict[str, int]) -> None:
    with use_config(CompilationConfig(backend="eager", mode=mode)):
        model = Decorated()
    with counters.expect(**counts):
        for count in (5, 3, 1, 9):
            assert_as_eager(model, rows(count))


# -------------------------------------------------------------------------- inside other compilers


def test_transparent_inside_a_compile_around_it() -> None:
    class Parent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Decorated(), Decorated()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    model = Parent()
    expected = model.b.forward(model.a.forward(rows()))
    with counters.expect(captured=0):
        stock = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(stock(rows()), expected)
    with counters.expect(graphs_seen=1):
        ours = compile_model(model, (rows(),), config=CompilationConfig(backend="eager"))
        torch.testing.assert_close(ours(rows()), expected)
    modules = {name for piece in ours.compilation.pieces for name in piece.modules}
    assert {name.split(".")[0] for name in modules if name} == {"a", "b"}
    with counters.expect(graphs_seen=2):
        torch.testing.assert_close(model(rows()), expected)


def test_decorated_module_in_a_decorated_one_is_part_of_its_graph() -> None:
    @support_torch_compile
    class Parent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = Decorated()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) * 2

    model = Parent()
    with counters.expect(models_seen=1, graphs_seen=1):
        torch.testing.assert_close(model(rows()), model.a.forward(rows()) * 2)


def test_audit_runs_the_model_itself() -> None:
    @support_torch_compile
    class Branch(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x.shape[0] != 4 else x + 1

    model = Branch()

    def add(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        return out + 100

    model.register_forward_hook(add)
    torch.testing.assert_close(model(rows(6)), rows(6) * 2 + 100)
    audit = compilation_of(model).audit()
    assert audit.valid == ((2, 3), (5, 8192))
    assert not audit.eager_fails
    with pytest.raises(GuardViolation, match=r"4"):
        model(rows(4))


def test_parts_are_not_compiled_where_the_whole_is_run_to_compare() -> None:
    class Parent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = Decorated()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) if x.shape[0] != 4 else self.a(x) + 1

    whole = compile_model(Parent(), (rows(6),), config=CompilationConfig(backend="eager"))
    with counters.expect(models_seen=0, graphs_seen=0):
        audit = whole.compilation.audit()
    assert [each.intervals for each in audit.violations] == [((4, 4),)]
    assert not audit.eager_fails


def test_two_threads_compile_once() -> None:
    model = Decorated()
    start = threading.Barrier(4)
    found: list[torch.Tensor] = []

    def call() -> None:
        with torch.no_grad():
            start.wait()
            found.append(model(rows()))

    threads = [threading.Thread(target=call) for _ in range(4)]
    with counters.expect(models_seen=1, graphs_seen=1):
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    for each in found:
        torch.testing.assert_close(each, model.forward(rows()))
    assert len(found) == 4


# -------------------------------------------------------------------------------- shape invariants


def test_invariants_hold_in_the_capture() -> None:
    def same_rows(x: torch.Tensor, y: torch.Tensor, *, scale: float = 2.0) -> None:
        assert torch.compiler.is_compiling()
        torch._check(x.shape[0] == y.shape[0])

    class Adds(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor, *, scale: float = 2.0) -> torch.Tensor:
            return x * scale if x.shape[0] == y.shape[0] else x

    def compiled(invariants: Any) -> Any:
        cls = type("Copy", (Adds,), {})
        support_torch_compile(
            dynamic_arg_dims={"x": 0, "y": 0},
            mark_unbacked_dims={"x": 0, "y": 0},
            shape_invariants=invariants,
        )(cls)
        return cls()

    with pytest.raises(Exception, match="is not known while tracing"):
        compiled(None)(rows(), rows())
    model = compiled(same_rows)
    for count in (5, 3, 8):
        assert_as_eager(model, rows(count), rows(count))
    with pytest.raises((GuardViolation, RuntimeError)):
        model(rows(3), rows(4))


def test_prefix_is_passed_on_to_those_who_take_it() -> None:
    class Named(Plain):
        def __init__(self, prefix: str = "") -> None:
            super().__init__()
            self.prefix = prefix

    assert support_torch_compile(Named)(prefix="model.layers").prefix == "model.layers"
    made: Any = Decorated
    assert_as_eager(made(prefix="model"), rows())
