"""Settings are checked when they are made, and each refusal names the field."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, cast

import pytest

from explorer import (
    CompilationConfig,
    ConfigError,
    CUDAGraphMode,
    DynamicShapesConfig,
    DynamicShapesType,
    ExplorerError,
    GradPolicy,
    GuardPolicy,
    OutOfRange,
)
from explorer.config import LARGEST_SIZE


class NamedBackend:
    name = "named"

    def identity(self) -> str:
        return "named 1"

    def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
        return graph.forward


REFUSED = [
    pytest.param({"compile_sizes": (0,)}, "compile_sizes holds 0, which is not in 1", id="size 0"),
    pytest.param({"compile_sizes": (-3,)}, "compile_sizes holds -3", id="negative size"),
    pytest.param({"compile_sizes": (2**63,)}, f"compile_sizes holds {2**63}", id="size 2**63"),
    pytest.param({"compile_sizes": (4.0,)}, r"compile_sizes must hold ints, not 4\.0", id="float"),
    pytest.param({"compile_sizes": (True,)}, "compile_sizes must hold ints, not True", id="bool"),
    pytest.param(
        {"compile_sizes": ("capture_sizes",)},
        "compile_sizes must hold ints, not 'capture_sizes'",
        id="a word as a size",
    ),
    pytest.param({"compile_sizes": 16}, "compile_sizes must be a tuple of ints, not 16", id="bare"),
    pytest.param(
        {"compile_sizes": "16"}, "compile_sizes must be a tuple of ints, not '16'", id="text"
    ),
    pytest.param(
        {"compile_sizes": (4, 9000)},
        "compile_sizes holds 9000, above max_size=8192: drop it, or set max_size to at least 9000",
        id="size beyond max_size",
    ),
    pytest.param(
        {"compile_ranges_endpoints": (-1,)}, "compile_ranges_endpoints holds -1", id="endpoint -1"
    ),
    pytest.param(
        {"compile_ranges_endpoints": (8.5,)}, "compile_ranges_endpoints must hold ints", id="8.5"
    ),
    pytest.param(
        {"compile_ranges_endpoints": ((1, 8),)},
        r"compile_ranges_endpoints must hold ints, not \(1, 8\)",
        id="a pair as an endpoint",
    ),
    pytest.param(
        {"compile_ranges_endpoints": (2**63,)}, "compile_ranges_endpoints holds", id="2**63"
    ),
    pytest.param({"max_size": 0}, "max_size holds 0, which is not in 1", id="max_size 0"),
    pytest.param({"max_size": -1}, "max_size holds -1", id="max_size negative"),
    pytest.param({"max_size": 2**31}, "max_size holds 2147483648", id="max_size above 32 bits"),
    pytest.param({"max_size": 8.0}, "max_size must hold ints, not 8.0", id="max_size float"),
    pytest.param({"max_size": True}, "max_size must hold ints, not True", id="max_size bool"),
    pytest.param({"max_size": None}, "max_size must hold ints, not None", id="max_size None"),
    pytest.param({"backend": "aot"}, "backend must be 'inductor', 'eager' or an", id="backend"),
    pytest.param({"backend": object()}, "lacks name, identity, compile", id="backend object"),
    pytest.param({"splitting_ops": "aten::relu"}, r"not one string: write \('aten", id="one op"),
    pytest.param({"splitting_ops": (3,)}, "splitting_ops must be a tuple of strings", id="op 3"),
    pytest.param({"splitting_ops": None}, "splitting_ops must be a tuple of", id="ops None"),
    pytest.param({"dispatch_dim": 0}, "dispatch_dim must be the name of a size, not 0", id="dim 0"),
    pytest.param(
        {"out_of_range": "crash"}, "out_of_range must be one of ERROR, EAGER, not 'crash'", id="oor"
    ),
    pytest.param({"grad": 1}, "grad must be one of ERROR, EAGER, not 1", id="grad"),
    pytest.param(
        {"guard_policy": GradPolicy.ERROR}, "guard_policy must be one of DROP, CHECK", id="guards"
    ),
    pytest.param(
        {"dynamic_shapes": "backed"}, "dynamic_shapes must be a DynamicShapesConfig", id="shapes"
    ),
    pytest.param({"dedupe": 1}, "dedupe must be True or False, not 1", id="dedupe"),
    pytest.param({"inductor_config": 3}, "inductor_config must be a ", id="inductor_config"),
    pytest.param(
        {"inductor_config": {1: 2}}, "inductor_config .*name.* not 1", id="inductor_config key"
    ),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_refusal_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        CompilationConfig(**fields)
    assert isinstance(caught.value, ExplorerError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("type_", ["backward", 3, None])
def test_unknown_kind_of_mark_is_refused(type_: Any) -> None:
    with pytest.raises(ConfigError, match=r"dynamic_shapes\.type must be one of BACKED, UNBACKED"):
        DynamicShapesConfig(type=type_)


def test_unknown_field_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="splitting_op"):
        CompilationConfig(splitting_op=("aten::relu",))  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="splitting_op"):
        CompilationConfig().replace(splitting_op=("aten::relu",))


ACCEPTED = [
    pytest.param("compile_sizes", [16, 4], (16, 4), id="a list becomes a tuple"),
    pytest.param("compile_sizes", (1, 8192), (1, 8192), id="sizes at both ends"),
    pytest.param("compile_ranges_endpoints", (0, 1), (0, 1), id="endpoints dropped later"),
    pytest.param("max_size", LARGEST_SIZE, LARGEST_SIZE, id="largest size"),
    pytest.param("splitting_ops", ["a", "b", "a"], ("a", "b"), id="duplicate ops"),
    pytest.param("guard_policy", "drop", GuardPolicy.DROP, id="policy by value"),
    pytest.param("guard_policy", "CHECK", GuardPolicy.CHECK, id="policy by name"),
    pytest.param("out_of_range", "eager", OutOfRange.EAGER, id="out of range by value"),
]


@pytest.mark.parametrize(("name", "given", "kept"), ACCEPTED)
def test_value_is_kept_in_normal_form(name: str, given: Any, kept: Any) -> None:
    assert getattr(CompilationConfig(**{name: given}), name) == kept


def test_backend_object_is_accepted() -> None:
    backend = NamedBackend()
    assert CompilationConfig(backend=backend).backend is backend


def test_kind_of_mark_may_be_text() -> None:
    assert DynamicShapesConfig(type="unbacked").type is DynamicShapesType.UNBACKED  # type: ignore[arg-type]


def test_config_is_frozen_through_and_through() -> None:
    settings = {"max_autotune": False}
    config = CompilationConfig(inductor_config=settings)
    settings["max_autotune"] = True
    assert config.inductor_config["max_autotune"] is False
    with pytest.raises(dataclasses.FrozenInstanceError, match="max_size"):
        config.max_size = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="cannot be changed"):
        config.inductor_config["max_autotune"] = True  # type: ignore[index]


def test_replace_checks_again_and_leaves_the_first_alone() -> None:
    config = CompilationConfig(max_size=64)
    with pytest.raises(ConfigError, match="compile_sizes holds 65, above max_size=64"):
        config.replace(compile_sizes=(65,))
    assert config.replace(compile_sizes=(64,)).compile_sizes == (64,)
    assert config.compile_sizes == ()


def test_equal_settings_make_equal_configs() -> None:
    listed = cast(Any, [4])
    first = CompilationConfig(compile_sizes=listed, inductor_config={"max_autotune": False})
    second = CompilationConfig(compile_sizes=(4,), inductor_config={"max_autotune": False})
    assert first == second
    assert first.changed_fields(second) == {}
    assert first.changed_fields(second.replace(max_size=9)) == {"max_size": (8192, 9)}


def test_config_can_be_copied_and_pickled_but_not_changed() -> None:
    config = CompilationConfig(inductor_config={"max_autotune": False}, compile_sizes=(16,))
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert not config.changed_fields(other)
    for change in (lambda d: d.update(a=1), lambda d: d.pop("max_autotune"), lambda d: d.clear()):
        with pytest.raises(TypeError, match="cannot be changed"):
            change(config.inductor_config)
    with pytest.raises(TypeError, match=r"config\.replace"):
        config.inductor_config["max_autotune"] = True  # type: ignore[index]


# -------------------------------------------------------------------------------------- CUDA graphs

GRAPHS = CompilationConfig(cudagraph_mode=CUDAGraphMode.PIECEWISE)

GRAPHS_REFUSED = [
    pytest.param({"cudagraph_mode": "some"}, "cudagraph_mode must be one of NONE, PIECEWISE, FULL"),
    pytest.param({"cudagraph_capture_sizes": (0,)}, "cudagraph_capture_sizes holds 0, which is no"),
    pytest.param({"cudagraph_capture_sizes": 8}, "cudagraph_capture_sizes must be a tuple of ints"),
    pytest.param({"cudagraph_capture_sizes": ("8",)}, "cudagraph_capture_sizes must hold ints"),
    pytest.param(
        {"cudagraph_capture_sizes": (4, 9000)},
        "cudagraph_capture_sizes holds 9000, above max_size=8192: drop it, or set max_size",
    ),
    pytest.param({"cudagraph_num_of_warmups": -1}, "cudagraph_num_of_warmups holds -1"),
    pytest.param({"cudagraph_num_of_warmups": True}, "cudagraph_num_of_warmups must hold ints"),
    pytest.param({"cudagraph_copy_inputs": 1}, "cudagraph_copy_inputs must be True or False, not"),
    pytest.param({"use_inductor_graph_partition": 1}, "use_inductor_graph_partition must be True"),
    pytest.param(
        {"use_inductor_graph_partition": True, "backend": "eager"},
        "so it needs backend='inductor', not 'eager'",
    ),
    pytest.param(
        {"cudagraph_capture_sizes": (1, 2, 4, 8), "compile_sizes": (3,)},
        "compile_sizes holds 3, which would be padded to 4",
    ),
    pytest.param(
        {"cudagraph_capture_sizes": (1, 2, 4, 8), "compile_sizes": ("cudagraph_capture_sizes", 5)},
        "compile_sizes holds 5, which would be padded to 8",
    ),
    pytest.param({"compile_sizes": (17,)}, "compile_sizes holds 17, which would be padded to 24"),
]


@pytest.mark.parametrize(("fields", "message"), GRAPHS_REFUSED)
def test_settings_of_cuda_graphs_that_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GRAPHS.replace(**fields)


def test_capture_sizes_by_default() -> None:
    sizes = GRAPHS.capture_sizes
    assert sizes[:6] == (1, 2, 4, 8, 16, 24)
    assert (sizes[-1], len(sizes), sizes == tuple(sorted(set(sizes)))) == (512, 51, True)
    assert GRAPHS.replace(max_size=20).capture_sizes == (1, 2, 4, 8, 16)
    assert GRAPHS.replace(max_size=1).capture_sizes == (1,)
    assert CompilationConfig().capture_sizes == ()


def test_capture_sizes_are_sorted() -> None:
    config = GRAPHS.replace(cudagraph_capture_sizes=[8, 1, 4, 8])
    assert config.cudagraph_capture_sizes == config.capture_sizes == (1, 4, 8)
    assert [config.padded_size(size) for size in (1, 2, 4, 5, 8, 9)] == [1, 4, 4, 8, 8, None]


def test_word_for_the_capture_sizes() -> None:
    config = GRAPHS.replace(
        cudagraph_capture_sizes=(4, 8), compile_sizes=("cudagraph_capture_sizes", 16, 8)
    )
    assert config.exact_sizes == (4, 8, 16)
    assert config.in_force().compile_sizes == (4, 8, 16)
    assert config.compile_sizes == ("cudagraph_capture_sizes", 16, 8)
    none = config.replace(cudagraph_mode="none")
    assert none.exact_sizes == (4, 8, 16)


def test_any_compile_size_without_cuda_graphs() -> None:
    config = CompilationConfig(cudagraph_capture_sizes=(1, 2, 4, 8), compile_sizes=(3, 5, 7))
    assert config.exact_sizes == (3, 5, 7)


def test_who_cuts() -> None:
    config = CompilationConfig(splitting_ops=("demo::attention",))
    assert config.cuts_at == ("demo::attention",)
    assert config.replace(use_inductor_graph_partition=True).cuts_at == ()
    traced = config.replace(use_inductor_graph_partition=True, mode="dynamo_trace_once").in_force()
    assert traced.use_inductor_graph_partition is False
