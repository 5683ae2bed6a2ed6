"""An op from a function in one call: what it does, how it is exchanged, what is refused."""

import gc
import importlib
from collections.abc import Sequence

import pytest
import torch
from torch import nn

import explorer.custom_ops
from explorer import (
    CompilationConfig,
    ConfigError,
    ExplorerError,
    LayerName,
    compile_model,
    direct_register_custom_op,
)
from explorer.torch_private.failures import fake_implementation
from tests.explorer.cutting import assert_equal_to_eager, compile_cut, kinds, random_rows

X = random_rows(6, 8)


def add(x: torch.Tensor, amount: int = 1) -> torch.Tensor:
    return x + amount


def add_two(x: torch.Tensor, amount: int = 1) -> torch.Tensor:
    return x + (amount + 2)


def add_into(x: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(x + 1)


def like_x(x: torch.Tensor, amount: int = 1) -> torch.Tensor:
    return torch.empty_like(x)


class Calling(nn.Module):
    """Calls an op between two products."""

    def __init__(self, op) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.op(x * 2) * 3


# ------------------------------------------------------------------------------------- what it does


def test_op_is_in_the_namespace_and_does_what_the_function_does() -> None:
    op = direct_register_custom_op("test_add", add)
    assert op is torch.ops.explorer.test_add
    assert torch.equal(op(X), X + 1)
    assert torch.equal(op(X, amount=5), X + 5)
    assert str(op.default._schema) == "explorer::test_add(Tensor x, SymInt amount=1) -> Tensor"


def test_op_is_registered_as_it_behaves() -> None:
    op = direct_register_custom_op("test_checked", add, fake_impl=like_x)
    torch.library.opcheck(op.default, (X, 3))
    writing = direct_register_custom_op("test_checked_into", add_into, ("out",))
    torch.library.opcheck(writing.default, (X, torch.empty_like(X)))


@pytest.mark.parametrize("fake", [None, like_x, lambda x, _=1: torch.empty_like(x)])
@pytest.mark.parametrize("splits", [False, True])
def test_compiled_model_with_the_op_equals_eager(fake, splits) -> None:
    model = Calling(direct_register_custom_op(f"test_in_model_{id(fake)}", add, fake_impl=fake))
    name = f"explorer::test_in_model_{id(fake)}"
    compiled = compile_cut(model, X, splitting_ops=[name] if splits else [])
    assert kinds(compiled.compilation.pieces) == ("CSC" if splits else "C")
    assert_equal_to_eager(model, compiled, lambda n: (random_rows(n, 8),))


def test_op_that_writes_equals_eager_under_inductor() -> None:
    direct_register_custom_op(
        "test_writes", add_into, mutates_args=("out",), fake_impl=lambda x, out: None
    )

    def model(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        torch.ops.explorer.test_writes(x * 2, out)
        return out * 3

    config = CompilationConfig(backend="inductor", max_size=64)
    compiled = compile_model(model, (X,), dynamic_arg_dims={"x": {0: "n"}}, config=config)
    for size in (2, 17):
        rows = random_rows(size, 8)
        torch.testing.assert_close(compiled(rows), model(rows))


def test_library_of_ones_own_gives_the_namespace_and_is_kept() -> None:
    op = direct_register_custom_op(
        "add", add, target_lib=torch.library.Library("test_custom_ops", "FRAGMENT")
    )
    gc.collect()
    assert op is torch.ops.test_custom_ops.add
    assert torch.equal(op(X), X + 1)


def test_dispatch_key_says_for_which_tensors_the_op_is() -> None:
    op = direct_register_custom_op("test_on_cpu", add, dispatch_key="CPU", fake_impl=like_x)
    assert torch.equal(op(X), X + 1)
    assert torch.equal(Calling(op)(X), compile_cut(Calling(op), X, splitting_ops=[])(X))


@pytest.mark.parametrize(
    "tags", ["pt2_compliant_tag", torch.Tag.pt2_compliant_tag, (torch.Tag.pt2_compliant_tag,)]
)
def test_tags_are_given_by_object_or_name(tags) -> None:
    op = direct_register_custom_op("test_tagged", add, tags=tags)
    assert torch.Tag.pt2_compliant_tag in op.default.tags


def test_fake_is_found_by_what_explains_it() -> None:
    direct_register_custom_op("test_fake_found", add, fake_impl=like_x)
    assert fake_implementation("explorer::test_fake_found") is like_x


# ------------------------------------------------------------------------------ the same name again


def test_second_registration_takes_the_place_of_the_first_in_compiled_models_too() -> None:
    op = direct_register_custom_op("test_again", add, fake_impl=like_x)
    model = Calling(op)
    compiled = compile_cut(model, X, splitting_ops=[])
    assert torch.equal(compiled(X), (X * 2 + 1) * 3)
    assert direct_register_custom_op("test_again", add_two, fake_impl=like_x) is op
    assert torch.equal(op(X), X + 3)
    assert torch.equal(compiled(X), (X * 2 + 3) * 3)
    assert_equal_to_eager(model, compiled, lambda n: (random_rows(n, 8),))


def test_second_registration_takes_the_new_fake() -> None:
    def first_half(x: torch.Tensor) -> torch.Tensor:
        return x[:, :4] + 1

    op = direct_register_custom_op("test_new_fake", first_half, fake_impl=lambda x: x.new_empty(1))
    direct_register_custom_op(
        "test_new_fake", first_half, fake_impl=lambda x: x.new_empty(x.shape[0], 4)
    )
    compiled = compile_cut(Calling(op), X, splitting_ops=[])
    assert torch.equal(compiled(X), Calling(op)(X))


def test_second_registration_with_another_library_of_the_namespace() -> None:
    for function, expected in ((add, X + 1), (add_two, X + 3)):
        library = torch.library.Library("test_custom_ops", "FRAGMENT")
        op = direct_register_custom_op("again", function, target_lib=library)
        assert torch.equal(op(X), expected)


def another_schema(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x + y


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"op_func": another_schema, "fake_impl": None}, "schema"),
        ({"dispatch_key": "CPU"}, "dispatch key"),
        ({"tags": "pt2_compliant_tag"}, "tags"),
    ],
)
def test_what_cannot_be_exchanged_is_refused_and_the_op_stays(changed, what) -> None:
    first = {"op_name": "test_stays", "op_func": add, "fake_impl": like_x}
    op = direct_register_custom_op(**first)
    with pytest.raises(
        ConfigError,
        match=f"explorer::test_stays is there with the {what} .* choose another op_name",
    ):
        direct_register_custom_op(**{**first, **changed})
    assert torch.equal(op(X), X + 1)


