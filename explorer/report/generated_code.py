"""Code that Inductor generated in, which of a piece's nodes each line came from out.

Inductor (torch 2.13) writes ``# Topologically Sorted Source Nodes: [linear_1, mul_3], Original
ATen: [...]`` before each call of its wrapper and, in Triton, before each kernel. Before C++ kernels
and their calls it writes nothing: theirs are inferred from the ops in the kernel's name
(``cpp_fused_mul_silu_split_1``), among the nodes that the next call names which reads what the
kernel wrote, or else among those that nothing names. Other backends may hand over FX source: there
a line came from the node that it assigns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import fx

from explorer.stages.graphs import is_tuple_getitem
from explorer.stages.op_names import canonical_name

MOST_LINES = 20_000
"""Lines of generated code that a view has."""

_SOURCE_NODES = re.compile(r"\s*#.*\bSource Nodes: \[([^\]]*)\]")
_KERNEL_BEGIN = re.compile(r"(\w+) = async_compile\.(\w+)\(")
_KERNEL_END = re.compile(r"'''(?:, .*)?\)\s*$")
_BEFORE_CALL = re.compile(
    r"\s*(?:assert_|with |return\b|\w+ = (?:empty_strided\w*|reinterpret_tensor|get_raw_stream)\()"
)
_ASSIGNED = re.compile(r"\s+(\w+)(?: : [^=]+)? = ")
_BUFFER = re.compile(r"\bbuf\d+\b")
_LONGEST_STATEMENT = 12

# Of an op as a model calls it, the ATen ops that Inductor may name a kernel by.
_ATEN_NAMES = {
    "truediv": ("div",),
    "floordiv": ("floor_divide", "div"),
    "mod": ("remainder",),
    "neg": ("neg",),
    "chunk": ("split",),
    "tensor_split": ("split",),
    "flatten": ("view",),
    "unflatten": ("view",),
    "reshape": ("view", "clone"),
    "contiguous": ("clone",),
    "to": ("_to_copy",),
    "float": ("_to_copy",),
    "half": ("_to_copy",),
    "type": ("_to_copy",),
    "getitem": ("select", "slice", "index"),
    "softmax": ("_softmax",),
    "log_softmax": ("_log_softmax",),
    "layer_norm": ("native_layer_norm",),
    "group_norm": ("native_group_norm",),
    "rms_norm": ("_fused_rms_norm", "rms_norm"),
    "batch_norm": ("_native_batch_norm_legit_no_training",),
    "linear": ("addmm", "mm", "linear", "view"),
    "matmul": ("mm", "bmm", "mv"),
}


@dataclass(frozen=True)
class Kernel:
    """A kernel's definition in generated code.

    Attributes:
        name: of the kernel.
        first: index of its first line.
        last: index of its last line.
        is_cpp: whether it is C++; a Triton kernel is Python.
    """

    name: str
    first: int
    last: int
    is_cpp: bool


@dataclass
class Attribution:
    """Where generated code came from.

    Attributes:
        nodes: index of a line -> nodes, in the graph's order.
        inferred: indices of lines whose nodes the compiler did not name.
        kernels: the definitions, in order.
    """

    nodes: dict[int, tuple[fx.Node, ...]] = field(default_factory=dict)
    inferred: set[int] = field(default_factory=set)
    kernels: list[Kernel] = field(default_factory=list)


def attributed(lines: Sequence[str], graph: fx.Graph) -> Attribution:
    """Which nodes of a graph each line of the code that was generated for it came from."""
    return _Reader(lines, graph).read()


class _Reader:
    """Reads one text."""

    def __init__(self, lines: Sequence[str], graph: fx.Graph) -> None:
        self.lines = lines
        computing = [n for n in graph.nodes if n.op not in ("placeholder", "output", "get_attr")]
        self.node_of = {node.name: node for node in computing}
        self.order = {node: number for number, node in enumerate(computing)}
        self.found = Attribution()
        self.calls: dict[int, str] = {}  # line of a call -> its kernel

    def read(self) -> Attribution:
        self.found.kernels = list(_kernels(self.lines))
        inside = {at for k in self.found.kernels for at in range(k.first, k.last + 1)}
        for at, line in enumerate(self.lines):
            named = _SOURCE_NODES.match(line) if at not in inside else None
            if named:
                self._comment(at, named[1], inside)
        self._find_calls(inside)
        self._infer()
        self._blame_kernels()
        if not self.found.nodes:
            self._read_assignments()
        return self.found

    def _read_assignments(self) -> None:
        """Code that is the graph itself, as that of the eager backend, assigns to nodes' names."""
        for at, line in enumerate(self.lines):
            assigned = _ASSIGNED.match(line)
            node = self.node_of.get(assigned[1]) if assigned else None
            if node is not None:
                self.found.nodes[at] = (node,)

    def _comment(self, at: int, names: str, inside: set[int]) -> None:
        """A comment belongs to the call behind it, and to the kernel behind it."""
        nodes = self._sorted(self.node_of.get(name.strip()) for name in names.split(","))
        if not nodes:
            return
        self.found.nodes[at] = nodes
        for number in range(at + 1, min(at + _LONGEST_STATEMENT, len(self.lines))):
            line = self.lines[number]
            if number in inside or _SOURCE_NODES.match(line) or line.strip() == "":
                return
            if line.lstrip().startswith(("#", "del ")):
                continue
            self.found.nodes[number] = nodes
            if "(" in line and not _BEFORE_CALL.match(line):
                return

    def _find_calls(self, inside: set[int]) -> None:
        names = "|".join(re.escape(kernel.name) for kernel in self.found.kernels)
        call = re.compile(rf"\s*(?:\w+ = )?({names})(?:\.run)?\(") if names else None
        for at, line in enumerate(self.lines):
            match = call.match(line) if call and at not in inside else None
            if match:
                self.calls[at] = match[1]

    def _infer(self) -> None:
        taken = {node for nodes in self.found.nodes.values() for node in nodes}
        inferred: set[fx.Node] = set()
        for at, kernel in self.calls.items():
            if at in self.found.nodes:
                continue
            reader = self._reader_of(at)
            wanted = self.found.nodes[reader] if reader is not None else ()
            if not wanted:
                wanted = [node for node in self.order if node not in taken | inferred]
            nodes = self._sorted(node for node in wanted if _is_in_name(node, kernel))
            if nodes:
                self.found.nodes[at] = nodes
                self.found.inferred.add(at)
                inferred.update(nodes)

    def _reader_of(self, at: int) -> int | None:
        """The next line with named nodes that reads a buffer of the call; None without one."""
        buffers = set(_BUFFER.findall(self.lines[at]))
        for number in range(at + 1, len(self.lines)):
            line = self.lines[number]
            is_named = number in self.found.nodes and number not in self.found.inferred
            if is_named and buffers & set(_BUFFER.findall(line)) and line.lstrip()[0] != "#":
                return number
        return None

    def _blame_kernels(self) -> None:
        """A kernel's definition came from what all its calls came from."""
        for kernel in self.found.kernels:
            calls = [at for at, name in self.calls.items() if name == kernel.name]
            nodes = self._sorted(n for at in calls for n in self.found.nodes.get(at, ()))
            if not nodes:
                continue
            is_inferred = all(at in self.found.inferred for at in calls)
            for number in range(kernel.first, kernel.last + 1):
                self.found.nodes[number] = nodes
                if is_inferred:
                    self.found.inferred.add(number)

    def _sorted(self, nodes: Iterable[fx.Node | None]) -> tuple[fx.Node, ...]:
        return tuple(sorted({node for node in nodes if node is not None}, key=self.order.get))  # type: ignore[arg-type]


def _kernels(lines: Sequence[str]) -> Iterator[Kernel]:
    at = 0
    while at < len(lines):
        begin = _KERNEL_BEGIN.match(lines[at])
        if begin is None:
            at += 1
            continue
        last = at
        if "'''" in lines[at]:
            rest = range(at + 1, len(lines))
            last = next((n for n in rest if _KERNEL_END.search(lines[n])), at)
        yield Kernel(begin[1], at, last, begin[2].startswith("cpp"))
        at = last + 1


def _is_in_name(node: fx.Node, kernel: str) -> bool:
    """Whether a kernel's name holds the op of a node."""
    if is_tuple_getitem(node):
        return False
    short = re.split(r"[.:]+", canonical_name(node))
    name = short[1] if "::" in canonical_name(node) and len(short) > 1 else short[-1]
    names = _ATEN_NAMES.get(name, (name.rstrip("_"),))
    return any(f"_{each.strip('_')}_" in f"_{kernel}_" for each in names)
