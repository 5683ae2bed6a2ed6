"""Named tensors between pipeline stages: the class, and models that take and return it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from explorer import (
    CompilationConfig,
    CompiledModel,
    GradRequired,
    GuardPolicy,
    GuardViolation,
    IntermediateTensors,
    Session,
    SpecializedDim,
    compile_model,
    counters,
)
from explorer.artifacts import SourceLocation
from explorer.comparison import Outcome, compare_with_eager
from explorer.guards.eager import inputs_at_point
from tests.explorer.comparing import EAGER, filled

VARIANTS = EAGER.replace(guard_policy=GuardPolicy.VARIANTS)
DROP = EAGER.replace(guard_policy=GuardPolicy.DROP)


def made(size: int, *names: str) -> IntermediateTensors:
    """Tensors of one size, each with values of its own."""
    names = names or ("hidden", "residual")
    return IntermediateTensors({name: filled(size, 3) + i for i, name in enumerate(names)})


# ---------------------------------------------------------------------------------------- the class


def test_items_by_name() -> None:
    hidden, residual = filled(4, 3), filled(4)
    it = IntermediateTensors({"hidden": hidden})
    it["residual"] = residual
    assert it["hidden"] is hidden
    assert it["residual"] is residual
    assert (len(it), list(it), list(it.keys())) == (2, ["hidden", "residual"], list(it.tensors))
    assert list(it.items()) == [("hidden", hidden), ("residual", residual)]
    assert [id(tensor) for tensor in it.values()] == [id(hidden), id(residual)]
    assert "hidden" in it
    assert "other" not in it


def test_the_dict_that_it_was_made_of_stays_as_it_is() -> None:
    given = {"hidden": filled(4, 3)}
    it = IntermediateTensors(given)
    it["more"] = filled(2)
    assert list(given) == ["hidden"]


def test_a_slice_takes_rows_of_every_tensor() -> None:
    it = IntermediateTensors({"a": filled(5, 2), "b": filled(5)})
    part = it[1:3]
    assert type(part) is IntermediateTensors
    assert list(part) == ["a", "b"]
    assert torch.equal(part["a"], it["a"][1:3])
    assert torch.equal(part["b"], it["b"][1:3])
    assert it[:2]["a"].data_ptr() == it["a"].data_ptr()


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        pytest.param(IntermediateTensors({"a": torch.ones(2), "b": torch.zeros(1)}), True, id="=="),
        pytest.param(IntermediateTensors({"b": torch.zeros(1), "a": torch.ones(2)}), True, id="ab"),
        pytest.param(IntermediateTensors({"a": torch.ones(2)}), False, id="fewer"),
        pytest.param(
            IntermediateTensors({"a": torch.ones(2), "c": torch.zeros(1)}), False, id="name"
        ),
        pytest.param(
            IntermediateTensors({"a": torch.ones(2), "b": torch.ones(1)}), False, id="value"
        ),
        pytest.param(
            IntermediateTensors({"a": torch.ones(1), "b": torch.zeros(1)}), False, id="shape"
        ),
        pytest.param(
            IntermediateTensors({"a": torch.ones(2).int(), "b": torch.zeros(1)}), False, id="dtype"
        ),
        pytest.param({"a": torch.ones(2), "b": torch.zeros(1)}, False, id="a dict"),
        pytest.param(None, False, id="None"),
    ],
)
def test_equal_are_names_and_values(other: Any, equal: bool) -> None:
    it = IntermediateTensors({"a": torch.ones(2), "b": torch.zeros(1)})
    assert (it == other) is equal
    assert (it != other) is not equal
    assert ((it,) == (other,)) is equal


def test_repr_has_shapes_and_no_content() -> None:
    it = IntermediateTensors({"ids": torch.tensor([123456, 2]), "step": torch.tensor(1.5)})
    assert repr(it) == "IntermediateTensors(ids: (2,) int64, step: () float32)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda it: IntermediateTensors([1]), TypeError, "but was given a value of type list"),  # pyright: ignore[reportArgumentType]
        (lambda it: IntermediateTensors({1: torch.ones(1)}), TypeError, "str, but 1 has type int"),  # pyright: ignore[reportArgumentType]
        (lambda it: IntermediateTensors({"a": None}), TypeError, "but 'a' has type NoneType"),  # pyright: ignore[reportArgumentType]
        (lambda it: it.__setitem__("a", 3), TypeError, "but 'a' has type int"),
        (lambda it: it.__setitem__(3, torch.ones(1)), TypeError, "3 has type int"),
        (lambda it: it["c"], KeyError, "no tensor is named 'c'; the names are 'a', 'b'"),
        (lambda it: it[0], TypeError, "a name or a slice in brackets, but was given 0"),
        (lambda it: {it}, TypeError, "unhashable"),
    ],
)
def test_wrong_values_are_refused(call: Any, error: type[Exception], message: str) -> None:
    it = IntermediateTensors({"a": torch.ones(2), "b": torch.ones(2)})
    with pytest.raises(error, match=message):
        call(it)
    assert list(it) == ["a", "b"]


def test_copies() -> None:
    it = made(4)
    shallow, deep, loaded = copy.copy(it), copy.deepcopy(it), pickle.loads(pickle.dumps(it))
    assert shallow == deep == loaded == it
    assert shallow["hidden"] is it["hidden"]
    assert deep["hidden"].data_ptr() != it["hidden"].data_ptr()
    for other in (shallow, deep, loaded):
        other["more"] = filled(1)
    assert "more" not in it


def test_tree_functions_look_inside() -> None:
    it = made(4)
    keyed, spec = pytree.tree_flatten_with_path({"stage": it})
    assert [pytree.keystr(path) for path, _ in keyed] == [
        "['stage']['hidden']",
        "['stage']['residual']",
    ]
    leaves = [leaf for _, leaf in keyed]
    assert leaves[0] is it["hidden"]
    assert pytree.tree_unflatten(leaves, spec)["stage"] == it
    assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec
    assert '"explorer.IntermediateTensors"' in pytree.treespec_dumps(spec)
    shapes = pytree.tree_map(lambda tensor: tensor.shape, it)
    assert dict(shapes.items()) == {"hidden": (4, 3), "residual": (4, 3)}
    assert repr(shapes) == "IntermediateTensors(hidden: Size, residual: Size)"


def test_export_takes_and_returns_it() -> None:
    class Model(torch.nn.Module):
        def forward(self, it):
            return IntermediateTensors({"sum": it["hidden"] + it["residual"]})

    program = torch.export.export(Model(), (made(4),))
    assert program.module()(made(4)) == Model()(made(4))


# ------------------------------------------------------------------------------------------- models


class Stage(torch.nn.Module):
    """One stage of a pipeline; the first one is given no tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(filled(3, 3))

    def forward(self, ids: torch.Tensor, intermediate: IntermediateTensors | None = None):
        hidden = torch.sin(ids[:, None].float()) @ self.weight[:1]
        if intermediate is not None:
            hidden = hidden + intermediate["hidden"] @ self.weight + intermediate["residual"]
        return IntermediateTensors({"hidden": hidden * 2, "residual": hidden})


