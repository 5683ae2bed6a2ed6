"""A Compilation in, plain data out: rows of tables, cells of the strip, sentences.

Every row is a dict of strings, numbers and None, so that it can become JSON, a data frame or a
table on a page. Units are in the names of the columns. Texts of a model come as they are: whoever
draws them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    GuardOrigin,
    InputKind,
    Piece,
    PieceKind,
    UniquePiece,
    UniquePieces,
)
from explorer.guards.listing import all_guards, enforcement_of
from explorer.guards.places import source_between
from explorer.report.folding import SPLITTING_MARK, Run, fold
from explorer.report.graph_parts import Naming, is_size
from explorer.report.graph_view import graph_view
from explorer.report.source_text import generated_codes, piece_source
from explorer.report.wording import (
    counted,
    label_of,
    lines_text,
    listed,
    place_text,
    range_text,
    short_path,
    with_short_paths,
)
from explorer.size_range import interval_text
from explorer.stages.graphs import example_value, placeholders

if TYPE_CHECKING:
    import pandas

    from explorer.artifacts.compiled import RangeDifference
    from explorer.compilation import Compilation

Row: TypeAlias = dict[str, Any]

MOST_DIFFERENCES = 40
"""Pairs of unique pieces whose difference is put in words."""

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER)


def frame(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """The rows as a data frame."""
    import pandas

    return pandas.DataFrame(list(rows))


def backend_name(compilation: Compilation) -> str:
    """The backend that was asked for."""
    backend = compilation.config.backend
    return backend if isinstance(backend, str) else str(backend.name)


# -------------------------------------------------------------------------------------------- facts


def facts(compilation: Compilation) -> dict[str, str]:
    """What stands at the head of every report: label -> text."""
    captured, pieces = compilation.captured, compilation.pieces
    splitting = sum(piece.kind is PieceKind.SPLITTING for piece in pieces)
    kinds = [each.kind for each in captured.inputs]
    weights = sum(kind in _WEIGHTS for kind in kinds)
    origins = [artifact.origin for artifact in compilation.artifacts]
    made, loaded = origins.count(ArtifactOrigin.COMPILED), origins.count(ArtifactOrigin.STORE)
    return {
        "captured": f"{counted(len(captured.graph.nodes), 'node')}, {counted(weights, 'weight')}",
        "pieces": (
            f"{counted(len(pieces), 'piece')}, {len(pieces) - splitting} compiled "
            f"({len(compilation.unique_pieces)} unique), {splitting} splitting"
        ),
        "splits at": listed(splitting_names(compilation), 3) or "nothing: one piece",
        "sizes": sizes_text(compilation),
        "ranges": ranges_text(compilation),
        "artifacts": f"{len(origins)}, of which {made} compiled now"
        + (f", {loaded} loaded from the store" if loaded else ""),
        "backend": backend_name(compilation),
        "guard policy": compilation.config.guard_policy.name,
        "device": ", ".join(devices(compilation)) or "–",
        "torch": torch.__version__,
    }


def splitting_names(compilation: Compilation) -> tuple[str, ...]:
    """The ops and modules at which the graph was cut, in order of first appearance."""
    names = [name for piece in compilation.pieces for name in piece.splitting_names]
    return tuple(dict.fromkeys(names))


def devices(compilation: Compilation) -> tuple[str, ...]:
    """Where weights and inputs live."""
    values = compilation.normalised.example_values
    found = [str(value.device) for value in values if isinstance(value, torch.Tensor)]
    return tuple(dict.fromkeys(found))


def sizes_text(compilation: Compilation) -> str:
    """Each dynamic size, the dims that have it, and the example that was traced."""
    texts = []
    for size in compilation.captured.sizes:
        dims = listed([f"{path}.size({dim})" for path, dim in size.sources], 3)
        texts.append(f"{size.name} = {dims}, example {size.hint}")
    return "; ".join(texts) or "none is dynamic"


def ranges_text(compilation: Compilation) -> str:
    """The dispatch sizes that are served: ranges, then exact sizes."""
    compiled = compilation.compiled
    if compiled.dispatch is None:
        return "one artifact for all calls"
    exact = ", ".join(map(str, compiled.exact_sizes))
    text = f"{compiled.dispatch.name} in {interval_text(compiled.ranges)}"
    return f"{text}; exactly {exact}" if exact else text


# -------------------------------------------------------------------------------------------- strip


def piece_label(piece: Piece) -> str:
    """``A`` for a compiled piece, ``▨`` for a splitting one."""
    return piece.unique_id or SPLITTING_MARK


def colour_of(compilation: Compilation | UniquePieces) -> dict[str, int]:
    """Unique id -> number of its colour, in order of first appearance."""
    return {unique.unique_id: number for number, unique in enumerate(compilation.unique_pieces)}


def strip_cells(compilation: Compilation | UniquePieces) -> list[Row]:
    """One cell per piece: ``index label kind colour nodes modules title``.

    A splitting piece has no colour.
    """
    colours = colour_of(compilation)
    return [_strip_cell(piece, colours) for piece in compilation.pieces]


def _strip_cell(piece: Piece, colours: Mapping[str, int]) -> Row:
    modules = modules_text(piece)
    if piece.kind is PieceKind.SPLITTING:
        what = f"splits at {listed(piece.splitting_names, 3)}"
    else:
        what = f"compiled {piece.unique_id}, {counted(piece.node_count, 'node')}"
    return {
        "index": piece.index,
        "label": piece.unique_id or "split",
        "kind": piece.kind.value,
        "colour": colours.get(piece.unique_id or ""),
        "nodes": piece.node_count,
        "modules": modules,
        "title": f"piece {piece.index}: {what}{', ' if modules else ''}{modules}",
    }


def strip_runs(compilation: Compilation | UniquePieces) -> tuple[Run, ...]:
    """The strip with repeated bodies folded."""
    return fold([piece_label(piece) for piece in compilation.pieces])


def modules_text(piece: Piece) -> str:
    """The modules that a piece spans: ``layers.0.mlp … layers.1.attention``."""
    if not piece.modules:
        return ""
    first, last = (label_of(each, 400) for each in (piece.modules[0], piece.modules[-1]))
    return first if first == last else f"{first} … {last}"


# ------------------------------------------------------------------------------------------- tables


def piece_rows(compilation: Compilation) -> list[Row]:
    """One row per piece, in order; ``inputs`` are values of other pieces or of the call."""
    weights = {each.name for each in compilation.normalised.inputs if each.kind in _WEIGHTS}
    return [_piece_row(piece, weights) for piece in compilation.pieces]


def _piece_row(piece: Piece, weights: set[str]) -> Row:
    given = [node for node in placeholders(piece.graph) if not is_size(example_value(node))]
    return {
        "index": piece.index,
        "unique_id": piece.unique_id,
        "kind": piece.kind.value,
        "nodes": piece.node_count,
        "inputs": sum(node.name not in weights for node in given),
        "weights": sum(node.name in weights for node in given),
        "outputs": len(piece.outputs),
        "sizes": ", ".join(piece.size_names),
        "splits_at": ", ".join(piece.splitting_names),
        "modules": modules_text(piece),
        "source": lines_text(piece.source_lines),
    }


def group_rows(compilation: Compilation) -> list[Row]:
    """One row per unique piece."""
    return [_group_row(compilation, unique) for unique in compilation.unique_pieces]


def _group_row(compilation: Compilation, unique: UniquePiece) -> Row:
    own = [a for a in compilation.artifacts if a.unique_id == unique.unique_id]
    return {
        "unique_id": unique.unique_id,
        "count": len(unique.piece_indices),
        "pieces": indices_text(unique.piece_indices),
        "nodes": unique.representative.node_count,
        "sizes": ", ".join(unique.size_names),
        "artifacts": len(own),
        "seconds": sum(artifact.seconds for artifact in own),
        "modules": modules_text(unique.representative),
        "source": lines_text(unique.representative.source_lines),
        "fingerprint": unique.fingerprint[:12],
    }


def indices_text(indices: Sequence[int]) -> str:
    """``2, 4, 6 … 22`` for many indices."""
    if len(indices) <= 5:
        return ", ".join(map(str, indices))
    return f"{', '.join(map(str, indices[:3]))} … {indices[-1]}"


def artifact_rows(compilation: Compilation) -> list[Row]:
    """One row per artifact."""
    return [_artifact_row(artifact) for artifact in compilation.artifacts]


def _artifact_row(artifact: Artifact) -> Row:
    asked = artifact.requested_range
    return {
        "unique_id": artifact.unique_id,
        "size_range": range_text(artifact.size_range),
        "part_of": range_text(asked) if asked != artifact.size_range else "",
        "seconds": artifact.seconds,
        "bytes": artifact.bytes,
        "origin": artifact.origin.value + (" (torch's cache)" if artifact.from_torch_cache else ""),
        "changed": ", ".join(artifact.changed_factors),
        "backend": artifact.backend,
        "guards": "; ".join(artifact.guards),
        "notes": "; ".join(artifact.notes),
    }


def skipped_rows(compilation: Compilation) -> list[Row]:
    """One row per range without an artifact."""
    return [
        {"size_range": range_text(skip.size_range), "reason": with_short_paths(skip.reason)}
        for skip in compilation.compiled.skipped
    ]


def guard_rows(compilation: Compilation) -> list[Row]:
    """One row per condition that the compilation relies on, with who made it and where."""
    rows = []
    for guard in all_guards(compilation):
        location = guard.location
        rows.append(
            {
                "text": guard.text,
                "origin": guard.origin.value,
                "at_run_time": enforcement_of(guard, compilation.config).value,
                "reads": ", ".join(guard.sources),
                "file": short_path(location.file) if location else None,
                "line": location.line if location else None,
                "column": location.column if location else None,
                "code": location.text if location else "",
                "op": guard.operator or "",
                "phase": guard.phase.value,
                "piece": guard.piece or "",
                "framework": guard.framework or "",
            }
        )
    return rows


def size_guard_rows(compilation: Compilation) -> list[Row]:
    """The rows of ``guard_rows`` for the conditions on sizes that the trace made."""
    count = len(compilation.captured.guards) + len(compilation.captured.runtime_asserts)
    return guard_rows(compilation)[:count]


def value_guard_rows(compilation: Compilation) -> list[Row]:
    """The rows of ``guard_rows`` for Python values: arguments, attributes, dtypes, settings."""
    return [row for row in guard_rows(compilation) if row["origin"] == GuardOrigin.VALUE.value]


def site_rows(compilation: Compilation) -> list[Row]:
    """One row per test in the model's source that depends on sizes, also those not reached."""
    return [
        {
            "file": short_path(site.location.file),
            "line": site.location.line,
            "column": site.location.column,
            "test": source_between(site.location),
            "kind": site.kind.value,
            "answers": ", ".join(str(answer) for answer in site.answers),
            "recorded_as": site.recorded_as.value,
            "text": site.text,
        }
        for site in compilation.captured.branch_sites
    ]