def test_reload_of_the_module_keeps_the_ops() -> None:
    op = direct_register_custom_op("test_reloaded", add, fake_impl=like_x)
    importlib.reload(explorer.custom_ops)
    gc.collect()
    assert torch.equal(op(X), X + 1)
    assert explorer.custom_ops.direct_register_custom_op("test_reloaded", add_two) is op
    assert torch.equal(op(X), X + 3)


def test_op_that_was_made_otherwise_is_left_alone() -> None:
    library = torch.library.Library("test_custom_ops", "FRAGMENT")
    torch.library.define("test_custom_ops::foreign", "(Tensor x) -> Tensor", lib=library)
    with pytest.raises(ConfigError, match="test_custom_ops::foreign already, and direct_register"):
        direct_register_custom_op("foreign", add, target_lib=library)


# ---------------------------------------------------------------------------------- what is refused


def bare(x, y: int) -> torch.Tensor:
    return x


def without_result(x: torch.Tensor):
    return x


def odd_type(x: torch.Tensor, y: dict) -> torch.Tensor:
    return x


def many(x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    return x


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ns::add", add), r"op_name is 'ns::add', with a namespace: give the part after"),
        (("two words", add), r"op_name is 'two words': the name of an op is a Python identifier"),
        (("class", add), r"op_name is 'class': the name of an op is a Python identifier"),
        ((3, add), r"op_name is 3: the name"),
        (("refused", 3), r"op_func of explorer::refused is 3, which is no Python function"),
        (("refused", torch.add), r"op_func of explorer::refused is .* which is no Python function"),
        (("refused", bare), r"op_func of explorer::refused has no annotation for x, and"),
        (("refused", without_result), r"has no annotation for its result.*write `-> torch.Tensor`"),
        (("refused", lambda x: x), r"has no annotation for x, return"),
        (("refused", odd_type), r"explorer::refused .*Parameter y has unsupported type <class 'di"),
        (("refused", many), r"explorer::refused .*We do not support positional-only args, varargs"),
        (("refused", add, ("z",)), r"mutates_args of explorer::refused names 'z', .* x, amount\."),
        (("refused", add, "x"), r"mutates_args of explorer::refused is the text 'x': .*\('x',\)"),
        (("refused", add, ("amount",)), r"explorer::refused .*amount is in mutable_args but only"),
        (
            ("refused", add, (), lambda x: x),
            r"fake_impl of explorer::refused takes \(x\), but op_f",
        ),
        (("refused", add, (), lambda x, k=1: x), r"takes \(x, k=1\), but op_func takes \(x: torch"),
        (("refused", add, (), lambda x, amount: x), r"takes \(x, amount\), but op_func takes"),
        (("refused", add, (), 3), r"fake_impl of explorer::refused is 3, which is no Python"),
        (("refused", add, (), None, "lib"), r"target_lib is 'lib', in which no op can be made"),
        (
            ("refused", add, (), None, None, "CPUU"),
            r"the dispatch key 'CPUU', which torch does not",
        ),
        (
            ("refused", add, (), None, None, "CPU", ("pointwize",)),
            r"tags of explorer::refused has 'pointwize', which is no torch.Tag; nearest: pointwise",
        ),
        (("refused", add, (), None, None, "CPU", 3), r"tags of explorer::refused is 3"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(arguments, sentence) -> None:
    with pytest.raises(ExplorerError, match=sentence) as caught:
        direct_register_custom_op(*arguments)
    assert isinstance(caught.value, ConfigError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert not hasattr(torch.ops.explorer, "refused")


def test_library_that_makes_no_ops_is_refused() -> None:
    library = torch.library.Library("aten", "IMPL")
    with pytest.raises(ConfigError, match='of the kind "DEF" or "FRAGMENT"'):
        direct_register_custom_op("refused", add, target_lib=library)


def several(x: torch.Tensor, names: Sequence[int], layer_name: LayerName) -> list[torch.Tensor]:
    return [x + number for number in names]


def test_parameters_of_several_kinds_make_a_schema() -> None:
    op = direct_register_custom_op("test_several", several)
    assert [len(each) for each in op(X, [1, 2], LayerName("a"))] == [6, 6]
    with pytest.raises(ExplorerError, match="takes a LayerName as layer_name, but was given None"):
        op(X, [1, 2], None)