def call(size: int) -> tuple[Any, ...]:
    return torch.arange(size), made(size)


def run(model: Callable[..., Any], *args: Any) -> Any:
    with torch.no_grad():
        return model(*args)


def sources(compiled: CompiledModel) -> dict[str, tuple[Any, ...]]:
    return {size.name: size.sources for size in compiled.compilation.captured.sizes}


EVERY_DIM_0 = (("ids", 0), ("intermediate['hidden']", 0), ("intermediate['residual']", 0))


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        pytest.param(None, "ids_0", id="inferred"),
        pytest.param({"ids": {0: "n"}, "intermediate": {0: "n"}}, "n", id="one name"),
        pytest.param({"ids": 0, "intermediate": -2}, "ids_0", id="negative"),
        pytest.param({"ids": 0, "intermediate": [0]}, "ids_0", id="list"),
        pytest.param(
            {"ids": 0, "intermediate['hidden']": 0, "intermediate['residual']": 0},
            "ids_0",
            id="paths",
        ),
    ],
)
def test_a_model_takes_and_returns_it(wanted: Any, name: str) -> None:
    model = Stage()
    fast = compile_model(model, call(5), dynamic_arg_dims=wanted, config=EAGER)
    assert sources(fast) == {name: EVERY_DIM_0}
    for size in (2, 5, 9, 1, 0, 9):
        expected, given = run(model, *call(size)), run(fast, *call(size))
        assert type(given) is IntermediateTensors
        assert list(given) == ["hidden", "residual"]
        assert given == expected, size
    with fast.record() as record:
        assert run(fast, *call(7)) == run(model, *call(7))
    assert record.sizes == {name: 7}


