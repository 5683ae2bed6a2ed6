"""Dims that the user asked for, checked against the call; and those that annotations ask for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional, Union

import pytest
import torch
from torch import Tensor

from explorer.errors import ConfigError, InputError
from explorer.intermediate_tensors import IntermediateTensors
from explorer.stages.annotations import tensor_parameters
from explorer.stages.dynamic_dims import dynamic_dims, inferred_dims
from tests.explorer.comparing import filled

if TYPE_CHECKING:
    from nowhere import Missing  # pyright: ignore[reportMissingImports]

X = filled(4, 3)
STATE = IntermediateTensors({"hidden": filled(4, 3), "residual": filled(4, 3, 2)})
ARGUMENTS = {"x": X, "state": STATE, "k": 3, "mask": None, "batch": {"ids": X, "s": STATE}}


def asked(wanted: Any, unbacked: Any = None, arguments: Any = ARGUMENTS) -> list[Any]:
    """(path, dim, name) of each dim, with "unbacked" after it where it is."""
    found = dynamic_dims(arguments, wanted, unbacked)
    return [(d.path, d.dim, d.name, *["unbacked"] * d.unbacked) for d in found]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param({"x": 0}, [("x", 0, None)], id="int"),
        pytest.param({"x": [0, -1]}, [("x", 0, None), ("x", 1, None)], id="list"),
        pytest.param({"x": {0: "n"}}, [("x", 0, "n")], id="named"),
        pytest.param({"state['hidden']": 0}, [("state['hidden']", 0, None)], id="path"),
        pytest.param({'state["hidden"]': 0}, [("state['hidden']", 0, None)], id="other quotes"),
        pytest.param(
            {"state": 0},
            [("state['hidden']", 0, None), ("state['residual']", 0, None)],
            id="int for all inside",
        ),
        pytest.param(
            {"state": -1},
            [("state['hidden']", 1, None), ("state['residual']", 2, None)],
            id="negative dim by the rank of each",
        ),
        pytest.param(
            {"state": [0, 1]},
            [
                ("state['hidden']", 0, None),
                ("state['hidden']", 1, None),
                ("state['residual']", 0, None),
                ("state['residual']", 1, None),
            ],
            id="list for all inside",
        ),
        pytest.param(
            {"state": {0: "n"}},
            [("state['hidden']", 0, "n"), ("state['residual']", 0, "n")],
            id="one name for all inside",
        ),
        pytest.param(
            {"state": 0, "state['residual']": {0: "m"}},
            [("state['hidden']", 0, None), ("state['residual']", 0, "m")],
            id="one of them named apart",
        ),
        pytest.param(
            {"batch['s']": 0},
            [("batch['s']['hidden']", 0, None), ("batch['s']['residual']", 0, None)],
            id="inside a dict",
        ),
        pytest.param({"mask": 0}, [], id="None is passed over"),
        pytest.param({"mask['ids']": 0, "x": 0}, [("x", 0, None)], id="a path inside None"),
    ],
)
def test_what_a_key_stands_for(wanted: Any, found: list[Any]) -> None:
    assert asked(wanted) == found


def test_an_empty_one_has_no_dims() -> None:
    assert asked({"state": 0}, arguments={"state": IntermediateTensors({})}) == []


def test_unbacked_dims_are_found_in_the_same_way() -> None:
    assert asked({"state": {0: "n"}}, {"state": 0, "mask": 0}) == [
        ("state['hidden']", 0, "n", "unbacked"),
        ("state['residual']", 0, "n", "unbacked"),
    ]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        pytest.param(
            {"k": [0]},
            r"Unsupported dynamic dimensions \[0\] for argument k with type int in "
            r"dynamic_arg_dims: only tensors and IntermediateTensors have dims; tensors are at x, "
            r"state\['hidden'\]",
            id="int",
        ),
        pytest.param(
            {"batch": {0: "n"}},
            r"Unsupported dynamic dimensions \{0: 'n'\} for argument batch with type dict in "
            r"dynamic_arg_dims: it is no tensor but holds batch\['ids'\], batch\['s'\]\['hidden'\]"
            r".*: name one of those",
            id="dict",
        ),
        pytest.param({"stat": 0}, r"'stat', which is no argument.*nearest: state", id="typo"),
        pytest.param(
            {"state['hiden']": 0}, r"which is no argument.*nearest: state\['hidden'\]", id="name"
        ),
        pytest.param(
            {"state": 2},
            r"\[\"state\['hidden'\]\"\] asks for dim 2, but state\['hidden'\] has 2 dims",
            id="a dim that one of them has not",
        ),
        pytest.param({3: 0}, "has the key 3", id="key"),
        pytest.param([("x", 0)], "must be a dict", id="no dict"),
    ],
)
def test_what_has_no_dims_is_refused_by_name(wanted: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(wanted)


def test_tensors_of_one_name_must_have_one_size() -> None:
    state = IntermediateTensors({"a": filled(4, 3), "b": filled(5, 3)})
    with pytest.raises(InputError, match=r"'n' is 4 in state\['a'\].size\(0\) and 5 in state\['b"):
        asked({"state": {0: "n"}}, arguments={"state": state})


# -------------------------------------------------------------------------------------- annotations
# The texts of these annotations are resolved at run time, since this module has the __future__.


def plain(x: Tensor):
    return x


def optional(x: Optional[torch.Tensor] = None):  # noqa: UP045
    return x


def union(x: Union[None, Tensor]):  # noqa: RUF036, UP007
    return x


def bar(x: torch.Tensor | None = None):
    return x


def floats(x: torch.FloatTensor):
    return x


def longs(x: torch.LongTensor | None):
    return x


def bools(x: Optional[torch.BoolTensor]):  # noqa: UP045
    return x


def parameter(x: torch.nn.Parameter):
    return x


def text_inside(x: Optional["Tensor"]):  # noqa: UP037, UP045
    return x


def described(x: Annotated[Tensor, "ids"]):
    return x


def stage(x: IntermediateTensors):
    return x


def stage_or_none(x: IntermediateTensors | None = None):
    return x


def either(x: Tensor | IntermediateTensors):
    return x


def number(x: int):
    return x


def in_a_dict(x: dict[str, Tensor]):
    return x


def in_a_list(x: Optional[list[Tensor]]):  # noqa: UP045
    return x


def nothing(x):
    return x


TENSORS = [plain, optional, union, bar, floats, longs, bools, parameter, text_inside, described]
TENSORS += [stage, stage_or_none, either]


@pytest.mark.parametrize("function", TENSORS, ids=lambda function: function.__name__)
def test_annotations_of_tensors(function: Callable[..., Any]) -> None:
    assert tensor_parameters(function).tensors == {"x"}
    resolved = {"x": eval(function.__annotations__["x"], globals())}
    function = functools.wraps(function)(lambda x: x)
    function.__annotations__ = resolved
    del function.__wrapped__
    assert tensor_parameters(function).tensors == {"x"}


@pytest.mark.parametrize(
    "function", [number, in_a_dict, in_a_list, nothing], ids=lambda function: function.__name__
)
def test_annotations_of_something_else(function: Callable[..., Any]) -> None:
    found = tensor_parameters(function)
    assert (found.tensors, found.unresolved) == (frozenset(), frozenset())


def partly(x: Missing, y: Tensor, z: Missing | None = None, k: int = 3) -> Missing:
    return x


def test_an_annotation_that_only_the_type_checker_sees_counts_by_the_value() -> None:
    found = tensor_parameters(partly)
    assert (found.tensors, found.unresolved) == ({"y"}, {"x", "z"})
    assert inferred_dims(partly, {"x": 3, "y": X, "z": None, "k": 3}) == {"y": 0}
    assert inferred_dims(partly, {"x": X, "y": X, "z": {"a": X}, "k": 3}) == {"x": 0, "y": 0}
    assert inferred_dims(partly, {"x": 1, "y": X, "z": STATE, "k": 3}) == {
        "y": 0,
        "z['hidden']": 0,
        "z['residual']": 0,
    }


def several(x: Tensor, state: IntermediateTensors | None, table, k: int = 3):
    return x


def test_dim_0_of_every_tensor_in_an_annotated_argument() -> None:
    arguments = {"x": X, "state": STATE, "table": X, "k": 3}
    expected = {"x": 0, "state['hidden']": 0, "state['residual']": 0}
    assert inferred_dims(several, arguments) == expected
    assert inferred_dims(several, {**arguments, "state": None}) == {"x": 0}
    scalar = IntermediateTensors({"step": torch.tensor(1.0), "hidden": X})
    assert inferred_dims(several, {"x": X, "state": scalar}) == {"x": 0, "state['hidden']": 0}


@pytest.mark.parametrize("function", [nothing, in_a_dict, number])
def test_without_annotations_dim_0_of_every_tensor(function: Callable[..., Any]) -> None:
    arguments = {"x": {"ids": X, "state": STATE, "step": torch.tensor(1.0)}}
    expected = {"x['ids']": 0, "x['state']['hidden']": 0, "x['state']['residual']": 0}
    assert inferred_dims(function, arguments) == expected


def variadic(*rest: Tensor, **named: IntermediateTensors | None):
    return rest


def test_the_annotation_of_variadic_arguments_is_that_of_each() -> None:
    arguments = {"rest": (X, X), "named": {"a": STATE, "b": None}}
    assert inferred_dims(variadic, arguments) == {
        "rest[0]": 0,
        "rest[1]": 0,
        "named['a']['hidden']": 0,
        "named['a']['residual']": 0,
    }


def test_a_decorated_function_counts_as_what_it_wraps() -> None:
    @functools.wraps(several)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return several(*args, **kwargs)

    assert inferred_dims(wrapper, {"x": X, "state": None, "table": X, "k": 3}) == {"x": 0}
