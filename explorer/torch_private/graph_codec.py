"""A captured graph as bytes, and back: nodes, their lines and modules, and fake values.

Torch's own pickler of graphs carries the whole environment of symbols, and leaves out which module
a node belongs to. Here a value is written down as what later steps read of it: dtype, device,
shape, strides and offset. Whose memory it shares goes into the node's metadata, as ``storage``: so
one value made anew can stand for all that look alike.

Private names used (torch 2.13.0): ``torch._subclasses.FakeTensorMode`` and ``FakeTensor``,
``torch.fx.experimental.symbolic_shapes.ShapeEnv`` with ``backed_var_to_val`` and ``var_to_range``,
``torch.fx.experimental.sym_node.SymNode``, ``torch.utils._sympy.value_ranges.ValueRanges``,
``torch._ops.OpOverload``, ``OpOverloadPacket`` and ``HigherOrderOperator``,
``torch._library.fake_class_registry.FakeScriptObject``.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch import fx
from torch._library.fake_class_registry import FakeScriptObject
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.fx.experimental.sym_node import SymNode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.value_ranges import ValueRanges

from explorer.torch_private import ops

STORAGE = "storage"
"""Key of a node's metadata: a number below zero, equal for nodes that share memory."""

_KEPT_META = ("example_value", "stack_trace", "nn_module_stack", "attribute")
_PLAIN_TYPES = frozenset({str, int, float, bool, bytes, type(None), tuple, list, dict})
_SYMBOLIC: Mapping[str, tuple[type, Any]] = {
    "SymInt": (int, torch.SymInt),
    "SymFloat": (float, torch.SymFloat),
    "SymBool": (bool, torch.SymBool),
}


class NotWritableError(Exception):
    """The graph holds something that has no bytes."""


def dump(value: Any) -> bytes:
    """Bytes of a graph, or of plain containers of operators, functions and constants.

    Args:
        value: with fx graphs, modules that hold one, fake values and operators in it.

    Raises:
        NotWritableError: it holds something else that cannot be written.
    """
    content = io.BytesIO()
    pickler = _Pickler(content)
    try:
        pickler.dump(value)
    except Exception as error:  # whatever the parts of a model raise when they are pickled
        raise NotWritableError(str(error) or type(error).__name__) from error
    symbols = {
        symbol: facts for env in pickler.environments for symbol, facts in _symbols(env).items()
    }
    return pickle.dumps((symbols, content.getvalue()))


def dump_plain(value: Any) -> bytes:
    """The same, quicker, for what holds neither graphs nor operators nor values of a trace."""
    return pickle.dumps(({}, pickle.dumps(value, protocol=5)))


def load(content: bytes) -> Any:
    """What ``dump`` wrote; the sizes in it are of an environment of their own.

    Args:
        content: it is unpickled, so it must be trusted.
    """
    symbols, graph = pickle.loads(content)
    return _Unpickler(io.BytesIO(graph), _environment(symbols)).load()


def _symbols(env: ShapeEnv) -> dict[Any, tuple[Any, Any, Any]]:
    """Symbol -> its value at capture or None, and its bounds."""
    return {
        symbol: (env.backed_var_to_val.get(symbol), bounds.lower, bounds.upper)
        for symbol, bounds in env.var_to_range.items()
    }


def _environment(symbols: Mapping[Any, tuple[Any, Any, Any]]) -> ShapeEnv:
    env = ShapeEnv()
    for symbol, (hint, low, high) in symbols.items():
        if hint is not None:
            env.backed_var_to_val[symbol] = hint
        env.var_to_range[symbol] = ValueRanges(low, high)
    return env


