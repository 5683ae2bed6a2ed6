"""A cut graph, or the plan for it, in; a Python file that runs all of it on made-up inputs out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from explorer.artifacts import (
    DispatchEntry,
    Piece,
    PieceKind,
    SplitGraph,
    StitchedProgram,
    UniquePieces,
)
from explorer.errors import PlanError
from explorer.guards.expression import SCALAR_FUNCTIONS
from explorer.report.runnable import FileWriter, Sizes, safe_identifier
from explorer.report.split_source import parent_source
from explorer.runtime.stitch import PER_CALL, write_program
from explorer.stages.graphs import example_value, placeholders


def split_file(split: SplitGraph, title: str, sizes: Sizes, real_values: Mapping[str, Any]) -> str:
    """Every piece as a function, and the function that calls them in order.

    Args:
        split: the cut graph.
        title: what it is.
        sizes: at which it is run.
        real_values: input name -> what the capture was given.
    """
    writer = FileWriter(sizes)
    taken = {each.name for each in split.normalised.inputs}
    taken |= {name for piece in split.pieces for name in piece.outputs}
    function_of = {piece.name: safe_identifier(piece.name, taken) for piece in split.pieces}
    for piece in split.pieces:
        writer.add_graph(piece.graph, function_of[piece.name])
    name = safe_identifier("forward", {*taken, *function_of.values()})
    parent = parent_source(split, split.pieces, name, function_of)
    _import_constants(writer, parent)
    writer.functions.append(parent)
    writer.add_inputs(split.normalised.graph, real_values)
    return writer.file(title, f"{name}(*make_inputs())")


def _import_constants(writer: FileWriter, source: str) -> None:
    """What numbers and expressions in the text of a function refer to."""
    for name in ("inf", "nan"):
        if re.search(rf"\b{name}\b", source):
            writer.imports.add_value(name, float(name))
    if any(f"{name}(" in source for name in SCALAR_FUNCTIONS):
        writer.imports.lines["from explorer.guards.expression import SCALAR_FUNCTIONS"] = None
        writer.imports.lines["globals().update(SCALAR_FUNCTIONS)"] = None


HELPERS = frozenset(
    ("torch", "made_up_tensor", "no_value", "show_result", "unique_piece", "UNIQUE_PIECES")
)
"""What a file defines for itself before the model's names."""

_LOADING = '''
UNIQUE_PIECES = {{
    path.stem: runpy.run_path(str(path))
    for path in sorted((Path(__file__).parent / "{folder}").glob("*.py"))
}}


def unique_piece(label, name):
    """A unique piece as a function of one list of inputs."""
    function = UNIQUE_PIECES[label][name]
    return lambda arguments: function(*arguments)
'''


def stitching_file(
    unique: UniquePieces, entry: DispatchEntry, title: str, sizes: Sizes, folder: str
) -> str:
    """The generated function that runs the pieces, with the pieces from their own files.

    Args:
        unique: the pieces.
        entry: the row of the dispatch table.
        title: what it is.
        sizes: at which it is run.
        folder: beside the file, with a file per unique piece.

    Raises:
        PlanError: the function cannot be written, or has a name that the file needs itself.
    """
    program = write_program(unique, entry.function_name)
    clash = HELPERS & {*program.scope, *program.bound_names.values()}
    if clash:
        raise PlanError(f"The model has a value of the name {min(clash)}, which the file needs.")
    writer = FileWriter(sizes)
    writer.imports.lines |= dict.fromkeys(["import runpy", "from pathlib import Path"])
    writer.functions.append(_LOADING.format(folder=folder).strip("\n") + "\n")
    for piece in unique.pieces:
        _add_runner(writer, unique, piece, program.source)
    _add_constants(writer, program)
    normalised = unique.split.normalised
    real = dict(zip((i.name for i in normalised.inputs), normalised.example_values, strict=True))
    values = [
        f"    {program.bound_names[node.name]}="
        f"{writer.value(example_value(node), real.get(node.name))},"
        for node in placeholders(normalised.graph)
        if node.name in program.bound_names
    ]
    if values:
        bound = "\n".join(["globals().update(  # parameters, bound once", *values, ")"])
        writer.functions.append(f"{bound}\n")
    writer.functions.append(program.source)
    per_call = {each.name for each in normalised.inputs if each.kind in PER_CALL}
    writer.add_inputs(normalised.graph, real, per_call)
    return writer.file(title, f"{program.name}(*make_inputs())")


def _add_runner(writer: FileWriter, unique: UniquePieces, piece: Piece, source: str) -> None:
    if not re.search(rf"\b{piece.name}\(", source):
        return  # a short splitting piece stands in the function itself
    if piece.kind is PieceKind.SPLITTING:
        writer.add_graph(piece.graph, f"{piece.name}_graph")
        line = f"{piece.name} = lambda arguments: {piece.name}_graph(*arguments)\n"
    else:
        group = next(u for u in unique.unique_pieces if u.unique_id == piece.unique_id)
        line = f"{piece.name} = unique_piece({group.unique_id!r}, {group.representative.name!r})\n"
    writer.functions.append(line)


def _add_constants(writer: FileWriter, program: StitchedProgram) -> None:
    writer.imports.add_operators(program.scope.values())
    for name, value in program.scope.items():
        if name in SCALAR_FUNCTIONS:
            continue
        if isinstance(value, float):
            writer.functions.append(f"{name} = float({str(value)!r})\n")
        else:
            writer.imports.add_value(name, value)
    _import_constants(writer, program.source)
