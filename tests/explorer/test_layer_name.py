"""A layer's name: what it is by itself, and what a compiled model does with it."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn

from explorer import (
    CaptureError,
    CompilationConfig,
    ConfigError,
    ExplorerError,
    GuardPolicy,
    GuardViolation,
    InputError,
    LayerName,
    compile_model,
    direct_register_custom_op,
)
from explorer.artifacts import InputKind
from tests.explorer.cutting import random_rows
from tests.explorer.naming import NamedLayer, NamedLayers, compile_named, fast_calls, like_first

X = random_rows(6, 8)
SIZES = (2, 6, 17, 1)


class Owner:
    """Something that can be referred to weakly."""


def assert_like_eager(compiled, model) -> None:
    for size in SIZES:
        rows = random_rows(size, 8, seed=size)
        for _ in range(2):  # the second call takes the fast way
            assert torch.equal(compiled(rows), model(rows)), size


# ----------------------------------------------------------------------------------- the name alone


def test_name_is_a_value() -> None:
    name = LayerName("layers.0")
    assert name == LayerName("layers.0")
    assert hash(name) == hash(LayerName("layers.0"))
    assert name != LayerName("layers.1")
    assert name != "layers.0"
    assert repr(name) == "LayerName('layers.0')"
    assert name.name == "layers.0"
    with pytest.raises(AttributeError):
        name.name = "layers.1"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("wrong", ["", 3, None, LayerName("a")])
def test_name_that_is_no_text_is_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=r"A LayerName is made of a text such as 'layers.0'"):
        LayerName(wrong)


def test_name_finds_what_it_was_registered_with() -> None:
    owner, other = Owner(), Owner()
    name = LayerName("layers.0").register(owner)
    assert name.resolve() is owner
    assert name.register(owner).resolve() is owner
    assert LayerName("layers.0").register(other).resolve() is other
    assert name.resolve() is owner


def test_names_of_two_objects_are_not_equal() -> None:
    one, other = Owner(), Owner()
    name = LayerName("layers.0").register(one)
    assert name == LayerName("layers.0").register(one)
    assert name != LayerName("layers.0").register(other)
    assert name != LayerName("layers.0")
    assert hash(name) == hash(LayerName("layers.0"))


def test_name_without_an_object_says_so() -> None:
    with pytest.raises(ExplorerError, match=r"LayerName\('a'\) stands for no object: call name"):
        LayerName("a").resolve()


def test_name_keeps_no_object_alive_and_says_that_it_is_gone() -> None:
    owner = Owner()
    name = LayerName("a").register(owner)
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is None
    with pytest.raises(ConfigError, match=r"LayerName\('a'\) stands for an object that is gone"):
        name.resolve()
    successor = Owner()
    assert name.register(successor).resolve() is successor


def test_name_of_one_object_does_not_become_that_of_another() -> None:
    owner = Owner()
    name = LayerName("a").register(owner)
    with pytest.raises(ConfigError, match=r"stands for another Owner already: make a LayerName"):
        name.register(Owner())
    assert name.resolve() is owner


def test_object_without_weak_references_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot stand for a dict"):
        LayerName("a").register({})


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda name: pickle.loads(pickle.dumps(name))]
)
def test_copy_has_the_text_and_says_what_is_missing(copied) -> None:
    owner = Owner()
    fresh = copied(copied(LayerName("a").register(owner)))
    assert fresh.name == "a"
    with pytest.raises(ConfigError, match="is a copy of a name that stands for a Owner"):
        fresh.resolve()
    assert fresh.register(owner).resolve() is owner


# --------------------------------------------------------------------------------- models of layers


def test_two_models_with_the_same_names_are_not_mixed_up() -> None:
    models = [NamedLayers(3, first_gain) for first_gain in (2.0, 50.0)]
    compiled = [compile_named(model) for model in models]
    for _ in range(2):
        for model, fast in zip(models, compiled, strict=True):
            assert_like_eager(fast, model)
    assert not torch.equal(compiled[0](X), compiled[1](X))


def test_copied_model_has_layers_of_its_own() -> None:
    model = NamedLayers(2)
    twin = copy.deepcopy(model)
    twin.layers[0].gain = 100.0
    assert twin.layers[0].layer_name.resolve() is twin.layers[0]
    assert not torch.equal(model(X), twin(X))
    assert_like_eager(compile_named(twin), twin)
    assert_like_eager(compile_named(model), model)


def test_model_with_names_is_not_kept_alive() -> None:
    model = NamedLayers(2)
    compiled = compile_named(model)
    compiled(X)
    names = [layer.layer_name for layer in model.layers]
    alive = [weakref.ref(layer) for layer in model.layers]
    del model, compiled
    gc.collect()
    assert [each() for each in alive] == [None, None]
    with pytest.raises(ConfigError, match="is gone"):
        names[0].resolve()


def test_equal_layers_share_a_piece_and_each_passes_its_own_name() -> None:
    model = NamedLayers(5)
    compiled = compile_named(model)
    compilation = compiled.compilation
    assert len(compilation.unique_pieces) == 1
    assert compilation.unique_pieces[0].piece_indices == (0, 2, 4, 6, 8)
    names = [each for each in compilation.captured.inputs if each.path.endswith("layer_name")]
    assert [each.path for each in names] == [f"layers.{n}.layer_name" for n in range(5)]
    assert {each.kind for each in names} == {InputKind.OTHER}
    assert_like_eager(compiled, model)


def test_names_are_conditions_in_plain_words() -> None:
    texts = [
        guard.text for guard in compile_named(NamedLayers(1)).compilation.captured.value_guards
    ]
    assert "self.layers[0].layer_name == LayerName('layers.0')" in texts


def test_views_call_a_name_what_it_is(tmp_path) -> None:
    page = tmp_path / "page.html"
    compile_named(NamedLayers(2)).compilation.to_html(page)
    text = page.read_text(encoding="utf-8")
    assert ">LayerName<" in text
    assert "FakeScriptObject" not in text


def test_names_are_not_looked_at_again_on_the_fast_way() -> None:
    compiled = compile_named(NamedLayers(3))
    compiled(X)
    assert fast_calls(compiled).source is not None
    _, left = fast_calls(compiled)._watched()
    assert [source for source in left if "layer_name" in source] == []


# ------------------------------------------------------------------------- a name that is exchanged


def test_exchanged_name_is_a_violation() -> None:
    model = NamedLayers(3)
    compiled = compile_named(model)
    before = [compiled(X) for _ in range(3)][-1]
    name = model.layers[1].layer_name
    model.layers[1].layer_name = LayerName("layers.7").register(model.layers[1])
    with pytest.raises(
        GuardViolation,
        match=r"self\.layers\[1\]\.layer_name == LayerName\('layers\.1'\).*Now it is "
        r"LayerName\('layers\.7'\)",
    ):
        compiled(X)
    model.layers[1].layer_name = name
    assert torch.equal(compiled(X), before)


def test_name_of_another_layer_with_the_same_text_is_a_violation() -> None:
    model, other = NamedLayers(2), NamedLayer("layers.0", 70.0)
    compiled = compile_named(model)
    compiled(X)
    model.layers[0].layer_name = other.layer_name
    with pytest.raises(GuardViolation, match=r"Now it is another LayerName\('layers\.0'\)"):
        compiled(X)


def test_text_in_the_place_of_a_name_is_a_violation() -> None:
    model = NamedLayers(2)
    compiled = compile_named(model)
    model.layers[0].layer_name = "layers.0"
    with pytest.raises(GuardViolation, match=r"Now it is 'layers\.0'"):
        compiled(X)


def test_exchanged_name_is_passed_on_without_checks() -> None:
    model = NamedLayers(2)
    compiled = compile_named(model, guard_policy=GuardPolicy.DROP)
    assert_like_eager(compiled, model)
    other = NamedLayer("other", 70.0)
    model.layers[0].layer_name = other.layer_name
    assert_like_eager(compiled, model)


def test_exchanged_name_is_captured_again_and_found_to_be_the_same_program() -> None:
    model = NamedLayers(2)
    compiled = compile_named(model, guard_policy=GuardPolicy.VARIANTS)
    assert_like_eager(compiled, model)
    first = model.layers[0].layer_name
    other = NamedLayer("other", 70.0)
    for name in (other.layer_name, first, other.layer_name):
        model.layers[0].layer_name = name
        assert_like_eager(compiled, model)
    assert compiled._variants is not None
    assert len(compiled._variants.runners) == 2
    assert len(compiled.variants) == 1


def test_one_name_for_two_layers_is_noticed_when_one_gets_its_own() -> None:
    model = NamedLayers(2)
    own = model.layers[1].layer_name
    model.layers[1].layer_name = model.layers[0].layer_name
    compiled = compile_named(model)
    assert_like_eager(compiled, model)
    model.layers[1].layer_name = own
    with pytest.raises(GuardViolation, match=r"layer_name is self\.layers\[1\]\.layer_name"):
        compiled(X)


def test_name_can_be_an_argument_of_the_call() -> None:
    class Named(nn.Module):
        def forward(self, x: torch.Tensor, layer_name: LayerName) -> torch.Tensor:
            return torch.ops.explorer.test_scale_named(x, layer_name)

    layers = [NamedLayer("a", 5.0), NamedLayer("a", 6.0)]
    model = Named()
    config = CompilationConfig(backend="eager", guard_policy=GuardPolicy.VARIANTS)
    dims = {"x": {0: "n"}}
    example = (X, layers[0].layer_name)
    compiled = compile_model(model, example, dynamic_arg_dims=dims, config=config)
    for layer in (layers[0], layers[1], layers[0]):
        assert torch.equal(compiled(X, layer.layer_name), X * layer.gain)
    checked = compile_model(
        model, example, dynamic_arg_dims=dims, config=config.replace(guard_policy=GuardPolicy.CHECK)
    )
    with pytest.raises(GuardViolation, match=r"Now it is another LayerName\('a'\)"):
        checked(X, layers[1].layer_name)


# --------------------------------------------------------------------------------------- wrong uses


class Holding(nn.Module):
    """Does something with a name."""

    def __init__(self, use) -> None:
        super().__init__()
        self.use = use
        self.gain = 3.0
        self.layer_name = LayerName("alone").register(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.use(x, self.layer_name)


@pytest.mark.parametrize(
    ("use", "read"),
    [
        (lambda x, name: x * len(name.name), "name"),
        (lambda x, name: x * name.resolve().gain, "resolve"),
    ],
)
def test_reading_a_name_in_a_traced_forward_is_explained(use, read) -> None:
    model = Holding(use)
    model(X)
    with pytest.raises(
        CaptureError,
        match=rf"test_layer_name\.py:\d+: .*the model reads `{read}` of a LayerName.*"
        "Read it inside a custom op",
    ):
        compile_named(model, splitting_ops=())


def test_names_can_be_compared_in_a_traced_forward() -> None:
    one, other = LayerName("one"), LayerName("other")
    model = Holding(lambda x, name: x * 2 if name == one else x * 3)
    model.layer_name = one
    compiled = compile_named(model, splitting_ops=())
    assert torch.equal(compiled(X), X * 2)
    model.layer_name = other
    with pytest.raises(GuardViolation, match=r"self\.layer_name == LayerName\('one'\)"):
        compiled(X)


def test_name_that_is_made_in_forward_is_an_input_too() -> None:
    def text_length(x: torch.Tensor, layer_name: LayerName) -> torch.Tensor:
        return x * len(layer_name.name)

    op = direct_register_custom_op("test_text_length", text_length, fake_impl=like_first)
    model = Holding(lambda x, name: op(x, LayerName("abc")))
    assert_like_eager(compile_named(model, splitting_ops=()), model)


@pytest.mark.parametrize("compiled", [False, True])
def test_text_where_a_name_is_declared_is_refused(compiled) -> None:
    model = Holding(lambda x, name: torch.ops.explorer.test_scale_named(x, "layers.0"))
    with pytest.raises(
        InputError,
        match=r"explorer::test_scale_named takes a LayerName as layer_name, but was given "
        r"'layers\.0', a str: make LayerName\('layers\.0'\) once",
    ):
        compile_named(model, splitting_ops=()) if compiled else model(X)


def test_fake_that_reads_a_name_is_explained() -> None:
    def scaled(x: torch.Tensor, layer_name: LayerName) -> torch.Tensor:
        return x * layer_name.resolve().gain

    op = direct_register_custom_op("test_without_fake", scaled)
    model = Holding(lambda x, name: op(x, name))
    assert torch.equal(model(X), X * 3)
    with pytest.raises(
        CaptureError, match=r"reads `resolve` of a LayerName.*Give the op a fake_imp"
    ):
        compile_named(model, splitting_ops=())


def test_layer_that_is_gone_is_said_when_a_compiled_model_runs() -> None:
    model = Holding(lambda x, name: torch.ops.explorer.test_scale_named(x, name))
    owner = NamedLayer("gone", 4.0)
    model.layer_name = owner.layer_name
    compiled = compile_named(model, splitting_ops=())
    assert torch.equal(compiled(X), X * 4)
    del owner
    gc.collect()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"LayerName\('gone'\) stands for an object that is"):
            compiled(X)


def test_inductor_compiles_one_piece_for_all_names() -> None:
    model, other = NamedLayers(3), NamedLayers(3, 40.0)
    compiled = compile_named(model, backend="inductor")
    assert len(compiled.compilation.artifacts) == 1
    assert compiled.compilation.artifacts[0].backend == "inductor"
    second = compile_named(other, backend="inductor")
    for fast, plain in ((compiled, model), (second, other), (compiled, model)):
        for size in SIZES:
            rows = random_rows(size, 8, seed=size)
            torch.testing.assert_close(fast(rows), plain(rows))