class _Pickler(pickle.Pickler):
    """Writes what pickle cannot, as a word and plain parts.

    Attributes:
        environments: of the sizes that were met.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.environments: dict[ShapeEnv, None] = {}
        self._positions: dict[fx.Node, int] = {}
        self._storages: dict[int, int] = {}
        self._tensors: dict[tuple[Any, ...], int] = {}

    def persistent_id(self, obj: Any) -> Any:
        """The parts of a value, or None for what pickle does itself."""
        if type(obj) in _PLAIN_TYPES:  # most of what there is
            return None
        return self._of_graph(obj) or self._of_value(obj) or _of_op(obj)

    def _of_graph(self, obj: Any) -> Any:
        if isinstance(obj, fx.Node):
            return ("node", self._positions[obj])
        if isinstance(obj, fx.Graph):
            return ("graph", self._nodes(obj))
        if isinstance(obj, fx.GraphModule):
            return ("module", self._module(obj))
        return None

    def _of_value(self, obj: Any) -> Any:
        if type(obj).__name__ in _SYMBOLIC and hasattr(obj, "node"):
            self.environments[obj.node.shape_env] = None
            return ("size", type(obj).__name__, obj.node.expr, obj.node._hint)
        if isinstance(obj, FakeTensor):
            return ("tensor", *self._tensor(obj))
        if isinstance(obj, FakeScriptObject):
            real = object.__getattribute__(obj, "real_obj")
            return ("stand-in", obj.script_class_name, real)
        return None

    def _nodes(self, graph: fx.Graph) -> list[tuple[Any, ...]]:
        records = []
        for position, node in enumerate(graph.nodes):
            self._positions[node] = position
            meta = {name: node.meta[name] for name in _KEPT_META if name in node.meta}
            if "nn_module_stack" in meta:
                meta["nn_module_stack"] = _plain_stack(meta["nn_module_stack"])
            value = meta.get("example_value")
            if isinstance(value, torch.Tensor):
                known = node.meta.get(STORAGE, ops.storage_id(value))
                meta[STORAGE] = -1 - self._storages.setdefault(known, len(self._storages))
            records.append((node.op, node.target, node.args, node.kwargs, node.name, meta))
        return records

    def _module(self, module: fx.GraphModule) -> tuple[Any, ...]:
        names = [str(node.target) for node in module.graph.nodes if node.op == "get_attr"]
        attributes = {name: _attribute(module, name) for name in names}
        return (module.graph, attributes)

    def _tensor(self, value: FakeTensor) -> tuple[Any, ...]:
        if value.is_conj() or value.is_neg() or value.layout is not torch.strided:
            raise NotWritableError("a tensor is a lazy conjugate, or not strided")
        shape, strides = tuple(value.shape), tuple(value.stride())
        parts = (value.dtype, value.device, shape, strides, value.storage_offset())
        key = (*parts[:2], *(tuple(map(_plain, dims)) for dims in (*parts[2:4], parts[4:])))
        if key in self._tensors:
            return self._tensors[key], None
        self._tensors[key] = len(self._tensors)
        return self._tensors[key], parts


def _plain(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size


def _plain_stack(stack: Any) -> dict[str, tuple[str, str]]:
    """Modules by path and name of their class: the class itself may not be there later."""
    return {
        key: (path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}")
        for key, (path, kind) in (stack or {}).items()
    }


def _attribute(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


def _of_op(obj: Any) -> Any:
    if isinstance(obj, OpOverload):
        return ("op", *_op_names(obj), obj._overloadname)
    if isinstance(obj, OpOverloadPacket):
        return ("op", *_op_names(obj), None)
    if isinstance(obj, HigherOrderOperator):
        return ("op", "higher_order", obj.name(), None)
    return None


def _op_names(op: Any) -> tuple[str, str]:
    qualified = op._schema.name if isinstance(op, OpOverload) else op._qualified_op_name
    namespace, _, name = qualified.partition("::")
    return namespace, name


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, env: ShapeEnv) -> None:
        super().__init__(file)
        self._env = env
        self._mode = FakeTensorMode(shape_env=env)
        self._tensors: dict[int, torch.Tensor] = {}

    def persistent_load(self, pid: Any) -> Any:
        """The value of some parts."""
        kind, *parts = pid
        return getattr(self, f"_{kind.replace('-', '_')}")(*parts)

    def _node(self, position: int) -> Any:
        return _NodeAt(position)

    def _graph(self, records: list[tuple[Any, ...]]) -> fx.Graph:
        graph = fx.Graph()
        nodes: list[fx.Node] = []

        def found(value: Any) -> Any:
            return nodes[value.position] if isinstance(value, _NodeAt) else value

        for op, target, args, kwargs, name, meta in records:
            node = graph.create_node(op, target, _mapped(args, found), _mapped(kwargs, found))
            # create_node takes names as proposals, and these were unique.
            node.name = name
            node.meta.update(meta)
            nodes.append(node)
        return graph

    def _module(self, content: tuple[fx.Graph, dict[str, Any]]) -> fx.GraphModule:
        graph, attributes = content
        root = torch.nn.Module()
        for name, value in attributes.items():
            setattr(root, name, value)
        return fx.GraphModule(root, graph)

    def _size(self, kind: str, expression: Any, hint: Any) -> Any:
        python_type, wrap = _SYMBOLIC[kind]
        return wrap(SymNode(expression, self._env, python_type, hint))

    def _tensor(self, number: int, parts: tuple[Any, ...] | None) -> torch.Tensor:
        if parts is not None:
            self._tensors[number] = self._made(*parts)
        return self._tensors[number]

    def _made(self, dtype: Any, device: Any, shape: Any, strides: Any, offset: Any) -> torch.Tensor:
        with self._mode:
            if _is_zero(offset):
                return torch.empty_strided(shape, strides, dtype=dtype, device=device)
            last = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
            whole = torch.empty(sum(last) + offset + 1, dtype=dtype, device=device)
            return whole.as_strided(shape, strides, offset)

    def _op(self, namespace: str, name: str, overload: str | None) -> Any:
        packet = getattr(getattr(torch.ops, namespace), name)
        return packet if overload is None else getattr(packet, overload)

    def _stand_in(self, name: str, real: Any) -> Any:
        return FakeScriptObject(real, name, real)


class _NodeAt:
    """A node that is not made yet."""

    def __init__(self, position: int) -> None:
        self.position = position


def _mapped(value: Any, function: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_mapped(item, function) for item in value)
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(_mapped(part, function) for part in (value.start, value.stop, value.step)))
    return function(value)


def _is_zero(value: Any) -> bool:
    return bool(sympy.sympify(_plain(value)) == 0)


__all__ = ["STORAGE", "NotWritableError", "dump", "dump_plain", "load"]
