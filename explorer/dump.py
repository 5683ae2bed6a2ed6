"""Every stage of a compilation as files to read and to run, with an index.

A compilation gets a folder of its own below ``debug_dump_path``, ``<model>_000``, ``<model>_001``
and so on, and each step adds its files as soon as it is done, so that they are there when a later
step fails. ``python 04_unique/A.py`` runs that piece on made-up inputs. Nothing reads the files
again.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.artifacts import (
    Artifact,
    CapturedGraph,
    CompiledPieces,
    DispatchPlan,
    NormalisedGraph,
    SplitGraph,
    UniquePieces,
)
from explorer.config import CompilationConfig
from explorer.report.guards_text import guards_text
from explorer.report.runnable import Sizes, piece_file, sizes_of
from explorer.report.runnable_split import split_file, stitching_file
from explorer.report.settings import settings_view
from explorer.report.split_source import heading
from explorer.report.wording import clean, counted, range_text, seconds_text
from explorer.size_range import SizeRange

logger = logging.getLogger("explorer")

_LONGEST_NAME = 60


@dataclass
class _Entry:
    """A line of the index."""

    file: str
    what: str
    problem: str = ""


class Dump:
    """Writes the steps of one compilation; a problem with a file is logged and stops nothing.

    Args:
        root: the folder in which the compilation gets one.
        config: of the compilation.
        name: the model's short name.
    """

    def __init__(self, root: Path, config: CompilationConfig, name: str) -> None:
        self.root = root
        self.config = config
        self.name = name
        self.folder: Path | None = None
        self.is_writable = True
        self.entries: list[_Entry] = []
        self.steps: dict[str, str] = {}
        self.captured: CapturedGraph | None = None

    # ---------------------------------------------------------------------------- told of the steps

    def done(self, name: str, result: Any) -> None:
        """Adds the files of a step."""
        self.steps[name] = result.summary()
        if name == "normalise" and self.captured is None:
            self._add_capture(result.captured)
        add: Mapping[str, Callable[[Any], None]] = {
            "capture": self._add_capture,
            "normalise": self._add_normalised,
            "split": self._add_split,
            "dedupe": self._add_unique,
            "compile": self._add_compiled,
            "plan": self._add_plan,
        }
        add[name](result)
        self._write_index()

    def failed(self, name: str, error: BaseException) -> None:
        """Says in the index which step failed, and why."""
        self.steps[name] = f"failed: {type(error).__name__}: {error}"
        if self.captured is None:
            self._add_config()
        self._write_index()

    # ------------------------------------------------------------------------------------ the files

    def _add_config(self) -> None:
        self._add(
            "config.json",
            "the configuration",
            lambda: json.dumps(settings_view(self.config), indent=2, default=str) + "\n",
        )

    def _add_capture(self, captured: CapturedGraph) -> None:
        self.captured = captured
        self._add_config()
        inputs, values = captured.inputs, captured.example_values
        self._add(
            "01_captured.py",
            "the graph as it was captured",
            lambda: piece_file(
                captured.graph,
                "captured",
                self._title(captured.summary()),
                sizes_of(captured),
                dict(zip((each.name for each in inputs), values, strict=True)),
            ),
        )
        self._add("guards.txt", "what the graph relies on", lambda: guards_text(captured, ()))

    def _add_normalised(self, normalised: NormalisedGraph) -> None:
        self._add(
            "02_normalised.py",
            "the graph with sizes as values of their own",
            lambda: piece_file(
                normalised.graph,
                "normalised",
                self._title(normalised.summary()),
                sizes_of(normalised.captured),
                _real_values(normalised),
            ),
        )

    def _add_split(self, split: SplitGraph) -> None:
        normalised = split.normalised
        self._add(
            "03_split.py",
            "the pieces, and the function that calls them in order",
            lambda: split_file(
                split,
                self._title(split.summary()),
                sizes_of(normalised.captured),
                _real_values(normalised),
            ),
        )

    def _add_unique(self, unique: UniquePieces) -> None:
        normalised = unique.split.normalised
        for each in unique.unique_pieces:
            piece = each.representative
            members = ", ".join(map(str, each.piece_indices))
            what = f"{heading(piece)}; it stands for {counted(len(each.piece_indices), 'piece')}"
            self._add(
                f"04_unique/{each.unique_id}.py",
                what,
                lambda piece=piece, what=f"{what}: {members}": piece_file(
                    piece.graph,
                    piece.name,
                    self._title(what),
                    sizes_of(normalised.captured),
                    _real_values(normalised),
                ),
            )

    def _add_compiled(self, compiled: CompiledPieces) -> None:
        for artifact in compiled.artifacts:
            text = range_text(artifact.size_range)
            what = (
                f"piece {artifact.unique_id} for {text}, by {artifact.backend}: "
                f"{artifact.origin.value}, {seconds_text(artifact.seconds)}"
            )
            self._add(
                f"05_compiled/{artifact.unique_id}_{_range_name(artifact)}.py",
                what,
                lambda artifact=artifact, what=what: self._code(compiled, artifact, what),
            )
        captured = compiled.unique.split.normalised.captured
        added = [each for artifact in compiled.artifacts for each in artifact.guard_records]
        if added:
            self._add(
                "guards.txt", "what the graph relies on", lambda: guards_text(captured, added)
            )

    def _code(self, compiled: CompiledPieces, artifact: Artifact, what: str) -> str:
        """What the backend wrote; the piece itself where the backend runs that."""
        code = artifact.generated_code()
        if artifact.backend != "eager" and code:
            return f"# {clean(self._title(what))}\n{code}"
        note = "" if code else " The backend does not show what it made; this is the piece."
        normalised = compiled.unique.split.normalised
        group = next(u for u in compiled.unique.unique_pieces if u.unique_id == artifact.unique_id)
        piece = group.representative
        sizes = self._sizes_in(compiled, artifact.size_range)
        title = self._title(what + note)
        return piece_file(piece.graph, piece.name, title, sizes, _real_values(normalised))

    def _sizes_in(self, compiled: CompiledPieces, size_range: SizeRange | None) -> Sizes:
        captured = compiled.unique.split.normalised.captured
        dispatch = compiled.dispatch
        if dispatch is None or size_range is None or dispatch.hint in size_range:
            return sizes_of(captured)
        return sizes_of(captured, {dispatch.name: min(size_range.end, max(size_range.start, 2))})

    def _add_plan(self, plan: DispatchPlan) -> None:
        if not plan.entries:
            return
        entry = plan.entries[-1]
        what = f"the generated function that runs the pieces for {range_text(entry.size_range)}"
        sizes = self._sizes_in(plan.compiled, entry.size_range)
        title = self._title(f"{what}; the compiled pieces are replaced by those of 04_unique.")
        self._add(
            "06_stitching.py",
            what,
            lambda: stitching_file(plan.compiled.unique, entry, title, sizes, "04_unique"),
        )

    def _title(self, what: str) -> str:
        return f"{clean(self.name)}: {clean(what)}"

    # -------------------------------------------------------------------------------------- writing

    def _add(self, file: str, what: str, make: Callable[[], str]) -> None:
        """Writes one file and its line of the index."""
        entry = next((each for each in self.entries if each.file == file), None)
        if entry is None:
            entry = _Entry(file, what)
            self.entries.append(entry)
        try:
            text = make()
        except Exception as error:  # a file to look at must not be what fails a compile
            entry.problem = f"{type(error).__name__}: {error}"
            logger.warning("%s of the dump could not be made: %s", file, entry.problem)
            return
        self._write(file, text)

    def _write(self, file: str, text: str) -> None:
        if not self.is_writable:
            return
        try:
            self.folder = self.folder or _new_folder(self.root, self.name)
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            self.is_writable = False
            logger.warning(
                "debug_dump_path %s cannot be written to (%s), so this compilation is not dumped",
                self.root,
                error.strerror or error,
            )

    def _write_index(self) -> None:
        lines = [f"# {clean(self.name)}", "", "| step | result |", "|---|---|"]
        lines += [f"| {name} | {_cell(text)} |" for name, text in self.steps.items()]
        lines += ["", "| file | what |", "|---|---|"]
        for each in sorted(self.entries, key=lambda entry: entry.file):
            problem = f" (could not be made: {each.problem})" if each.problem else ""
            lines.append(f"| {each.file} | {_cell(each.what + problem)} |")
        lines += [
            "",
            "Each Python file runs by itself, on made-up inputs: `python 04_unique/A.py`.",
            "",
        ]
        self._write("00_index.md", "\n".join(lines))


def _cell(text: str) -> str:
    return clean(text).replace("|", "\\|")


def _real_values(normalised: NormalisedGraph) -> dict[str, Any]:
    names = [each.name for each in normalised.inputs]
    return dict(zip(names, normalised.example_values, strict=True))


def _range_name(artifact: Artifact) -> str:
    """``1-64``, ``16`` for a size that was asked for by itself, ``any``."""
    served, asked = artifact.size_range, artifact.requested_range
    if served is None:
        return "any"
    if asked is not None and asked.is_single_size:
        return str(served.start)
    return f"{served.start}-{served.end}"


def _new_folder(root: Path, name: str) -> Path:
    """A folder that nobody had before."""
    safe = re.sub(r"[^0-9A-Za-z_-]+", "_", name).strip("_")[:_LONGEST_NAME] or "model"
    number = 0
    root.mkdir(parents=True, exist_ok=True)
    while True:
        folder = root / f"{safe}_{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
