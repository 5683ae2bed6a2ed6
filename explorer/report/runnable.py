"""A graph in, a Python file out that runs it on made-up inputs of the recorded shapes.

``python file.py`` prints what the outputs look like. Floats are random, integers 0, so that they
can be indices, bools True: the numbers mean nothing, the calls are the real ones.
"""

from __future__ import annotations

import ast
import keyword
import re
import textwrap
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from explorer.artifacts import CapturedGraph
from explorer.artifacts.common import Expression
from explorer.guards.expression import UnknownExpression, python_source
from explorer.layer_name import LayerName
from explorer.report.importing import Importing
from explorer.report.wording import clean
from explorer.stages.graphs import (
    attributes_of,
    copy_graph,
    example_value,
    expression_of,
    placeholders,
)

PRELUDE = '''
def made_up_tensor(shape, stride, dtype, device):
    """Made-up numbers with this layout: floats are random, integers 0, bools True."""
    count = 0 if 0 in shape else 1 + sum((n - 1) * step for n, step in zip(shape, stride))
    if dtype.is_floating_point or dtype.is_complex:
        kind = torch.complex64 if dtype.is_complex else torch.float32
        numbers = torch.randn(count, dtype=kind).to(device, dtype)
    else:
        numbers = torch.full((count,), dtype == torch.bool, dtype=dtype, device=device)
    return numbers.as_strided(shape, stride)


def no_value(what):
    """Stands for what a file cannot make up."""
    raise SystemExit(f"{what} cannot be made up: put one in its place in this file.")


def show_result(outputs, name="output"):
    """Prints what a result looks like."""
    if isinstance(outputs, torch.Tensor):
        print(f"{name}: {tuple(outputs.shape)} {outputs.dtype} {outputs.device}")
    elif isinstance(outputs, (tuple, list)):
        for position, each in enumerate(outputs):
            show_result(each, f"{name}[{position}]")
    else:
        print(f"{name}: {outputs!r}")
'''

