"""An audit of a captured graph, against the graph and the model run at every size of a domain."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import sympy
import torch
from torch import nn

from explorer import (
    AuditStatus,
    ConfigError,
    DynamicShapesConfig,
    DynamicShapesType,
    GuardViolation,
    OutOfRange,
    SizeRange,
    compile_model,
)
from explorer.artifacts import EagerOutcome, GuardOrigin, GuardRecord, PointState
from explorer.guards.audit import audit as audit_graph
from tests.explorer.guards.brute_force import (
    EAGER,
    compare,
    compilation_of,
    sizes_in,
    valid_points,
)

Tensor = torch.Tensor
SMALL = SizeRange(1, 60)


def equal(x):
    return x * 2 if x.shape[0] == 4 else x + 1


def above(x):
    if x.shape[0] > 20:
        return x * 2
    return x * 100


def modulo(x):
    if x.shape[0] % 8 == 0:
        return x * 2
    return x * 100


def nested(x):
    n = x.shape[0]
    if n > 20:
        return x * 2 if n % 16 == 0 else x * 3
    if n == 4:
        return x * 5
    return x * 7 if n <= 12 else x * 11


def halved(x):
    left = x.shape[0]
    while left > 5:
        x = x * 2
        left = left // 2
    return x


def both(x):
    if x.shape[0] > 10 and x.shape[0] % 4 == 0:
        return x * 2
    return x * 3 if x.shape[0] <= 10 else x * 5


def either(x):
    if x.shape[0] < 10 or x.shape[0] % 4 == 0:
        return x * 2 if x.shape[0] < 10 else x * 3
    return x * 5


def key(x):
    return x * {0: 2, 1: 3, 3: 5}.get(x.shape[0] // 8, 100)


def unrolled(x):
    for _ in range(x.shape[0] // 10):
        x = x * 2
    return x


def asserted(x):
    assert x.shape[0] != 13, "13 rows are not supported"
    return x * 2


def one_apart(x):
    return x * 2 if x.shape[0] == 1 else x + 1


def empty_apart(x):
    return x * 2 if x.shape[0] < 2 else x + 1


def shrinking(x):
    return x.expand(x.shape[0], 16) + x[:1].sum() if x.shape[0] < 30 else x * 3


ONE_DIM = [
    pytest.param(equal, 9, id="=="),
    pytest.param(above, 9, id="> not taken"),
    pytest.param(above, 30, id="> taken"),
    pytest.param(modulo, 9, id="modulo not taken"),
    pytest.param(modulo, 16, id="modulo taken"),
    *(pytest.param(nested, n, id=f"nested at {n}") for n in (33, 48, 7, 14)),
    *(pytest.param(halved, n, id=f"while at {n}") for n in (3, 9, 40)),
    *(pytest.param(both, n, id=f"and at {n}") for n in (7, 13, 24)),
    *(pytest.param(either, n, id=f"or at {n}") for n in (7, 13, 24)),
    *(pytest.param(key, n, id=f"dict key at {n}") for n in (4, 9, 25)),
    *(pytest.param(unrolled, n, id=f"range at {n}") for n in (5, 25)),
    pytest.param(asserted, 9, id="assert"),
    pytest.param(one_apart, 9, id="1 apart"),
    pytest.param(empty_apart, 9, id="1 below a bound"),
    pytest.param(shrinking, 9, id="expand"),
]


@pytest.mark.parametrize(("model", "example"), ONE_DIM)
def test_valid_sizes_are_those_where_the_graph_gives_the_result_of_eager(
    model: Any, example: int
) -> None:
    compilation = compilation_of(model, {"n": example})
    domain = {"n": SMALL}
    right, failing = compare(compilation, domain)
    audit = compilation.audit(SMALL)
    assert audit.status is AuditStatus.EXACT
    assert audit.dimensions == ("n",)
    assert audit.valid is not None
    valid = {(size,) for size in [*sizes_in(audit.valid), *audit.valid_by_probe]}
    assert valid == right
    assert valid_points(audit, domain) == right
    assert {(size,) for size in sizes_in(audit.eager_fails)} == failing
    wrong = {(size,) for each in audit.violations for size in sizes_in(each.intervals)}
    assert wrong == {(n,) for n in range(1, 61)} - right - failing
    assert audit.not_known == ()
    assert audit.replay_agrees is True


def test_a_branch_on_one_size_is_found_with_its_line_and_columns() -> None:
    audit = compilation_of(equal, {"n": 9}, config=EAGER.replace(max_size=8192)).audit()
    assert audit.valid == ((2, 3), (5, 8192))
    assert audit.valid_by_probe == (1,)
    (violation,) = audit.violations
    assert violation.intervals == ((4, 4),)
    assert violation.guard.text == "n != 4"
    assert violation.dimension == "n"
    assert violation.site is not None
    assert violation.site.text == "return x * 2 if x.shape[0] == 4 else x + 1"
    assert violation.site.column is not None
    (group,) = audit.groups
    assert (group.signature, group.intervals, group.points) == ((0,), ((4, 4),), 1)
    assert group.eager is EagerOutcome.WORKS
    assert not group.is_presumed
    text = audit.report()
    assert "right for    2-3, 5-8192 (8,190 sizes)" in text
    assert "wrong at     4 (1 size)" in text


def grouped(x):
    return x.view(-1, 4, 16).sum(1)


def grouped_doubled(x):
    return x.view(-1, 4, 16) * 2


@pytest.mark.parametrize(
    # Torch also keeps what its own code tested on the way: 4 is left out though it is right.
    ("model", "left_out"),
    [(grouped, set()), (grouped_doubled, {(4,)})],
)
def test_sizes_that_eager_rejects_are_no_violation(model: Any, left_out: set[Any]) -> None:
    compilation = compilation_of(model, {"n": 8})
    domain = {"n": SMALL}
    right, failing = compare(compilation, domain)
    audit = compilation.audit(SMALL)
    assert audit.valid is not None
    assert {(size,) for size in sizes_in(audit.eager_fails)} == failing
    assert {(size,) for size in sizes_in(audit.valid)} == right - left_out
    wrong = {(size,) for each in audit.violations for size in sizes_in(each.intervals)}
    assert wrong == left_out
    assert "eager fails  1-3, 5-7" in audit.report()


def test_a_size_where_both_fail_is_apart_from_one_where_only_the_graph_is_wrong() -> None:
    def model(x):
        if x.shape[0] > 20:
            if x.shape[0] % 2:
                raise ValueError("odd")
            return x * 2
        return x * 3

    audit = compilation_of(model, {"n": 9}).audit(SMALL)
    # One signature, so the odd sizes are told by running: all of them, 40 being fewer than 64.
    (group,) = audit.groups
    assert group.eager is EagerOutcome.MIXED
    assert not group.is_presumed
    assert sizes_in(audit.eager_fails) == list(range(21, 61, 2))
    (violation,) = audit.violations
    assert sizes_in(violation.intervals) == list(range(22, 61, 2))
    assert {probe.problem for probe in group.probes} == {"", "ValueError: odd"}


# ----------------------------------------------------------------------------- several dimensions


def two(x: Tensor, y: Tensor) -> Tensor:
    s = x.sum(0) + y.sum(0)
    if x.shape[0] > y.shape[0]:
        return s * 2
    return s * 3 if y.shape[0] == 7 else s * 5


def sums(x: Tensor, y: Tensor) -> Tensor:
    s = x.sum(0) + y.sum(0)
    return s * 2 if x.shape[0] + y.shape[0] > 3 else s * 3


def apart(x: Tensor, y: Tensor) -> Tensor:
    s = x.sum(0) + y.sum(0)
    s = s * 2 if x.shape[0] > 10 else s * 3
    return s * 5 if y.shape[0] % 4 == 0 else s


def number(x: Tensor, k: int) -> Tensor:
    if k > 3:
        return x * k if x.shape[0] > 2 * k else x * k * 3
    return x * k * 100


TWO_DIMS = [
    *(pytest.param(two, {"nx": x, "ny": y}, id=f"two at {x}, {y}") for x, y in ((9, 5), (5, 9))),
    pytest.param(sums, {"nx": 9, "ny": 5}, id="a sum that 1 changes"),
    pytest.param(apart, {"nx": 9, "ny": 5}, id="no condition on both"),
    *(pytest.param(number, {"n": 20, "k": k}, id=f"int argument at {k}") for k in (2, 5)),
]
GRID = SizeRange(1, 16)


@pytest.mark.parametrize(("model", "example"), TWO_DIMS)
def test_two_dimensions_are_decided_at_every_point(model: Any, example: dict[str, int]) -> None:
    config = EAGER.replace(max_size=16)
    if "k" in example:
        config = EAGER
    compilation = compilation_of(model, example, config=config)
    domain = {name: GRID if name != "n" else SizeRange(1, 24) for name in example}
    right, failing = compare(compilation, domain)
    assert failing == set()
    audit = compilation.audit(domain)
    assert audit.status is AuditStatus.EXACT
    assert audit.valid is None
    assert valid_points(audit, domain) == right
    region = audit.region
    found = region.where(PointState.VALID) | region.where(PointState.VALID_BY_PROBE)
    first, second = region.axes.values()
    assert {(int(first[i]), int(second[j])) for i, j in np.argwhere(found)} == right
    assert np.array_equal(region.mask, region.where(PointState.VALID))
    name, other = audit.dimensions
    for value in (2, 7, 16):
        row = {size for size in range(2, 17) if (size, value) in right}
        assert set(sizes_in(audit.intervals(name, {other: value}))) - {1, *range(17, 99)} == row


def test_an_int_argument_varies_only_when_it_is_named() -> None:
    compilation = compilation_of(number, {"n": 20, "k": 5})
    audit = compilation.audit(SMALL)
    assert audit.dimensions == ("n",)
    assert audit.valid == ((11, 60),)
    assert audit.is_valid(n=30)
    assert not audit.is_valid(n=30, k=6)
    varied = compilation.audit({"k": SizeRange(0, 9)})
    assert varied.dimensions == ("n", "k")
    by_value = [each for each in varied.violations if each.dimension == "k"]
    assert [each.intervals for each in by_value] == [((0, 4), (6, 9))]


def test_a_large_plane_is_exact_when_no_condition_reads_both_sizes() -> None:
    config = EAGER.replace(max_size=8192)
    audit = compilation_of(apart, {"nx": 9, "ny": 5}, config=config).audit()
    assert audit.status is AuditStatus.EXACT
    assert sum(each.points for each in audit.groups) == 8192 * 8192 - 10 * 6144
    found = {each.guard.text: each.intervals for each in audit.violations}
    assert found["nx <= 10"] == ((11, 8192),)
    assert sizes_in(found["(ny % 4) != 0"]) == list(range(4, 8193, 4))


def test_more_than_two_dimensions_are_sampled_and_said_so() -> None:
    def three(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        s = x.sum(0) + y.sum(0) + z.sum(0)
        return s * 2 if x.shape[0] > y.shape[0] + z.shape[0] else s * 3

    config = EAGER.replace(max_size=8192)
    audit = compilation_of(three, {"a": 9, "b": 3, "c": 4}, config=config).audit()
    assert audit.status is AuditStatus.SAMPLED
    assert "of 549,755,813,888 points" in audit.coverage
    assert audit.coverage in audit.report()
    assert audit.region.mask.shape == audit.region.axes["a"].shape
    axes = audit.region.axes
    assert np.array_equal(
        audit.region.mask,
        (axes["a"] > axes["b"] + axes["c"]) & (axes["b"] > 1) & (axes["c"] > 1),
    )
    for a, b, c in ((5001, 2000, 3000), (5000, 2000, 3000), (3, 1, 1), (2, 1, 1)):
        assert audit.is_valid(a=a, b=b, c=c) == (a > b + c)
    assert audit.intervals("a", {"b": 2000, "c": 3000}) == ((5001, 8192),)


# ------------------------------------------------------------------------------ 0, 1 and not known


def windows(x):
    n = x.shape[0]
    padded = nn.functional.pad(x, (0, 0, 0, (-n) % 4)).view(-1, 4, x.shape[1])
    return padded.roll(1, 1).flatten(0, 1)[:n]


RIGHT = (PointState.VALID, PointState.VALID_BY_PROBE)


@pytest.mark.parametrize("evaluates", [False, True], ids=["checked", "evaluated"])
def test_size_one_is_decided_by_its_capture_not_by_the_conditions(evaluates: bool) -> None:
    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(evaluate_guards=evaluates))
    compiled = compile_model(
        windows, (torch.ones(6, 3),), dynamic_arg_dims={"x": {0: "n"}}, config=config
    )
    audit = compiled.compilation.audit(SizeRange(1, 9))
    states = dict(zip(range(1, 10), audit.region.states.tolist(), strict=True))
    for size in range(1, 10):
        x = torch.rand(size, 3)
        try:
            is_served = torch.equal(compiled(x), windows(x))
        except GuardViolation:
            is_served = False
        assert audit.is_valid(n=size) is is_served
        assert (tuple(PointState)[states[size]] in RIGHT) is is_served
    assert audit.is_valid(n=1) is not evaluates
    assert not audit.is_valid(n=2)


def scaled(x: Tensor, k: int) -> Tensor:
    return x * k


def test_an_int_argument_counts_at_size_one() -> None:
    audit = compilation_of(scaled, {"n": 6, "k": 5}).audit({"k": SizeRange(4, 6)})
    assert audit.is_valid(n=1, k=5)
    assert not audit.is_valid(n=1, k=6)


def test_sizes_above_max_size_are_valid_only_where_the_model_serves_them() -> None:
    config = EAGER.replace(max_size=64)
    audit = compilation_of(equal, {"n": 9}, config=config).audit(SizeRange(1, 128))
    assert audit.valid == ((2, 3), (5, 128))
    assert [audit.is_valid(n=n) for n in (0, 4, 64, 65)] == [True, False, True, False]
    config = config.replace(out_of_range=OutOfRange.EAGER)
    audit = compilation_of(equal, {"n": 9}, config=config).audit()
    assert audit.is_valid(n=65)


def test_size_zero_runs_the_model_itself() -> None:
    audit = compilation_of(equal, {"n": 9}).audit(SizeRange(0, 8))
    assert audit.is_valid(n=0)
    assert audit.valid == ((2, 3), (5, 8))
    assert audit.notes == ("a call of size 0 is served by the model itself",)
    assert audit.region.where(PointState.RUNS_EAGERLY).tolist() == [True] + [False] * 8


def test_another_graph_at_size_one_is_a_violation_with_the_difference() -> None:
    audit = compilation_of(one_apart, {"n": 9}).audit(SMALL)
    assert audit.valid == ((2, 60),)
    assert audit.valid_by_probe == ()
    (violation,) = audit.violations
    assert violation.intervals == ((1, 1),)
    assert violation.guard.text == "n >= 2"
    assert "operator.add" in violation.text
    assert "operator.mul" in violation.text
    assert audit.settled[0].difference == violation.text


@pytest.mark.parametrize("kind", ["backed", "unbacked"])
def test_what_torch_check_refuses_fails_in_eager_too(kind: str) -> None:
    def model(x):
        torch._check(x.shape[0] > 5)
        return x * 2

    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(DynamicShapesType(kind)))
    audit = compilation_of(model, {"n": 9}, config=config).audit(SMALL)
    assert audit.valid == ((6, 60),)
    assert audit.eager_fails == ((1, 5),)
    assert audit.violations == ()
    assert audit.replay_agrees is True
    (group,) = audit.groups
    assert audit.guards[group.signature[0]].text == "n > 5"
    assert not group.is_presumed


@pytest.mark.parametrize("kind", ["unbacked", "backed_size_oblivious"])
def test_size_one_is_settled_though_no_bound_leaves_it_out(kind: str) -> None:
    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(DynamicShapesType(kind)))
    audit = compilation_of(lambda x: x + 1, {"n": 9}, config=config).audit(SMALL)
    assert audit.valid == ((2, 60),)
    assert audit.valid_by_probe == (1,)


def test_one_unknown_condition_means_that_nothing_is_called_valid() -> None:
    normalised = compilation_of(equal, {"n": 9}).normalised
    stride = sympy.Ne(sympy.Symbol("s7", integer=True), 16)
    unknown = GuardRecord(stride, "x.stride(0) != 16", GuardOrigin.OPERATOR)
    captured = dataclasses.replace(
        normalised.captured, guards=(*normalised.captured.guards, unknown)
    )
    found = audit_graph(dataclasses.replace(normalised, captured=captured), EAGER, SMALL)
    assert found.status is AuditStatus.UNKNOWN
    assert found.valid == ()
    assert found.valid_by_probe == ()
    assert found.not_known == ((1, 3), (5, 60))
    assert not found.is_valid(n=20)
    assert found.intervals("n") == ()
    (reason,) = found.unknown
    assert "x.stride(0) != 16" in reason
    assert "s7, which is no dynamic size" in reason
    assert reason in found.report()
    assert found.violations[0].intervals == ((4, 4),)


def test_what_the_capture_could_not_see_makes_the_audit_unknown() -> None:
    normalised = compilation_of(equal, {"n": 9}).normalised
    captured = dataclasses.replace(normalised.captured, unknown=("torch has no such name",))
    found = audit_graph(dataclasses.replace(normalised, captured=captured), EAGER, SMALL)
    assert found.status is AuditStatus.UNKNOWN
    assert found.unknown == ("torch has no such name",)
    assert found.valid == ()


def test_a_capture_made_by_hand_leaves_eager_and_size_one_unknown() -> None:
    normalised = compilation_of(equal, {"n": 9}).normalised
    captured = dataclasses.replace(normalised.captured, request=None)
    found = audit_graph(dataclasses.replace(normalised, captured=captured), EAGER, SMALL)
    assert found.valid == ((2, 3), (5, 60))
    assert found.not_known == ((1, 1),)
    assert found.groups[0].eager is EagerOutcome.NOT_KNOWN
    assert found.violations[0].intervals == ((4, 4),)
    assert any("made by hand" in note for note in found.notes)


def test_a_static_dim_is_no_dimension() -> None:
    def model(x):
        return x * 2 if x.shape[1] == 16 else x + 1

    audit = compilation_of(model, {"n": 9}).audit(SMALL)
    assert audit.dimensions == ("n",)
    assert audit.valid == ((2, 60),)


def test_a_model_without_dynamic_sizes_is_valid_at_its_only_point() -> None:
    compiled = compile_model(
        lambda x: x + 1, (torch.ones(3),), dynamic_arg_dims={}, config=EAGER
    ).compilation
    audit = compiled.audit()
    assert audit.dimensions == ()
    assert audit.valid is None
    assert audit.is_valid()
    assert audit.violations == ()
    assert "Nothing is dynamic" in audit.report()


# --------------------------------------------------------------------- the model is left as it was


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.last = 0

    def forward(self, x):
        self.calls += 1
        self.last = x.shape[0]
        x += torch.rand(())
        return x * 2 if x.shape[0] > 20 else x * 3


def test_an_audit_leaves_the_model_its_inputs_and_random_numbers_alone() -> None:
    model, example = Counting(), torch.ones(9, 16)
    compilation = compile_model(
        model, (example,), dynamic_arg_dims={"x": {0: "n"}}, config=EAGER
    ).compilation
    buffer, calls, last = model.calls, float(model.calls), model.last
    torch.manual_seed(3)
    state = torch.get_rng_state()
    audit = compilation.audit()
    assert len(audit.groups[-1].probes) > 1
    assert torch.equal(torch.get_rng_state(), state)
    assert model.calls is buffer
    assert float(model.calls) == calls
    assert model.last == last
    assert torch.equal(example, torch.ones(9, 16))
    assert not any(p.requires_grad for p in model.buffers())


def test_inputs_of_probes_come_from_make_inputs() -> None:
    asked = []

    def make_inputs(sizes):
        asked.append(sizes["n"])
        return (torch.ones(sizes["n"], 16),), {}

    compilation = compile_model(
        equal,
        (torch.ones(9, 16),),
        dynamic_arg_dims={"x": {0: "n"}},
        make_inputs=make_inputs,
        config=EAGER,
    ).compilation
    asked.clear()
    compilation.audit(SMALL)
    assert 4 in asked


# --------------------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"m": SMALL}, "domain names 'm', which does not vary; the names are n"),
        ({"n": (1, 5)}, r"domain\['n'\] must be a SizeRange, not \(1, 5\)"),
        (7, "domain must be a SizeRange"),
    ],
)
def test_a_wrong_domain_is_refused(domain: Any, message: str) -> None:
    compilation = compilation_of(equal, {"n": 9})
    with pytest.raises(ConfigError, match=message):
        compilation.audit(domain)


def test_one_range_for_two_sizes_is_refused() -> None:
    compilation = compilation_of(two, {"nx": 9, "ny": 5})
    with pytest.raises(ConfigError, match=r"there are 2: pass .* names of nx, ny"):
        compilation.audit(SMALL)


def test_wrong_points_are_refused() -> None:
    audit = compilation_of(two, {"nx": 9, "ny": 5}).audit({"nx": GRID, "ny": GRID})
    with pytest.raises(ConfigError, match="A value for ny is missing; the names are nx, ny"):
        audit.is_valid(nx=3)
    with pytest.raises(ConfigError, match="no size named 'm'; the names are nx, ny"):
        audit.is_valid(nx=3, m=3)
    with pytest.raises(ConfigError, match="nx must be an int of at least 0, not -1"):
        audit.is_valid(nx=-1, ny=3)
    with pytest.raises(ConfigError, match="no dimension 'm'; the dimensions are nx, ny"):
        audit.intervals("m")