def test_the_generated_function_serves_it() -> None:
    model = Stage()
    fast = compile_model(model, call(5), config=EAGER)
    runner = fast._states[0]
    first = run(fast, *call(4))
    source = runner._fast.source
    assert source is not None
    runner.call = None  # pyright: ignore[reportAttributeAccessIssue]  # the long way
    second = run(fast, *call(4))
    assert first == second == run(model, *call(4))
    assert first is not second
    assert first.tensors is not second.tensors
    second["more"] = filled(1)
    assert list(run(fast, *call(4))) == ["hidden", "residual"]


def test_inductor_serves_it() -> None:
    model = Stage()
    fast = compile_model(model, call(5), config=CompilationConfig(max_size=64))
    for size in (3, 8):
        expected, given = run(model, *call(size)), run(fast, *call(size))
        assert list(given) == list(expected)
        for name in expected:
            torch.testing.assert_close(given[name], expected[name])


def test_without_it_the_first_stage_is_compiled() -> None:
    model = Stage()
    fast = compile_model(
        model, (torch.arange(5),), dynamic_arg_dims={"ids": 0, "intermediate": 0}, config=EAGER
    )
    assert sources(fast) == {"ids_0": (("ids", 0),)}
    assert run(fast, torch.arange(7)) == run(model, torch.arange(7))
    with pytest.raises(GuardViolation, match="intermediate"):
        run(fast, *call(7))


def test_a_keyword_argument() -> None:
    model = Stage()
    ids, it = call(5)
    fast = compile_model(model, (ids,), example_kwargs={"intermediate": it}, config=EAGER)
    assert sources(fast) == {"ids_0": EVERY_DIM_0}
    for size in (3, 6):
        ids, it = call(size)
        with torch.no_grad():
            assert fast(ids, intermediate=it) == model(ids, intermediate=it)


def nested(it):
    """Iterates, tests for a name, assigns, and returns it inside other containers."""
    out = IntermediateTensors({name: tensor * 2 for name, tensor in it.items()})
    if "extra" in it:
        out["extra"] = it["extra"] - 1
    total = sum(it[name].sum() for name in it)
    rows = it[:2]["hidden"] if len(it) > 1 else it["hidden"]
    return out, {"inner": IntermediateTensors({"rows": rows, "same": it["hidden"]})}, total


def sliced(it):
    return it[1:]


def direct(it):
    return it.tensors["hidden"] + it.tensors["residual"]


@pytest.mark.parametrize("model", [nested, sliced, direct])
@pytest.mark.parametrize("config", [EAGER, VARIANTS, DROP], ids=["check", "variants", "drop"])
def test_what_a_model_does_with_it(model: Callable[..., Any], config: CompilationConfig) -> None:
    fast = compile_model(model, (made(5),), dynamic_arg_dims={"it": {0: "n"}}, config=config)
    for size in (2, 3, 7, 7, 1, 1, 0):
        assert _parts(fast(made(size))) == _parts(model(made(size))), size


