"""One small check per private torch name: it raises when the name is gone or behaves otherwise.

Written against torch 2.13.0. ``explorer doctor`` runs them, and so does a test. Names are imported
inside the checks, so that one that is missing does not hide the others.
"""

from __future__ import annotations

import inspect
import logging
import tempfile
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias
from unittest.mock import patch

import torch
from torch import fx

from explorer.artifacts.common import Expression
from explorer.torch_private.beside_canaries import BESIDE_CANARIES
from explorer.torch_private.repeat_canaries import REPEAT_CANARIES
from explorer.torch_private.store_canaries import STORE_CANARIES

Canary: TypeAlias = tuple[str, Callable[[], None]]


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise RuntimeError(what)


def _takes(function: Callable[..., Any], *names: str) -> None:
    known = inspect.signature(function).parameters
    missing = [name for name in names if name not in known]
    _expect(not missing, f"has no parameter {', '.join(missing)}")


def _add_one(x: torch.Tensor) -> torch.Tensor:
    return x + 1 if x.shape[0] >= 4 else x - 1


def _captured() -> Any:
    """A capture, by this package, of a function with one dynamic dim and a branch on it."""
    from explorer.torch_private import capture

    example = torch.ones(6)
    capture.mark_backed(example, 0)
    return capture.trace(_add_one, (example,), {})


# ------------------------------------------------------------------------------------------- Dynamo


def _get_traced_fn() -> None:
    from torch._dynamo.convert_frame import get_traced_fn

    linear = torch.nn.Linear(2, 2)
    function, receiver = get_traced_fn(linear)
    _expect(function.__name__ == "forward", "does not find a module's forward")
    _expect(receiver is linear, "does not return what the function is bound to")


def _fullgraph_capture() -> None:
    raw = _captured()
    _expect(raw.graph_module is not None, "backend_input has no graph_module")
    calls = [node for node in raw.graph_module.graph.nodes if node.op == "call_function"]
    _expect(len(calls) == 1, "the graph of x + 1 has not one call")
    _expect(
        len(raw.example_inputs) == len(raw.sources), "sources and example inputs differ in number"
    )
    _expect("L['x']" in raw.sources, f"the source of x is not called L['x'] but {raw.sources}")


def _node_metadata() -> None:
    raw = _captured()
    call = next(node for node in raw.graph_module.graph.nodes if node.op == "call_function")
    _expect("example_value" in call.meta, "a node has no example_value")
    _expect("_add_one" in (call.meta.get("stack_trace") or ""), "a node has no stack_trace")


def _log_guard() -> None:
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    _takes(ShapeEnv._log_guard, "prefix", "g", "forcing_spec")
    guards = _captured().shape_guards
    _expect(len(guards) == 1, "the branch x.shape[0] >= 4 left no single guard")
    _expect(len(guards[0].user_stack) > 0, "a guard has no user stack")


