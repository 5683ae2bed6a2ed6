"""Events in torch's structured log, so that tlparse shows a compilation beside torch's own work.

``TORCH_TRACE=folder python program.py`` writes the log, ``tlparse folder/*.log`` makes pages of it.
The events of one compilation, in order:

================================  ==========  ====================================================
name                              kind        content
================================  ==========  ====================================================
``piecewise_compilation_config``  json        the configuration and what the capture assumed
``piecewise_split_graph``         graph       the pieces in order, and what crosses each cut
``piecewise_<piece name>``        graph       a unique piece, once
``piecewise_compile_start``       json        before an artifact: piece, sizes, key
``piecewise_compile_end``         json        after it: seconds, bytes, origin, or the error
``piecewise_stitching_source``    text        the generated function that runs the pieces
================================  ==========  ====================================================

Nothing is computed when nobody listens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from explorer.artifacts import (
    Artifact,
    CapturedGraph,
    DispatchPlan,
    NormalisedGraph,
    UniquePiece,
    UniquePieces,
)
from explorer.config import CompilationConfig
from explorer.report.settings import settings_view
from explorer.report.split_source import split_source
from explorer.size_range import SizeRange
from explorer.stages.compile_plan import WantedArtifact
from explorer.torch_private import structured_log


class StepTrace:
    """Logs the steps of one compilation.

    Args:
        config: of the compilation.
        name: the model's short name.
    """

    def __init__(self, config: CompilationConfig, name: str) -> None:
        self.config = config
        self.name = name

    def done(self, name: str, result: Any) -> None:
        """Logs what a step made."""
        if name == "normalise":  # the first step that runs for every compilation
            self._log_config(result)
        elif name == "dedupe":
            _log_pieces(result)
        elif name == "plan":
            _log_stitching(result)

    def failed(self, name: str, error: BaseException) -> None:
        """Logs the configuration of a model that could not be captured."""
        if name == "capture":
            payload = {**self._settings(), "error": f"{type(error).__name__}: {error}"}
            structured_log.log_artifact("piecewise_compilation_config", "json", lambda: payload)

    def _settings(self) -> dict[str, Any]:
        return {"model": self.name, **settings_view(self.config)}

    def _log_config(self, normalised: NormalisedGraph) -> None:
        captured = normalised.captured
        structured_log.log_artifact(
            "piecewise_compilation_config",
            "json",
            lambda: {**self._settings(), "capture": _capture_view(captured)},
            _compile_id(captured),
        )


def _compile_id(captured: CapturedGraph) -> Any:
    return structured_log.compile_id_of(captured.raw.graph_module)


def _capture_view(captured: CapturedGraph) -> dict[str, Any]:
    """The sizes, and the conditions under which the graph is right, each with its line."""
    conditions = [*captured.guards, *captured.value_guards, *captured.runtime_asserts]
    return {
        "nodes": len(captured.graph.nodes),
        "sizes": [
            {"name": size.name, "of": size.label, "example": size.hint} for size in captured.sizes
        ],
        "guards": [
            {"text": each.text, "origin": each.origin.value, "line": str(each.location or "")}
            for each in conditions
        ],
        "not_known": list(captured.unknown),
    }


def _log_pieces(unique: UniquePieces) -> None:
    compile_id = _compile_id(unique.split.normalised.captured)
    structured_log.log_graph("piecewise_split_graph", lambda: split_source(unique), compile_id)
    for each in unique.unique_pieces:
        piece = each.representative
        structured_log.log_graph(f"piecewise_{piece.name}", piece.readable, compile_id)


def _log_stitching(plan: DispatchPlan) -> None:
    compile_id = _compile_id(plan.compiled.unique.split.normalised.captured)
    structured_log.log_artifact(
        "piecewise_stitching_source", "string", lambda: plan.stitching_source, compile_id
    )


class ArtifactTrace:
    """Logs the start and the end of one request for an artifact.

    Args:
        unique: the piece and those that share it.
        wanted: the request.
        captured: the capture it belongs to.
        total: requests of the whole compilation; 1 for one that a call of size 1 makes.
    """

    def __init__(
        self, unique: UniquePiece, wanted: WantedArtifact, captured: CapturedGraph, total: int
    ) -> None:
        self.unique = unique
        self.wanted = wanted
        self.total = total
        self.compile_id = _compile_id(captured)

    def _log(self, name: str, **facts: Any) -> None:
        structured_log.log_artifact(
            name, "json", lambda: {**self._request(), **facts}, self.compile_id
        )

    def _request(self) -> dict[str, Any]:
        piece, wanted = self.unique.representative, self.wanted
        return {
            "piece_index": piece.index,
            "piece_name": piece.name,
            "unique_id": self.unique.unique_id,
            "shared_by": list(self.unique.piece_indices),
            "total": self.total,
            **_range_view(wanted.size_range),
            "key": wanted.key,
        }

    @contextlib.contextmanager
    def around(self, made: list[Artifact]) -> Iterator[None]:
        """Logs the start, then the end with what is in ``made`` by then, or the error."""
        self._log("piecewise_compile_start")
        try:
            with structured_log.as_part_of(self.compile_id):
                yield
        except BaseException as error:
            self._log("piecewise_compile_end", error=f"{type(error).__name__}: {error}")
            raise
        if structured_log.is_listening():
            self._log("piecewise_compile_end", **_made_view(made))


def _made_view(made: Sequence[Artifact]) -> dict[str, Any]:
    """What a request got; it is several artifacts where the compiler cut the range."""
    sizes = [artifact.bytes for artifact in made if artifact.bytes is not None]
    return {
        "origin": made[0].origin.value if made else "",
        "from_torch_cache": any(artifact.from_torch_cache for artifact in made),
        "seconds": round(sum(artifact.seconds for artifact in made), 6),
        "bytes": sum(sizes) if sizes else None,
        "backend": made[0].backend if made else "",
        "artifacts": [
            {
                **_range_view(artifact.size_range),
                "seconds": round(artifact.seconds, 6),
                "bytes": artifact.bytes,
                "conditions": list(artifact.guards),
                "notes": list(artifact.notes),
            }
            for artifact in made
        ],
    }


def _range_view(size_range: SizeRange | None) -> dict[str, Any]:
    return {
        "range_start": size_range.start if size_range else None,
        "range_end": size_range.end if size_range else None,
        "is_single_size": bool(size_range and size_range.is_single_size),
    }