def _parts(value: Any) -> Any:
    """The output with tensors as things that ``==`` compares."""
    if isinstance(value, torch.Tensor):
        return IntermediateTensors({"tensor": value})
    if isinstance(value, dict):
        return {name: _parts(item) for name, item in value.items()}
    return [_parts(item) for item in value] if isinstance(value, tuple) else value


def test_a_tensor_of_the_call_comes_back_itself() -> None:
    fast = compile_model(nested, (made(5),), config=EAGER)
    for _ in range(3):
        it = made(4)
        assert fast(it)[1]["inner"]["same"] is it["hidden"]
    assert fast._states[0]._fast.source is not None


def test_what_a_model_writes_into_it_is_seen() -> None:
    def writes(it):
        it["hidden"] = it["hidden"] + 1
        it["new"] = it["hidden"] * 2
        it["residual"].add_(1)
        return it

    fast = compile_model(writes, (made(5),), config=EAGER)
    for size in (4, 6, 6, 1):
        given, expected = made(size), made(size)
        assert fast(given) is given
        assert writes(expected) == given
        assert list(given) == ["hidden", "residual", "new"]


def test_inside_other_containers() -> None:
    def model(batch, pair):
        return batch["stage"]["hidden"] * 2 + pair[1]["hidden"]

    def arguments(size: int) -> tuple[Any, ...]:
        return {"stage": made(size)}, (3, made(size, "hidden"))

    wanted = {"batch['stage']": {0: "n"}, "pair[1]['hidden']": {0: "n"}}
    fast = compile_model(model, arguments(5), dynamic_arg_dims=wanted, config=EAGER)
    # The residual is in no operation.
    assert sources(fast) == {"n": (("batch['stage']['hidden']", 0), ("pair[1]['hidden']", 0))}
    for size in (3, 8, 1):
        assert torch.equal(fast(*arguments(size)), model(*arguments(size)))


# -------------------------------------------------------------------------------- sizes, conditions


def branching(it):
    if it["mask"].shape[0] > 4:
        return it["hidden"] + 1
    return it["hidden"] - 1


def unequal(hidden: int, mask: int) -> IntermediateTensors:
    return IntermediateTensors({"hidden": filled(hidden, 3), "mask": filled(mask)})


def test_a_condition_on_a_tensor_that_only_decides() -> None:
    fast = compile_model(branching, (unequal(6, 6),), config=EAGER)
    assert sources(fast) == {
        "it__hidden_0": (("it['hidden']", 0),),
        "it__mask_0": (("it['mask']", 0),),
    }
    assert torch.equal(fast(unequal(3, 7)), branching(unequal(3, 7)))
    with pytest.raises(GuardViolation, match="it holds only where it__mask_0 > 4"):
        fast(unequal(3, 4))
    with pytest.raises(GuardViolation, match="'mask' in it"):
        fast(made(5, "hidden"))
    unchecked = compile_model(branching, (unequal(6, 6),), config=DROP)
    with pytest.raises(GuardViolation, match=r"it\['mask'\] is not in this call"):
        unchecked(made(5, "hidden"))


def test_variants_capture_the_other_side() -> None:
    fast = compile_model(branching, (unequal(6, 6),), config=VARIANTS)
    for hidden, mask in [(3, 7), (3, 4), (5, 2), (7, 7)]:
        assert torch.equal(fast(unequal(hidden, mask)), branching(unequal(hidden, mask)))
    assert len(fast.variants) == 2
    with pytest.raises(KeyError, match="no tensor is named 'hidden'"):
        fast(made(5, "mask"))


def test_a_dim_that_the_model_fixes_is_named() -> None:
    def fixed(it):
        both = it["first"] + it["second"]  # these two become one size
        return both.sum() + (it["hidden"] + torch.zeros(5, 1)).sum()

    with pytest.raises(SpecializedDim, match=r"it\['hidden'\].size\(0\) .* fixed it to 5") as error:
        compile_model(fixed, (made(5, "hidden", "first", "second"),), config=EAGER)
    assert (error.value.path, error.value.dim) == ("it['hidden']", 0)
    assert isinstance(error.value.location, SourceLocation)
    assert error.value.location.text.startswith("return both.sum()")


