"""Everything that a capture assumed, each with who made it and where."""

import linecache
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from explorer import CompilationConfig, DynamicShapesConfig
from explorer.artifacts import (
    CapturedGraph,
    GuardOrigin,
    GuardRecord,
    RecordedAs,
    SiteKind,
    SpecializationReason,
)
from explorer.errors import SpecializedDim
from explorer.guards.places import source_between
from explorer.stages.capture import CaptureRequest, capture
from explorer.torch_private import recorder
from tests.explorer.guards.asserting_models import asserted, many_kinds

GLOBAL_FLAG = True
UNBACKED = CompilationConfig(dynamic_shapes=DynamicShapesConfig(type="unbacked"))  # type: ignore[arg-type]


def captured(
    model: Callable[..., Any],
    *args: Any,
    dims: Mapping[str, Any] | None = None,
    config: CompilationConfig | None = None,
    **kwargs: Any,
) -> CapturedGraph:
    request = CaptureRequest(model, args, kwargs, dims or {"x": {0: "n"}})
    return capture(request, config or CompilationConfig())


def rows(size: int) -> torch.Tensor:
    return torch.ones(size, 16)


def only(graph: CapturedGraph, origin: GuardOrigin) -> GuardRecord:
    (found,) = [guard for guard in graph.guards if guard.origin is origin]
    return found


def is_four(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] == 4:
        return x * 2
    return x + 1


def test_a_branch_has_its_line_and_columns() -> None:
    guard = only(captured(is_four, rows(10)), GuardOrigin.BRANCH)
    assert guard.text == "n != 4" and guard.sources == ("x.size(0)",)
    assert guard.location is not None
    assert guard.location.line == is_four.__code__.co_firstlineno + 1
    assert source_between(guard.location) == "x.shape[0] == 4"
    assert guard.location.text == "if x.shape[0] == 4:"
    assert guard.user_stack[-1].function == "is_four"
    assert guard.framework is not None and guard.framework.startswith("_dynamo/")


def test_columns_count_characters_not_bytes() -> None:
    def umlaut(x: torch.Tensor) -> torch.Tensor:
        return (x * 2 if "ü" != "ö" and x.shape[0] > 4 else x)  # fmt: skip

    guard = only(captured(umlaut, rows(10)), GuardOrigin.BRANCH)
    assert guard.location is not None
    assert source_between(guard.location) == "x.shape[0] > 4"


def two_tests(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] > 6 and x.shape[0] % 4 == 0:
        return x * 2
    return x + 1


def test_an_and_is_two_sites_on_one_line() -> None:
    graph = captured(two_tests, rows(8))
    places = [site.location for site in graph.branch_sites]
    assert [source_between(each) for each in places] == ["x.shape[0] > 6", "x.shape[0] % 4 == 0"]
    assert {site.kind for site in graph.branch_sites} == {SiteKind.AND_OR}
    assert [site.guards for site in graph.branch_sites] == [(0,), (1,)]


def implied_and_repeated(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] > 8:
        x = x * 2
    if x.shape[0] > 4:
        x = x * 3
    if x.shape[0] > 8:
        x = x * 5
    return x


def test_implied_and_repeated_tests_are_sites_without_a_guard_of_their_own() -> None:
    graph = captured(implied_and_repeated, rows(10))
    assert [guard.text for guard in graph.guards if not guard.is_bound] == ["n > 8"]
    recorded = [site.recorded_as for site in graph.branch_sites]
    assert recorded == [RecordedAs.GUARD, RecordedAs.IMPLIED, RecordedAs.CACHED]


def truthy(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0]:
        return x * 2
    return x


def test_a_test_that_torch_knows_the_answer_of_is_a_site() -> None:
    (site,) = captured(truthy, rows(10)).branch_sites
    assert site.answers == (True,) and site.recorded_as is RecordedAs.IMPLIED
    assert site.location.text == "if x.shape[0]:" and site.kind is SiteKind.IF