_LARGEST_CONSTANT = 64
"""Elements of a constant that are written out."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """The sizes of a capture as variables of a file.

    Attributes:
        variable_of: symbol -> name of the variable.
        value_of: variable -> the size that is used.
        label_of: text of a symbol -> the user's name.
    """

    variable_of: Mapping[Expression, str]
    value_of: Mapping[str, int]
    label_of: Mapping[str, str]

    def text(self, value: Any) -> str:
        """A size as Python: a number, or an expression over the variables."""
        expression = expression_of(value)
        if isinstance(expression, int):
            return str(expression)
        try:
            source = python_source(expression, self.variable_of)
        except UnknownExpression:
            source = "_unknown()"
        if "_unknown" not in source and not re.search(r"\w\(", source):
            return source
        hints = {s: self.value_of[name] for s, name in self.variable_of.items()}
        known = expression.xreplace(hints) if expression is not None else 8
        return str(int(known)) if getattr(known, "is_number", True) else "8"

    def source(self) -> str:
        """The assignments of the variables."""
        return "".join(f"{name} = {value}\n" for name, value in self.value_of.items())


def sizes_of(captured: CapturedGraph, values: Mapping[str, int] | None = None) -> Sizes:
    """The sizes of a capture as variables.

    Args:
        captured: the capture.
        values: size name -> value to use; the example's size for those that are left out.
    """
    variable_of: dict[Expression, str] = {}
    value_of: dict[str, int] = {}
    label_of: dict[str, str] = {}
    for size in captured.sizes:
        variable = f"size_{re.sub(r'[^0-9a-zA-Z_]', '_', size.name)}"
        while variable in value_of:
            variable += "_"
        value_of[variable] = (values or {}).get(size.name, size.hint)
        for symbol in {size.symbol, *size.torch_symbols}:
            variable_of[symbol] = variable
            label_of[str(symbol)] = re.sub(r"[^\w.-]", "_", size.name)  # it stands in quotes
    return Sizes(variable_of, value_of, label_of)


@dataclass(eq=False)
class FileWriter:
    """Collects the parts of one file.

    Attributes:
        sizes: the sizes as variables.
        imports: what the functions need to be imported.
        functions: sources, in order.
    """

    sizes: Sizes
    imports: Importing = field(default_factory=Importing)
    functions: list[str] = field(default_factory=list)

    def add_graph(self, graph: fx.Graph, name: str) -> None:
        """Adds a graph as a function of its inputs, and before it the graphs that it calls."""
        holder = f"{name}_attributes"
        attributes = attributes_of(graph)
        graph, _ = copy_graph(graph)
        for node in placeholders(graph):
            node.target = node.name  # the parameter's name; two inputs may have one
        if attributes:
            fields = [
                f"{key}={self._attribute(value, f'{name}_{key}')}"
                for key, value in attributes.items()
            ]
            self.functions.append(f"{holder} = SimpleNamespace({', '.join(fields)})\n")
        code = graph.python_code(holder, verbose=True)
        source = code.src if _same_statements(code.src, graph, holder) else ""
        source = (source or graph.python_code(holder).src).strip("\n ")
        source = re.sub(r"def forward\(self(?:, )?", f"def {name}(", source, count=1)
        lines = [_with_names(line.rstrip(), self.sizes.label_of) for line in source.split("\n")]
        source = "\n".join(lines) + "\n"
        for key, value in code.globals.items():
            if re.search(rf"\b{re.escape(key)}\b", source):
                self.imports.add_value(key, value)
        self.imports.add_operators(node.target for node in graph.nodes)
        self.functions.append(source)

    def _attribute(self, value: Any, name: str) -> str:
        if isinstance(value, fx.GraphModule):
            for node in value.graph.nodes:
                if node.op == "get_attr":
                    node.meta.setdefault("attribute", getattr(value, str(node.target)))
            self.add_graph(value.graph, name)
            return name
        if isinstance(value, torch.Tensor) and value.numel() <= _LARGEST_CONSTANT:
            layout = f"dtype={value.dtype}, device={str(value.device)!r}"
            return f"torch.tensor({value.tolist()!r}, {layout})"
        return self.value(value)

    def value(self, value: Any, real: Any = None) -> str:
        """An expression that makes up a value like this one.

        Args:
            value: a fake tensor, a size, or a plain value.
            real: what the capture was given for it, where that is known.
        """
        if isinstance(value, torch.Tensor):
            shape, stride = (
                "".join(f"{self.sizes.text(each)}, " for each in part).rstrip()
                for part in (value.shape, value.stride())
            )
            return f"made_up_tensor(({shape}), ({stride}), {value.dtype}, {str(value.device)!r})"
        if isinstance(value, bool | float | str | None) and not isinstance(real, LayerName):
            return f"float({str(value)!r})" if isinstance(value, float) else repr(value)
        if isinstance(value, int | torch.SymInt):
            return self.sizes.text(value)
        if isinstance(real, LayerName):
            self.imports.add_value("LayerName", LayerName)
            return f"LayerName({real.name!r})"
        kind = type(value if value is not None else real).__qualname__
        return f"no_value({f'a value of type {kind}'!r})"

    def add_inputs(
        self, graph: fx.Graph, real_values: Mapping[str, Any], names: Container[str] | None = None
    ) -> None:
        """Adds ``make_inputs()``: one made-up value per input of the graph.

        Args:
            graph: whose placeholders are meant.
            real_values: placeholder name -> what the capture was given, where that is known.
            names: of the placeholders to make, when not all are.
        """
        lines = [
            f"        {self.value(example_value(node), real_values.get(node.name))},  # {node.name}"
            for node in placeholders(graph)
            if names is None or node.name in names
        ]
        body = "\n".join(["    return (", *lines, "    )"]) if lines else "    return ()"
        self.functions.append(f"def make_inputs():\n{body}\n")

    def file(self, title: str, run: str) -> str:
        """The whole file.

        Args:
            title: what it is, one or more sentences.
            run: the expression that is run and shown.
        """
        main = (
            'if __name__ == "__main__":\n    torch.manual_seed(0)\n    with torch.no_grad():\n'
            f"        show_result({run})\n"
        )
        used = "\n\n".join(self.functions)
        head = ["from types import SimpleNamespace\n"] if "SimpleNamespace(" in used else []
        head += ["import torch\n", self.imports.source()]
        parts = [_docstring(title), "".join(head), self.sizes.source(), PRELUDE.strip("\n") + "\n"]
        return "\n\n".join(part for part in [*parts, *self.functions, main] if part)


def piece_file(
    graph: fx.Graph, name: str, title: str, sizes: Sizes, real_values: Mapping[str, Any]
) -> str:
    """One graph as a file.

    Args:
        graph: placeholders, calls, output.
        name: of the function.
        title: what it is.
        sizes: at which it is run.
        real_values: placeholder name -> what the capture was given, where that is known.
    """
    writer = FileWriter(sizes)
    writer.add_graph(graph, name)
    writer.add_inputs(graph, real_values)
    return writer.file(title, f"{name}(*make_inputs())")


def _docstring(title: str) -> str:
    lines = [line for part in title.splitlines() for line in textwrap.wrap(clean(part), 96)]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{text}{" " if text.endswith(chr(34)) else ""}\n"""\n'


def _same_statements(source: str, graph: fx.Graph, holder: str) -> bool:
    """Whether the comments in a source, which quote the user's files, add no statement."""
    try:
        commented, plain = (
            ast.parse(source.strip()),
            ast.parse(graph.python_code(holder).src.strip()),
        )
    except (SyntaxError, ValueError):
        return False
    counts = [sum(isinstance(node, ast.stmt) for node in ast.walk(t)) for t in (commented, plain)]
    return counts[0] == counts[1]


def _with_names(line: str, label_of: Mapping[str, str]) -> str:
    """The line with the user's names of sizes in the shapes of its annotations."""

    def renamed(found: re.Match[str]) -> str:
        return re.sub(r"\b[su]\d+\b", lambda each: label_of.get(each[0], each[0]), found[0])

    return line if line.lstrip().startswith("#") else re.sub(r': "[^"]*"', renamed, line)


def safe_identifier(text: str, taken: Iterable[str] = ()) -> str:
    """A Python name made of a text, different from the taken ones."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "value"
    name = f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
    known = set(taken)
    while name in known:
        name += "_"
    return name