def test_two_sizes_that_the_model_makes_one_are_reported_with_their_paths() -> None:
    fast = compile_model(direct, (made(5),), config=EAGER)
    (note,) = fast.compilation.captured.notes
    assert "(it['residual'].size(0)) and it__hidden_0 (it['hidden'].size(0)) are one size" in note
    (unified,) = fast.compilation.audit().specializations
    assert unified.source == "it['residual'].size(0)"


@pytest.mark.parametrize("size", [0, 1])
def test_an_example_of_size_0_or_1_is_captured_at_a_larger_one(size: int) -> None:
    fast = compile_model(Stage(), call(size), config=EAGER)
    assert run(fast, *call(6)) == run(fast.model_before_compiling, *call(6))


def test_size_1_is_captured_once() -> None:
    fast = compile_model(nested, (made(5),), config=EAGER)
    fast(made(1))
    before = counters.captured
    for _ in range(3):
        fast(made(1))
    assert counters.captured == before


def test_a_size_in_the_output_beside_it() -> None:
    def model(it):
        return IntermediateTensors({"twice": it["hidden"] * 2}), it["hidden"].shape[0]

    fast = compile_model(model, (made(5),), config=EAGER)
    for size in (4, 1, 7):
        assert fast(made(size)) == model(made(size))


def test_inputs_of_other_sizes_are_resized_inside() -> None:
    wanted = {"ids": {0: "n"}, "intermediate": {0: "n"}}
    fast = compile_model(Stage(), call(5), dynamic_arg_dims=wanted, config=EAGER)
    (ids, it), kwargs = inputs_at_point(fast.compilation.captured, {"n": 8})
    assert kwargs == {}
    assert ids.shape == (8,)
    assert torch.equal(it["hidden"], made(5)["hidden"].repeat(2, 1)[:8])
    assert it["residual"].shape == (8, 3)


# ---------------------------------------------------------------------------- calls of another form