def _evaluate_expr() -> None:
    """Who asked: without it the audit answers "not known"."""
    from explorer.torch_private.recorder import AskedBy

    asked = [each for each in _captured().recording.evaluations if each.asker.position]
    branches = [each for each in asked if each.asker.kind is AskedBy.BRANCH]
    _expect(len(branches) == 1, "the branch x.shape[0] >= 4 is not seen as asked by a branch")
    position = branches[0].asker.position
    _expect(position and position.function == "_add_one", "a question has no instruction")
    _expect(position and position.end_column > position.column, "an instruction has no columns")

    def truthy(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.shape[0] else x

    from explorer.torch_private import capture

    example = torch.ones(6)
    capture.mark_backed(example, 0)
    tests = capture.trace(truthy, (example,), {}).recording.evaluations
    known = [each for each in tests if each.asker.kind is AskedBy.BRANCH]
    _expect(len(known) == 1, "a test whose answer torch knows is not seen as asked by a branch")
    operators = {each.asker.operator for each in asked if each.asker.kind is AskedBy.OPERATOR}
    _expect("aten.add.Tensor" in operators, "the question of x + 1 does not name its operator")


def _guard_entries() -> None:
    """Conditions on Python values: what a guard filter is given."""
    from explorer.torch_private import capture

    def scaled(x: torch.Tensor, k: int) -> torch.Tensor:
        return x * k

    values = capture.trace(scaled, (torch.ones(6), 5), {}).value_guards
    found = {code for guard in values for code in guard.code}
    _expect("L['k'] == 5" in found, "an int argument leaves no guard that says its value")
    _expect(all(guard.user_stack for guard in values if guard.code), "a guard has no user stack")


def _helper(x: torch.Tensor, k: int = 3) -> torch.Tensor:
    return x * k


def _inlined_functions() -> None:
    """Which functions a trace looks into, with the places where it found them."""
    from explorer.torch_private import capture

    def model(x: torch.Tensor) -> torch.Tensor:
        return _helper(x)

    found = capture.trace(model, (torch.ones(6),), {}).functions
    places = {each.qualname: each.places for each in found}
    _expect("_helper" in places, "a function that was looked into is not noticed")
    _expect(places["_helper"] == ("G['_helper']",), "a function's source is not where it is")
    _expect(("default of k", "3") in found[-1].details, "a function's defaults are not known")


def _functions_behind_ops() -> None:
    """The Python functions of a custom op and its fake."""
    from explorer.torch_private.op_functions import op_functions

    library = torch.library.Library("piecewise_explorer_canary_functions", "FRAGMENT")
    name = "piecewise_explorer_canary_functions::op"
    try:
        library.define("op(Tensor x) -> Tensor")
        library.impl("op", _helper, "CompositeExplicitAutograd")
        _expect(op_functions(name).get("fake", _helper) is None, "an op's own function is missed")
        torch.library.register_fake(name, _helper, lib=library)
        _expect(op_functions(name)["fake"] is _helper, "an op's fake is not found")
    finally:
        library._destroy()
    from torch._library.custom_ops import OPDEFS

    made = torch.library.custom_op(f"{name}_made", _helper, mutates_args=())
    _expect(OPDEFS.get(f"{name}_made") is made, "torch.library.custom_op keeps no list")
    functions = op_functions(f"{name}_made")
    _expect(functions["on any device"] is _helper, "an op's function is not found")


def _deferred_runtime_asserts() -> None:
    from explorer.torch_private import capture

    def limited(x: torch.Tensor) -> torch.Tensor:
        torch._check(x.shape[0] > 3)
        return x + 1

    example = torch.ones(6)
    capture.mark_unbacked(example, 0, "n")
    found = capture.trace(limited, (example,), {}).runtime_asserts
    _expect(len(found) == 1, "torch._check on an unbacked size is no run-time assertion")


def _forward_callable() -> None:
    raw = _captured()
    count = len(raw.example_inputs)
    _expect(count == 2, "a dynamic dim is not an input of its own")

    def flat(*values: Any) -> tuple[torch.Tensor]:
        tensor = next(value for value in values if isinstance(value, torch.Tensor))
        return (tensor * 3,)

    result = raw.bind(flat)(torch.ones(5))
    _expect(
        torch.equal(result, torch.full((5,), 3.0)), "a bound capture does not call the function"
    )


def _build_guards() -> None:
    raw = _captured()
    _expect(raw.state.check({"x": torch.ones(9)}), "the guards refuse a call that fits")
    _expect(isinstance(raw.state.explain({"x": torch.ones(9)}), str), "check_verbose has no text")


def _guard_lifetimes() -> None:
    """Guards that are built as captures build theirs go with the capture, not with the model."""
    import weakref

    from torch._dynamo.guards import CheckFunctionManager

    from explorer.torch_private.guard_lifetimes import ending_with_the_capture

    _takes(CheckFunctionManager.id_ref, "obj", "obj_str")
    manager, model = CheckFunctionManager.__new__(CheckFunctionManager), torch.nn.Linear(1, 1)
    manager._weakrefs = {}
    with ending_with_the_capture():
        _expect(manager.id_ref(model, "model") == id(model), "id_ref does not return the id")
    noted = manager.lookup_weakrefs(model)
    _expect(noted is not None and noted() is model, "what id_ref noted is not found")
    gone = weakref.ref(manager)
    del manager
    _expect(gone() is None, "a finalizer of the model holds the guards")


def _guards_in_part() -> None:
    raw = _captured()
    tree = raw.state.tree()
    _expect(tree.children, "a guard manager lists no children")
    sources = frozenset([tree.source, *(child.source for child in tree.children)])
    scope = {"x": torch.ones(9)}
    _expect(raw.state.check_of(sources)(scope), "a part of the guards refuses a call that fits")


def _state_watch() -> None:
    from explorer.torch_private.state_watch import Watched, watch

    module, table = torch.nn.Linear(2, 2), {"a": 1}
    everything = Watched((module,), (table,), (module.weight,))
    for change in (
        lambda: table.update(a=2),
        lambda: module.eval(),
        lambda: setattr(module.weight, "data", torch.ones(2, 3)),
    ):
        with torch.no_grad():
            unchanged = watch(everything)
            _expect(unchanged() and unchanged(), "a watch notices what did not change")
            change()
            _expect(not unchanged(), "a watch does not notice a change")


def _any_autocast() -> None:
    from explorer.torch_private.state_watch import any_autocast

    with torch.autocast("cpu"):
        _expect(any_autocast(), "autocast is not seen")
    _expect(not any_autocast(), "autocast is seen where there is none")


def _hooks() -> None:
    from torch._dynamo.hooks import Hooks

    _takes(Hooks, "guard_filter_fn")


def _dynamo_config() -> None:
    import torch._dynamo.config as config
    import torch.fx.experimental._config as fx_config

    for name in (
        "automatic_dynamic_shapes",
        "assume_static_by_default",
        "skip_nnmodule_hook_guards",
    ):
        _expect(hasattr(config, name), f"torch._dynamo.config has no {name}")
    _expect(hasattr(fx_config, "backed_size_oblivious"), "there is no backed_size_oblivious")
    before = config.automatic_dynamic_shapes
    with config.patch(automatic_dynamic_shapes=not before):
        _expect(config.automatic_dynamic_shapes is not before, "patch does not set")
    _expect(config.automatic_dynamic_shapes is before, "patch does not restore")


def _metrics_context() -> None:
    from torch._dynamo.utils import dynamo_timed, get_metrics_context

    with get_metrics_context(), dynamo_timed("piecewise_explorer_canary"):
        pass


def _module_hooks() -> None:
    """A decorated module runs its own hooks: as ``nn.Module.__call__`` does?"""
    from explorer.torch_private.hooks import call_with_hooks, has_forward_hooks

    module: Any = torch.nn.Linear(2, 2)
    example = torch.ones(1, 2)
    _expect(not has_forward_hooks(module), "a module without hooks seems to have some")
    module.register_forward_pre_hook(lambda m, args, kwargs: (args, kwargs), with_kwargs=True)
    module.register_forward_hook(lambda m, args, kwargs, out: out + 1, with_kwargs=True)
    module.register_forward_hook(lambda m, args, out: out * 2, always_call=True)
    _expect(has_forward_hooks(module), "hooks of a module are not seen")
    given = call_with_hooks(module, module.forward, (example,), {})
    _expect(torch.equal(given, module(example)), "hooks are not run as a call runs them")


def _tracing_context() -> None:
    from torch._guards import TracingContext

    _expect(callable(TracingContext.extract_stack), "there is no extract_stack")


def _layout_questions() -> None:
    from explorer.torch_private.capture import trace
    from explorer.torch_private.recorder import Recording

    def asks(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if (x + 1).is_contiguous() and y.contiguous().stride(0):
            return x + y
        return x - y

    recording = Recording()
    trace(asks, (torch.ones(2, 3), torch.ones(2, 3)), {}, recording=recording)
    asked = [(each.method, each.sources) for each in recording.layout_questions]
    _expect(asked == [("is_contiguous", {"L['x']"})], f"asked {asked}")


def _exceptions() -> None:
    from torch._dynamo import exc

    names = (
        "ObservedException TorchDynamoException TorchRuntimeError UncapturedHigherOrderOpError "
        "Unsupported UserError"
    )
    missing = [name for name in names.split() if not hasattr(exc, name)]
    _expect(not missing, f"has no {', '.join(missing)}")


def _mark_unbacked() -> None:
    from torch._dynamo.decorators import mark_unbacked

    _takes(mark_unbacked, "hint_override", "shape_id")


def _unanswered_question() -> None:
    from explorer.torch_private import capture, failures

    example = torch.ones(6)
    capture.mark_unbacked(example, 0, "n")
    recording = capture.Recording()
    question: Expression = None
    try:
        capture.trace(_add_one, (example,), {}, recording=recording)
    except capture.TRACE_ERRORS as error:
        question = failures.unanswered_question(error)
    _expect(question is not None, "the condition without an answer is not in the error")
    env = recording.shape_env
    names = {} if env is None else failures.unbacked_names(env)
    _expect(question.free_symbols == names.keys(), "an unbacked symbol does not know its shape_id")


def _fake_implementation() -> None:
    from explorer.torch_private import failures

    def fake(x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    name = "piecewise_explorer_canary::copy"
    operator = torch.library.custom_op(
        name, lambda x: x.clone(), mutates_args=(), schema="(Tensor x) -> Tensor"
    )
    operator.register_fake(fake)
    _expect(failures.fake_implementation(name) is fake, "the fake of a custom op is not found")
    other = "piecewise_explorer_canary::other"
    if not hasattr(torch.ops.piecewise_explorer_canary, "other"):
        torch.library.define(other, "(Tensor x) -> Tensor")
    torch.library.register_fake(other, fake)
    _expect(failures.fake_implementation(other) is fake, "the fake of an op is in another wrapper")


def _constant_predicate() -> None:
    from explorer.torch_private import capture

    def model(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.shape[0] == 4, lambda x: x * 2, lambda x: x + 1, (x,))

    found = capture.trace(model, (torch.ones(6),), {}).recording.constant_predicates
    _expect(len(found) == 1, "torch.cond does not warn of a constant in the known words")


def _compiled_wrapper() -> None:
    linear = torch.nn.Linear(2, 2)
    wrapped: Any = torch.compile(linear)
    _expect(getattr(wrapped, "_orig_mod", None) is linear, "a compiled module has no _orig_mod")
    function: Any = torch.compile(_add_one)
    found = getattr(function, "_torchdynamo_orig_callable", None)
    _expect(found is _add_one, "a compiled function has no _torchdynamo_orig_callable")


# -------------------------------------------------------------------------------------------- sizes


def _shape_env() -> None:
    import sympy

    from explorer.torch_private.shapes import Bounds, fresh_inputs

    examples = _captured().graph_module.graph.find_nodes(op="placeholder")
    values = [node.meta["example_value"] for node in examples]
    size = next(value for value in values if isinstance(value, torch.SymInt))
    symbol: Expression = size.node.expr
    fresh = fresh_inputs(values, {symbol: Bounds(2, 64, 8)}, [sympy.Ge(symbol, 4)], {})
    fake = next(value for value in fresh.values if isinstance(value, torch.Tensor))
    _expect(fresh.added_guards() == (), "a replayed guard counts as added")
    _expect(bool(fake.shape[0] <= 64), "the bound of a new symbol is not known")
    _expect(fresh.added_guards() == (), "a test that the bound decides leaves a guard")
    bool(fake.shape[0] % 8 == 0)
    _expect(len(fresh.added_guards()) == 1, "a test on a size leaves no guard")


def _value_ranges() -> None:
    from torch.utils._sympy.value_ranges import ValueRanges

    bounds = ValueRanges(2, 64)
    _expect((int(bounds.lower), int(bounds.upper)) == (2, 64), "lower and upper are not the bounds")


def _size_functions() -> None:
    import sympy

    from explorer.torch_private.size_functions import NAMES, size_functions

    found = size_functions()
    _expect(set(found) == set(NAMES), f"has no {', '.join(set(NAMES) - set(found))}")
    size = sympy.Symbol("n", integer=True, positive=True)
    rest = found["PythonMod"](size, 4)
    _expect(type(rest) is found["PythonMod"], "PythonMod is no class of its results")
    _expect(found["PythonMod"](*rest.args) == rest, "an expression is not made of its arguments")


def _fake_tensors() -> None:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        first = torch.empty(4)
        second = first.view(2, 2)
        other = torch.empty(4)
    keys = [each.untyped_storage()._cdata for each in (first, second, other)]
    _expect(keys[0] == keys[1] != keys[2], "_cdata does not tell storages apart")


def _transforms() -> None:
    from torch._functorch.predispatch import _vmap_increment_nesting

    from explorer.torch_private import transforms

    private: Any = torch._C
    functorch, autograd = private._functorch, private._autograd
    known = {(each.__module__, each.__name__) for each in _functions_of_transforms()}
    _expect(known >= transforms.WRITES_NOTHING, "the functions of transforms have other names")
    wrapped: list[torch.Tensor] = []
    plain = torch.ones(2)

    def noted(x: torch.Tensor) -> torch.Tensor:
        wrapped.append(x)
        _expect(functorch.get_dynamic_layer_stack_depth() == 1, "an open transform is not counted")
        return x

    torch.vmap(noted)(plain)
    _expect(functorch.is_functorch_wrapped_tensor(wrapped[0]), "a wrapped tensor is not told")
    _expect(functorch.get_unwrapped(wrapped[0]) is plain, "a wrapped tensor hides another one")
    _vmap_increment_nesting(2, "error")
    functorch.pop_dynamic_layer_stack_and_undo_to_depth(0)
    _expect(functorch.get_dynamic_layer_stack_depth() == 0, "a transform cannot be left")
    _expect(
        autograd._saved_tensors_hooks_get_disabled_error_message() is None,
        "hooks are disabled from the first",
    )


def _functions_of_transforms() -> list[Callable[..., Any]]:
    from torch._functorch import eager_transforms, predispatch

    members = [*vars(predispatch).values(), *vars(eager_transforms).values()]
    return [each for each in members if isinstance(each, FunctionType)]


def _constant_source() -> None:
    from torch._dynamo.source import ConstantSource

    _expect(ConstantSource("size_n").name == "size_n", "a source has no plain name")


# ---------------------------------------------------------------------------------------- operators


def _operators() -> None:
    from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket

    packet = torch.ops.aten.add_
    _expect(isinstance(packet, OpOverloadPacket), "torch.ops.aten.add_ is no OpOverloadPacket")
    _expect(packet._qualified_op_name == "aten::add_", "_qualified_op_name is not ns::name")
    overload = packet.Tensor
    _expect(isinstance(overload, OpOverload), "an overload is no OpOverload")
    _expect(overload._schema.name == "aten::add_", "_schema.name is not ns::name")
    _expect(overload._overloadname == "Tensor", "_overloadname is not the overload's name")
    info = overload._schema.arguments[0].alias_info
    _expect(info is not None and info.is_write, "a schema does not say what is written")
    _expect(isinstance(torch.ops.higher_order.cond, HigherOrderOperator), "cond is no operator")


def _all_op_names() -> None:
    names = torch._C._dispatch_get_all_op_names()
    _expect("aten::add.Tensor" in names, "aten::add.Tensor is not among them")


def _higher_order_names() -> None:
    from torch._ops import _higher_order_ops

    _expect("cond" in _higher_order_ops, "cond is not among them")


def _dispatch_keys() -> None:
    parse = torch._C._parse_dispatch_key
    _expect(parse("CompositeExplicitAutograd") is not None, "a key that there is has no value")
    _expect(parse("NoSuchKey") is None, "a key that is not there has a value")


def _opaque_values() -> None:
    """A layer's name is an input of the graph, known by its class alone."""
    from explorer.custom_ops import LayerName, direct_register_custom_op
    from explorer.torch_private import capture, opaque

    def named(x: Any, layer_name: Any) -> Any:
        return x.clone()

    tensor = torch.Tensor  # as objects: torch evaluates annotations that are texts in this module
    named.__annotations__ = {"x": tensor, "layer_name": LayerName, "return": tensor}
    op = direct_register_custom_op("piecewise_explorer_canary", named)
    values = (torch.ones(2), LayerName("layers.0"))
    graph = capture.trace(lambda x, layer: op(x, layer), values, {}).graph_module
    nodes = () if graph is None else graph.graph.find_nodes(op="placeholder")
    found = [each for node in nodes if opaque.is_stand_in(each := node.meta["example_value"])]
    _expect(len(found) == 1, "a hoisted opaque value is no input of the graph")
    _expect(opaque.type_name(found[0]).endswith(".LayerName"), "its class is not known")


def _regions() -> None:
    from torch.amp.autocast_mode import _enter_autocast, _exit_autocast
    from torch.autograd.grad_mode import _enter_inference_mode, _exit_inference_mode

    mode = _enter_autocast("cpu", torch.bfloat16, True, None)
    _expect(torch.is_autocast_enabled("cpu"), "_enter_autocast does not switch autocast on")
    _exit_autocast(mode)
    _expect(not torch.is_autocast_enabled("cpu"), "_exit_autocast does not switch it off")
    mode = _enter_inference_mode(True)
    _expect(torch.is_inference_mode_enabled(), "_enter_inference_mode does not switch it on")
    _exit_inference_mode(mode)
    _expect(not torch.is_inference_mode_enabled(), "_exit_inference_mode does not switch it off")


# ------------------------------------------------------------------------------------------ pytrees


def _pytree() -> None:
    from torch.utils import _pytree as pytree

    _takes(pytree.register_pytree_node, "serialized_type_name", "flatten_with_keys_fn")
    _expect(str(pytree.MappingKey("a")) == "['a']", "a key of a mapping is shown in another way")


# ----------------------------------------------------------------------------------------- Inductor


def _inductor_names() -> None:
    import torch._inductor
    import torch._inductor.config as config
    from torch._inductor import exc

    _takes(torch._inductor.standalone_compile, "dynamic_shapes", "options")
    _takes(torch._inductor.standalone_compile, "aot")
    _expect("max_autotune" in config.get_config_copy(), "get_config_copy has no max_autotune")
    missing = [name for name in ("InductorError", "InvalidCxxCompiler") if not hasattr(exc, name)]
    _expect(not missing, f"torch._inductor.exc has no {', '.join(missing)}")
    _expect(hasattr(torch.compiler.config, "cache_key_tag"), "there is no cache_key_tag")


def _inductor_artifact() -> None:
    """Compiles one matrix product, which needs no C++ compiler."""
    from explorer.torch_private import inductor, kernels

    graph = fx.Graph()
    left, right = graph.placeholder("left"), graph.placeholder("right")
    graph.output((graph.call_function(torch.mm, (left, right)),))
    module = fx.GraphModule(torch.nn.Module(), graph)
    values = [torch.ones(4, 4), torch.ones(4, 4)]
    artifact = inductor.standalone_compile(
        module, values, fake_mode=None, cache_tag="canary", settings={}
    )
    function, is_direct = inductor.boxed_runner(artifact)
    _expect(torch.equal(function(list(values))[0], torch.full((4, 4), 4.0)), "the result is wrong")
    _expect(is_direct, "Inductor's own callable is not found, so each call goes the slower way")
    code = inductor.generated_code(artifact)
    _expect("mm" in code, "the generated code is not found")
    kept = kernels.unpacked(kernels.packed(artifact, code))
    result = inductor.boxed_runner(kept)[0](list(values))[0]
    _expect(torch.equal(result, torch.full((4, 4), 4.0)), "a saved artifact is wrong")


def _compile_phases() -> None:
    from torch._dynamo.utils import dynamo_timed
    from torch._inductor import graph

    from explorer.torch_private.compile_phases import LOWERING, TORCH_NAMES, PhaseReading

    source = inspect.getsource(graph)
    missing = [name for name in TORCH_NAMES.values() if f'"{name}"' not in source]
    _expect(not missing, f"there is no phase {', '.join(missing)}")
    reading = PhaseReading()
    with dynamo_timed(TORCH_NAMES[LOWERING]):
        pass
    _expect(LOWERING in reading.seconds(1.0), "a phase that ended left no time")


def _kernel_calls() -> None:
    """Where the kernels of an artifact are taken from; no compiler is run."""
    from torch._inductor.async_compile import AsyncCompile

    from explorer.torch_private import kernels

    _takes(AsyncCompile.cpp_pybinding, "argtypes", "source_code")
    code = "kernel = async_compile.cpp_pybinding(['float*'], '''source''')"
    found = list(kernels.cpp_kernels(code))
    _expect(found == [(["float*"], "source")], "a kernel is not found in generated code")


def _forked_process() -> None:
    """What is settled in a process that was forked to compile."""
    from torch._inductor import config, utils
    from torch._inductor.async_compile import AsyncCompile

    _expect(hasattr(AsyncCompile.pool, "cache_clear"), "the pool of threads cannot be forgotten")
    _expect("compile_threads" in config.get_config_copy(), "there is no compile_threads")
    with patch.object(torch, "get_num_threads", lambda: 7), config.patch({"cpp.threads": -1}):
        threads = utils.parallel_num_threads()
    _expect(threads == 7, "generated code is not for as many threads as torch.get_num_threads()")


def _graph_passes() -> None:
    """Compiles one matrix product with a pass in every setting that takes one."""
    from explorer.torch_private import graph_passes, inductor

    ran: list[str] = []
    settings = {
        name: graph_passes.TorchPass(lambda graph, name=name: ran.append(name), f"canary {name}")
        for name in graph_passes.PASS_SETTINGS
    }
    unknown = inductor.unknown_settings(list(settings))
    _expect(not unknown, f"Inductor has no setting {', '.join(unknown)}")
    graph = fx.Graph()
    left, right = graph.placeholder("left"), graph.placeholder("right")
    graph.output((graph.call_function(torch.mm, (left, right)),))
    values = [torch.ones(4, 4), torch.ones(4, 4)]
    with tempfile.TemporaryDirectory() as tag:  # a name that torch's cache has not seen
        artifact = inductor.standalone_compile(
            fx.GraphModule(torch.nn.Module(), graph),
            values,
            fake_mode=None,
            cache_tag=tag,
            settings=settings,
        )
    _expect(tuple(ran) == graph_passes.PASS_SETTINGS, f"only these passes ran, in order: {ran}")
    _expect(inductor.serialised_bytes(artifact), "an artifact made with passes cannot be saved")


def _inference_aware_pass() -> None:
    from torch._inductor.custom_graph_pass import CustomGraphPass, CustomInferenceAwareGraphPass

    _expect(issubclass(CustomInferenceAwareGraphPass, CustomGraphPass), "it is no CustomGraphPass")
    _takes(CustomInferenceAwareGraphPass.__call__, "graph", "is_inference")


def _structured_log() -> None:
    """An event is made lazily, and belongs to the capture that it is about."""
    from explorer.torch_private import structured_log

    compile_id = structured_log.compile_id_of(_captured().graph_module)
    _expect(compile_id is not None, "a captured graph does not know its compile id")
    heard: list[Any] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(vars(record))
    structured_log.trace_log.addHandler(listener)
    try:
        _expect(structured_log.is_listening(), "a handler of the log is not noticed")
        structured_log.log_artifact("canary", "json", lambda: {"a": 1}, compile_id)
        structured_log.log_graph("canary", lambda: "graph", compile_id)
    finally:
        structured_log.trace_log.removeHandler(listener)
    _expect(len(heard) == 2, "an event does not reach the log")
    metadata = heard[0].get("metadata", {})
    _expect(metadata.get("artifact") == {"name": "canary", "encoding": "json"}, "its name is lost")
    _expect(metadata.get("frame_id") == compile_id.frame_id, "an event has no compile id")
    _expect(heard[1].get("payload") == "graph", "the content of an event is lost")


def _partition_wrappers() -> None:
    from torch._inductor import config, utils

    from explorer.torch_private.partition import Partition, wrapped_partitions

    state = utils._unstable_customized_partition_wrapper
    before = state.wrapper
    with wrapped_partitions():
        _expect(config.graph_partition, "the setting graph_partition has no effect")
        wrapper = state.wrapper
        _expect(wrapper is not None, "set_customized_partition_wrappers sets something else")
        metadata = utils.CUDAGraphWrapperMetadata(num_partitions=2, partition_index=1)
        made: Any = wrapper(len, metadata) if wrapper is not None else None
        _expect(isinstance(made, Partition) and made.index == 1, "the metadata has no index")
    _expect(state.wrapper is before, "a wrapper cannot be taken back")
    known = config.get_config_copy()
    _expect("custom_should_partition_ops" in known, "there is no custom_should_partition_ops")


CANARIES: tuple[Canary, ...] = (
    ("torch._dynamo.convert_frame.get_traced_fn", _get_traced_fn),
    ("torch._dynamo.convert_frame.fullgraph_capture", _fullgraph_capture),
    ("fx.Node.meta['example_value'] and ['stack_trace']", _node_metadata),
    ("ShapeEnv._log_guard", _log_guard),
    ("ShapeEnv.evaluate_expr", _evaluate_expr),
    ("GuardFilterEntry", _guard_entries),
    ("InliningInstructionTranslator", _inlined_functions),
    ("torch._library.custom_ops and simple_registry", _functions_behind_ops),
    ("ShapeEnv.deferred_runtime_asserts", _deferred_runtime_asserts),
    ("forward_callable of a capture", _forward_callable),
    ("build_guards of a capture", _build_guards),
    ("CheckFunctionManager.id_ref", _guard_lifetimes),
    ("a part of the guards", _guards_in_part),
    ("RootGuardManager and TensorGuards", _state_watch),
    ("torch._C._is_any_autocast_enabled", _any_autocast),
    ("torch._dynamo.hooks.Hooks", _hooks),
    ("the hooks of a module", _module_hooks),
    ("torch._dynamo.config and torch.fx.experimental._config", _dynamo_config),
    ("torch._dynamo.utils.get_metrics_context and dynamo_timed", _metrics_context),
    ("torch._guards.TracingContext", _tracing_context),
    ("TensorVariable.call_method and the source of a placeholder", _layout_questions),
    ("torch._dynamo.exc", _exceptions),
    ("torch._dynamo.decorators.mark_unbacked", _mark_unbacked),
    ("GuardOnDataDependentSymNode and the shape_id of a symbol", _unanswered_question),
    ("the fake implementation of a custom op", _fake_implementation),
    ("the warning of torch.cond for a constant", _constant_predicate),
    ("what torch.compile returns", _compiled_wrapper),
    ("ShapeEnv", _shape_env),
    ("torch.utils._sympy.value_ranges.ValueRanges", _value_ranges),
    ("torch.utils._sympy.functions", _size_functions),
    ("torch._subclasses.FakeTensorMode and UntypedStorage._cdata", _fake_tensors),
    ("torch._C._functorch and torch._functorch.predispatch", _transforms),
    ("torch._dynamo.source.ConstantSource", _constant_source),
    ("torch._ops", _operators),
    ("torch._C._dispatch_get_all_op_names", _all_op_names),
    ("torch._ops._higher_order_ops", _higher_order_names),
    ("torch._C._parse_dispatch_key", _dispatch_keys),
    ("register_opaque_type and FakeScriptObject", _opaque_values),
    ("_enter_autocast, _enter_inference_mode and their ends", _regions),
    ("torch.utils._pytree.register_pytree_node and MappingKey", _pytree),
    ("torch._inductor.standalone_compile, its config and errors", _inductor_names),
    ("an artifact of torch._inductor.standalone_compile", _inductor_artifact),
    ("torch._inductor.utils.set_customized_partition_wrappers", _partition_wrappers),
    ("compilation_time_metrics and its phases", _compile_phases),
    ("AsyncCompile.cpp_pybinding", _kernel_calls),
    ("AsyncCompile.pool, compile_threads and parallel_num_threads", _forked_process),
    ("CustomGraphPass and the settings that take one", _graph_passes),
    ("CustomInferenceAwareGraphPass", _inference_aware_pass),
    ("torch._logging._internal and CompileContext", _structured_log),
    *STORE_CANARIES,
    *BESIDE_CANARIES,
    *REPEAT_CANARIES,
)
"""What is checked, and the check: it returns nothing, or raises."""


def problems() -> dict[str, str]:
    """Name -> what is wrong with it, in the order of ``CANARIES``; empty when all is well."""
    found = {}
    for name, check in CANARIES:
        try:
            check()
        except Exception as error:  # any failure means that the name cannot be relied on
            lines = str(error).strip().splitlines() or [type(error).__name__]
            found[name] = f"{type(error).__name__}: {lines[0]}"
    return found