def timing_rows(compilation: Compilation) -> list[Row]:
    """One row per step: wall seconds, and whether its result was taken from before."""
    return [
        {"step": step, "seconds": seconds, "note": "" if seconds else "not run again"}
        for step, seconds in compilation.timings.items()
    ]


def rewrite_rows(compilation: Compilation) -> list[Row]:
    """One row per change that step 2 made."""
    return [
        {
            "kind": rewrite.kind,
            "node": rewrite.node,
            "touched": listed(rewrite.touched, 6),
            "text": rewrite.text,
        }
        for rewrite in compilation.normalised.rewrites
    ]


def input_rows(compilation: Compilation) -> list[Row]:
    """One row per tensor of the call."""
    naming = Naming(compilation)
    return [
        {
            "path": tensor.path,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": naming.dims(tensor.shape),
            "stride": naming.dims(tensor.stride),
            "device": str(tensor.device),
            "written": tensor.written,
        }
        for tensor in compilation.captured.user_inputs
    ]


def difference_rows(compilation: Compilation) -> list[Row]:
    """Why the groups are not one: each against the earlier one that is nearest in length."""
    uniques = compilation.unique_pieces
    rows = []
    for number, unique in enumerate(uniques[1 : MOST_DIFFERENCES + 1], start=1):
        nodes = unique.representative.node_count
        other = min(uniques[:number], key=lambda each: abs(each.representative.node_count - nodes))
        pair = (other.representative, unique.representative)
        for difference in compilation.explain_difference(*pair):
            rows.append(
                {
                    "a": other.unique_id,
                    "b": unique.unique_id,
                    "kind": difference.kind,
                    "in_a": difference.a,
                    "in_b": difference.b,
                    "source": "; ".join(
                        dict.fromkeys(place_text(place) for place in difference.source_lines)
                    ),
                    "hint": difference.hint,
                }
            )
    return rows