def test_every_kind_of_asker_is_told_apart() -> None:
    graph = captured(many_kinds, rows(36))
    kinds = {source_between(site.location): site.kind for site in graph.branch_sites}
    assert kinds == {
        "left > 8": SiteKind.WHILE,
        "x.shape[0] != 9": SiteKind.ASSERT,
        "x.shape[0] != 5": SiteKind.ASSERT,
        "x.shape[0] > 3": SiteKind.TERNARY,
        "range(x.shape[0] // 10)": SiteKind.INT,
    }
    origins = {guard.text: guard.origin for guard in graph.guards}
    assert origins["n != 9"] is GuardOrigin.ASSERT and origins["n != 5"] is GuardOrigin.ASSERT
    assert origins["n != 6"] is GuardOrigin.TORCH_CHECK
    assert origins["(n // 10) == 3"] is GuardOrigin.INT_SPECIALIZATION
    views = [g for g in graph.guards if g.operator == "aten.view.default"]
    assert views and all(g.origin is GuardOrigin.OPERATOR for g in views)
    assert all(g.location and g.location.text == "return x.view(-1, 4, 16)" for g in views)


def test_a_loop_gives_both_answers_at_one_site() -> None:
    site = next(s for s in captured(many_kinds, rows(36)).branch_sites if s.kind is SiteKind.WHILE)
    assert site.answers == (True, False)
    assert len(site.expressions) == 4  # n, n // 2, n // 4, n // 8


def test_a_number_is_the_answer_of_an_int_site() -> None:
    site = next(s for s in captured(many_kinds, rows(36)).branch_sites if s.kind is SiteKind.INT)
    assert site.answers == (3,) and site.text == "n // 10"


def hidden(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] > 8:
        return x * 2
    if x.shape[0] == 5:
        return x * 3
    return x * 4 if x.shape[0] < 3 else x * 7


def test_tests_behind_a_side_that_was_not_taken_are_found_in_the_source() -> None:
    sites = captured(hidden, rows(10)).branch_sites
    missed = [site for site in sites if site.recorded_as is RecordedAs.NOT_REACHED]
    assert [source_between(site.location) for site in missed] == [
        "x.shape[0] == 5",
        "x.shape[0] < 3",
    ]
    assert [site.kind for site in missed] == [SiteKind.IF, SiteKind.TERNARY]
    assert all(not site.answers and site.behind == sites[0].location for site in missed)


def test_an_operand_that_was_not_evaluated_is_not_reached() -> None:
    missed = captured(two_tests, rows(5)).branch_sites[-1]
    assert missed.recorded_as is RecordedAs.NOT_REACHED
    assert source_between(missed.location) == "x.shape[0] % 4 == 0"
    assert missed.kind is SiteKind.AND_OR


def test_zero_one_names_the_operators_that_relied_on_it() -> None:
    guard = only(captured(is_four, rows(10)), GuardOrigin.ZERO_ONE)
    assert guard.text == "n >= 2" and guard.operators == ("aten.add.Tensor",)
    assert guard.location is None


def test_a_bound_that_follows_from_a_test_is_no_zero_one_assumption() -> None:
    graph = captured(implied_and_repeated, rows(10))
    assert [g.origin for g in graph.guards if g.is_bound] == [GuardOrigin.RANGE]


def add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x + y


def test_an_equality_that_an_operator_demands_is_a_specialization() -> None:
    dims = {"x": {0: "n"}, "y": {0: "m"}}
    (found,) = captured(add, rows(7), rows(7), dims=dims).specializations
    assert {found.source, found.value} == {"x.size(0)", "y.size(0)"}
    assert found.reason is SpecializationReason.UNIFIED
    assert found.location is not None and found.location.text == "return x + y"


class Config:
    def __init__(self) -> None:
        self.mode = "silu"