@pytest.mark.parametrize(
    ("it", "message"),
    [
        pytest.param(
            made(4, "hidden"), "'residual' in intermediate, read at .*: hidden = ", id="1"
        ),
        pytest.param(made(4, "residual"), "'hidden' in intermediate", id="another"),
        pytest.param(None, "intermediate is an IntermediateTensors.* Now it is None", id="None"),
        pytest.param(made(4).tensors, "intermediate is an IntermediateTensors", id="dict"),
        pytest.param(
            IntermediateTensors({k: t.double() for k, t in made(4).items()}),
            r"intermediate\['hidden'\] has dtype torch.float64",
            id="dtype",
        ),
        pytest.param(
            IntermediateTensors({"hidden": filled(3, 3), "residual": filled(4, 3)}),
            r"intermediate\['hidden'\].size\(0\) is 3, but must be 4",
            id="other sizes",
        ),
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_check_refuses_a_call_of_another_form(it: Any, message: str, warm: bool) -> None:
    fast = compile_model(Stage(), call(5), config=EAGER)
    if warm:
        run(fast, *call(4))
    with pytest.raises(GuardViolation, match=message):
        run(fast, torch.arange(4), it)
    assert run(fast, *call(4)) == run(fast.model_before_compiling, *call(4))


def test_more_names_than_the_model_reads_do_not_matter() -> None:
    fast = compile_model(Stage(), call(5), config=EAGER)
    more = made(4, "hidden", "residual", "more")
    assert run(fast, torch.arange(4), more) == run(fast.model_before_compiling, *call(4))


@pytest.mark.parametrize(
    ("it", "message"),
    [
        pytest.param(made(4, "hidden", "extra"), "'residual' in it", id="another name"),
        pytest.param(made(4, "hidden"), r"len\(it\) == 2", id="fewer"),
        pytest.param(made(4, "residual", "hidden"), r"list\(it\)\[0\] == 'hidden'", id="order"),
    ],
)
def test_a_model_that_iterates_relies_on_every_name(it: Any, message: str) -> None:
    fast = compile_model(nested, (made(5),), config=EAGER)
    with pytest.raises(GuardViolation, match=f"{message}, read at .*{__file__}"):
        fast(it)
    variants = compile_model(nested, (made(5),), config=VARIANTS)
    for each in (it, made(6), it):
        assert _parts(variants(each)) == _parts(nested(each))
    assert len(variants.variants) == 2


@pytest.mark.parametrize("config", [EAGER, DROP], ids=["check", "drop"])
@pytest.mark.parametrize("it", [made(4, "residual"), None], ids=["missing", "None"])
def test_a_missing_tensor_is_named(config: CompilationConfig, it: Any) -> None:
    fast = compile_model(direct, (made(5),), config=config)
    with pytest.raises(GuardViolation, match=r"it\['hidden'\] is not in this call|it is an Inter"):
        fast(it)


def test_under_variants_the_model_says_what_is_missing() -> None:
    fast = compile_model(Stage(), call(5), config=VARIANTS)
    with pytest.raises(KeyError, match="no tensor is named 'residual'; the names are 'hidden'"):
        run(fast, torch.arange(4), made(4, "hidden"))
    for _ in range(2):
        assert run(fast, torch.arange(4)) == run(fast.model_before_compiling, torch.arange(4))
    assert len(fast.variants) == 2


def test_variants_that_run_no_operation() -> None:
    def model(it):
        return it["residual"] if "residual" in it else it["hidden"]

    fast = compile_model(model, (made(5),), config=VARIANTS)
    for names in [("hidden", "residual"), ("hidden",), ("hidden", "residual")]:
        it = made(4, *names)
        assert fast(it) is it[names[-1]]


def test_a_tensor_inside_that_requires_grad() -> None:
    fast = compile_model(Stage(), call(5), config=EAGER)
    ids, it = call(4)
    it["residual"].requires_grad_()
    with pytest.raises(GradRequired, match="a tensor inside positional input 1"):
        fast(ids, it)


# ----------------------------------------------------------------------------- what the reports say


def test_audit_compares_what_is_inside_with_eager() -> None:
    fast = compile_model(branching, (unequal(6, 6),), config=EAGER)
    audit = fast.compilation.audit({"it__mask_0": fast.compilation.size_ranges[0]})
    assert audit.is_valid(it__hidden_0=3, it__mask_0=5)
    assert not audit.is_valid(it__hidden_0=3, it__mask_0=4)
    texts = set(fast.compilation.guards_frame()["text"])
    assert "it__mask_0 > 4" in texts
    texts |= set(compile_model(nested, (made(5),), config=EAGER).compilation.guards_frame()["text"])
    assert {"len(it) == 2", "'extra' not in it"} <= texts
    assert not [text for text in texts if "_tensors_by_name" in text or "DICT_" in text]


def test_a_comparison_looks_inside() -> None:
    class Model(torch.nn.Module):
        wrong = False

        def forward(self, it):
            factor = 1 if torch.compiler.is_compiling() else 2
            return {"out": IntermediateTensors({"a": it["hidden"] * 2, "b": it["hidden"] * factor})}

    session = Session(Model(), (made(5, "hidden"),), config=EAGER)
    session.update()
    (check,) = compare_with_eager(session, [{"it__hidden_0": 4}])
    assert check.outcome is Outcome.DIFFERENT
    assert "output['out']['b'] differs in 12 of 12 elements" in check.problem
    assert "output['out']['a']" not in check.problem


def test_a_place_in_a_report_is_the_users_line() -> None:
    fast = compile_model(sliced, (made(5),), config=EAGER)
    places = {place.file for piece in fast.compilation.pieces for place in piece.source_lines}
    assert places == {__file__}