def note_list(compilation: Compilation) -> list[str]:
    """What a user should know, one sentence each."""
    notes = [with_short_paths(note) for note in compilation.notes]
    for unique_id, ranges in compilation.compiled.same_code:
        texts = " and ".join(range_text(each) for each in ranges)
        notes.append(f"piece {unique_id}: the code for {texts} is the same")
    return notes + [str(each) for each in range_differences(compilation) if not each.is_same]


def range_differences(compilation: Compilation) -> tuple[RangeDifference, ...]:
    """What the ranges changed in compiled code; the eager backend compiles none."""
    return tuple(each for each in compilation.explain_ranges() if each.backend != "eager")


__all__ = [
    "artifact_rows",
    "backend_name",
    "colour_of",
    "devices",
    "difference_rows",
    "facts",
    "frame",
    "generated_codes",
    "graph_view",
    "group_rows",
    "guard_rows",
    "indices_text",
    "input_rows",
    "modules_text",
    "note_list",
    "piece_label",
    "piece_rows",
    "piece_source",
    "range_differences",
    "range_text",
    "ranges_text",
    "rewrite_rows",
    "site_rows",
    "size_guard_rows",
    "sizes_text",
    "skipped_rows",
    "splitting_names",
    "strip_cells",
    "strip_runs",
    "timing_rows",
    "value_guard_rows",
]