class Values(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = 3
        self.config = Config()
        self.inner = nn.ModuleList([nn.Dropout(), nn.Linear(16, 16)])

    def forward(
        self, x: torch.Tensor, k: int, flag: bool = True, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if self.config.mode == "silu" and GLOBAL_FLAG and flag and mask is None:
            x = x * self.scale + k
        for layer in self.inner:
            x = layer(x)
        return x


@pytest.fixture(scope="module")
def values() -> CapturedGraph:
    return captured(Values().eval(), rows(6), 5)


@pytest.mark.parametrize(
    ("text", "source", "value"),
    [
        ("k == 5", "k", 5),
        ("flag == True", "flag", True),
        ("mask is None", "mask", None),
        ("GLOBAL_FLAG == True", "GLOBAL_FLAG", True),
        ("self.scale == 3", "self.scale", 3),
        ("self.config.mode == 'silu'", "self.config.mode", "silu"),
        ("self.inner[0].training == False", "self.inner[0].training", False),
        ("x.dtype == torch.float32", "x.dtype", torch.float32),
        ("default dtype == torch.float32", "default dtype", torch.float32),
    ],
)
def test_value_guards_are_in_the_users_words(
    values: CapturedGraph, text: str, source: str, value: object
) -> None:
    (guard,) = [each for each in values.value_guards if each.text == text]
    assert guard.sources == (source,) and guard.value == value
    assert guard.origin is GuardOrigin.VALUE


def test_a_value_guard_has_the_line_that_read_it(values: CapturedGraph) -> None:
    guard = next(each for each in values.value_guards if each.sources == ("self.config.mode",))
    assert guard.location is not None
    assert guard.location.text.startswith('if self.config.mode == "silu"')


def test_an_int_argument_is_a_condition_and_a_specialization(values: CapturedGraph) -> None:
    (found,) = values.specializations
    assert (found.source, found.value) == ("k", 5)
    assert found.reason is SpecializationReason.PYTHON_VALUE
    (guard,) = [each for each in values.value_guards if each.expression is not None]
    assert str(guard.expression) == "Eq(k, 5)"


def test_torch_s_own_helpers_are_no_value_guards(values: CapturedGraph) -> None:
    texts = " ".join(each.text for each in values.value_guards)
    assert "___" not in texts and "_dynamo" not in texts and "L['" not in texts


def test_unbacked_tests_are_assertions_of_the_graph() -> None:
    graph = captured(asserted, rows(9), config=UNBACKED)
    assert [guard.text for guard in graph.guards if not guard.is_bound] == []
    found = {guard.text: guard.origin for guard in graph.runtime_asserts}
    assert found == {"n > 5": GuardOrigin.TORCH_CHECK, "n != 7": GuardOrigin.ASSERT}
    assert all(guard.runtime_assert and guard.location for guard in graph.runtime_asserts)


def test_a_dim_that_the_model_fixes_is_an_error_that_knows_the_line() -> None:
    with pytest.raises(SpecializedDim, match=r"x\.size\(0\) .* fixed it to 4 at .*") as raised:
        captured(is_four, rows(4))
    error = raised.value
    assert (error.path, error.dim, error.value) == ("x", 0, 4)
    assert error.location is not None
    assert source_between(error.location) == "x.shape[0] == 4"  # type: ignore[arg-type]


def two_fixed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if x.shape[0] == 5:
        x = x + 1
    if y.shape[0] == 4:
        return x.sum() + y.sum()
    return x.sum()


def test_of_two_equalities_the_one_on_the_fixed_dim_is_named() -> None:
    dims = {"y": {0: "m"}}
    with pytest.raises(SpecializedDim, match=r"y\.size\(0\).*if y\.shape\[0\] == 4:"):
        captured(two_fixed, rows(5), rows(4), dims=dims)


CELL = """
import torch

def of_a_cell(x):
    if x.shape[0] % 8 == 0:
        return x * 2
    return x
"""


def test_a_model_from_a_notebook_cell_has_lines_and_columns() -> None:
    name = "/tmp/ipykernel_1/2.py"
    lines: list[str] = [*CELL.splitlines(keepends=True)]
    linecache.cache[name] = (len(CELL), None, lines, name)
    scope: dict[str, Any] = {}
    exec(compile(CELL, name, "exec"), scope)
    graph = captured(scope["of_a_cell"], rows(10))
    guard = only(graph, GuardOrigin.BRANCH)
    assert guard.location is not None and guard.location.file == name
    assert source_between(guard.location) == "x.shape[0] % 8 == 0"
    assert [site.kind for site in graph.branch_sites] == [SiteKind.IF]


def test_without_a_private_name_conditions_are_still_known_but_not_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "WRAPPED", ("evaluate_expr", "a_name_that_is_gone"))
    graph = captured(is_four, rows(10))
    assert [guard.text for guard in graph.guards] == ["n != 4", "n >= 2"]
    (reason,) = graph.unknown
    assert "has no ShapeEnv.a_name_that_is_gone" in reason


def test_questions_of_torchs_cache_of_shapes_name_the_operator() -> None:
    """The second time an operator meets the same shapes, a cache asks in its place."""

    def twice(x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            first, second = x.split(8, dim=1)
            x = torch.cat([second, first], dim=1)
        return x

    asked = captured(twice, rows(10)).evaluations
    assert "aten.split.Tensor" in {each.operator for each in asked}
    assert not [each for each in asked if each.origin is GuardOrigin.OTHER]
