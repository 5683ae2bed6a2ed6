"""One compilation as one file: written from a session, and opened as a session somewhere else.

There are views in it, which need no model, and, where the compilation could be stored, all that
runs it: that is put into the store where the file is opened, and found there as any other.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from explorer.artifacts import Artifact, CapturedGraph
from explorer.compilation import Compilation
from explorer.compilation_entry import captured_of, plan_of, view_blobs
from explorer.compilation_store import CompilationStore
from explorer.config import CompilationConfig, StoreConfig
from explorer.deferred import Once
from explorer.environment import environment_factors
from explorer.errors import ConfigError, StoreError, StoreMiss
from explorer.stages.capture import CaptureRequest
from explorer.stages.graphs import example_value, placeholders
from explorer.store.artifact_store import ArtifactStore, open_store
from explorer.store.exported import ExportedEntry, read_file, write_file
from explorer.store.manifest import manifest_of
from explorer.store.secret import default_secret_path, kept_secret
from explorer.torch_private import graph_codec
from explorer.torch_private.graph_codec import NotWritableError

VIEW = "view"
_FACTS = ("name", "timings", "counts")


def write_session(
    path: Path, compilation: Compilation, request: CaptureRequest, config: CompilationConfig
) -> str:
    """Writes a compilation into a file.

    Args:
        path: of the file; one that is there is replaced.
        compilation: what to write.
        request: what was captured for it.
        config: that it was made under.

    Returns:
        Why it can only be looked at where it is opened; empty when it can run there.

    Raises:
        ConfigError: the configuration holds an object that cannot be written.
        StoreError: the file cannot be written.
    """
    from explorer.report import html, text

    view = _view(compilation, config)
    parts, reason = _parts(compilation, request, config)
    pages = {
        "report.html": html.page(compilation).encode(),
        "summary.txt": text.summary(compilation).encode(),
    }
    write_file(path, (view, *parts), pages, kept_secret(default_secret_path()))
    return reason


def _view(compilation: Compilation, config: CompilationConfig) -> ExportedEntry:
    plain = config.replace(store=StoreConfig(), debug_dump_path=None)
    try:
        blobs = {
            **view_blobs(compilation),
            "artifacts": graph_codec.dump([_described(each) for each in compilation.artifacts]),
            "facts": graph_codec.dump({name: getattr(compilation, name) for name in _FACTS}),
            "config": graph_codec.dump(plain),
        }
    except NotWritableError as error:
        raise ConfigError(f"{compilation.name} cannot be saved: {error}.") from error
    return _entry(VIEW, environment_factors(), blobs, compilation.name)


def _described(artifact: Artifact) -> dict[str, Any]:
    fields = {each.name: getattr(artifact, each.name) for each in dataclasses.fields(artifact)}
    return {name: value for name, value in fields.items() if name != "callable"}


def _entry(
    kind: str, factors: Mapping[str, str], contents: Mapping[str, bytes], label: str
) -> ExportedEntry:
    now = time.time()
    manifest = manifest_of(kind, factors, contents, label=label, created_seconds=now)
    return ExportedEntry(manifest, contents)


def _parts(
    compilation: Compilation, request: CaptureRequest, config: CompilationConfig
) -> tuple[list[ExportedEntry], str]:
    """The entries that run it, or why there are none."""
    stored = CompilationStore(request, config)
    if not compilation.was_loaded_whole:
        stored.save(compilation)
    entry = stored.entry()
    if entry is None:
        return [], "; ".join(stored.reasons) or "it is not stored: the store is off, or full"
    store = open_store(config.store.root)
    found = [ExportedEntry(entry.manifest, {name: entry.read(name) for name in entry.names})]
    for wanted in json.loads(entry.read("wanted.json")):
        piece = store.get("piece", wanted["factors"])
        if piece is None:
            return [], "a piece of it is no longer stored"
        contents = {name: piece.read(name) for name in piece.names}
        found.append(ExportedEntry(piece.manifest, contents))
    return found, ""


# ----------------------------------------------------------------------------------------- opening


@dataclasses.dataclass(frozen=True, eq=False)
class SavedSession:
    """What a file holds.

    Attributes:
        path: of the file.
        config: that the compilation was made under, with the store of whoever opens it.
        entries: the first one is the view.
    """

    path: Path
    config: CompilationConfig
    entries: tuple[ExportedEntry, ...]

    def keep(self) -> None:
        """Puts what runs the compilation into the store of this process."""
        store: ArtifactStore = open_store(self.config.store.root)
        for each in self.entries[1:]:
            manifest = each.manifest
            store.put(manifest.kind, manifest.factors, each.contents, label=manifest.label)

    def compilation(self, reason: str) -> Compilation:
        """The compilation, to be looked at.

        Args:
            reason: why it cannot run.

        Raises:
            StoreError: it is of another version of torch or of this package, or of ops that this
                process does not know.
        """
        view = self._load("view")
        artifacts = tuple(
            Artifact(callable=_refusing(reason), **each) for each in self._load("artifacts")
        )
        request = CaptureRequest(cast(Any, None), (), {}, fixed_dims=view["fixed_dims"])
        captured: CapturedGraph
        values = Once(lambda: tuple(map(example_value, placeholders(captured.graph))))
        known = {"raw": _NoCall(reason), "model": None, "request": request}
        captured = captured_of(view, {**known, "example_values": values}, self._load)
        plan = plan_of(view, captured, artifacts, values, {}, self.config)
        return Compilation(self.config, plan, **self._load("facts"))

    def _load(self, name: str) -> Any:
        return _loaded(self.path, self.entries[0], name)

    def differences(self) -> str:
        """In what this process differs from the one that wrote the file; empty for nothing."""
        stored, here = self.entries[0].manifest.factors, environment_factors()
        names = [name for name in stored if stored[name] != here.get(name)]
        texts = [f"{name} (saved {stored[name]}, here {here.get(name)})" for name in names[:3]]
        return "; ".join(texts)


def open_file(path: Path, *, root: Path | None, trust: bool) -> SavedSession:
    """Reads a file that ``write_session`` wrote.

    Args:
        path: of the file.
        root: of the store that takes what is in it; None takes the user's own.
        trust: whether to open what another user wrote; that runs code which is in the file.

    Raises:
        StoreError: it is no such file, is damaged, or was written by somebody else.
    """
    entries = read_file(path, kept_secret(default_secret_path()), trust=trust)
    if entries[0].manifest.kind != VIEW:
        raise StoreError(f"{path} holds no saved compilation.")
    config = _loaded(path, entries[0], "config")
    return SavedSession(path, config.replace(store=StoreConfig(root=root)), entries)


def _loaded(path: Path, entry: ExportedEntry, name: str) -> Any:
    try:
        return graph_codec.load(entry.contents[name])
    except Exception as error:  # of another version, or of ops and classes that are not there
        raise StoreError(
            f"{path} cannot be opened here ({type(error).__name__}: {error}): import what defines "
            "the model's ops first, or use the versions that wrote it. The page report.html in it "
            "can be read with any browser; the file is a zip archive."
        ) from error


def _refusing(reason: str) -> Any:
    def call(arguments: list[Any]) -> Any:
        raise StoreMiss(reason)

    return call


class _NoCall:
    """In the place of what binds calls, where there is no model."""

    is_empty = False
    graph_module = None
    function = None
    receiver = None
    state = None

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def has_side_effects(self) -> bool:
        """Raises: StoreMiss."""
        raise StoreMiss(self._reason)

    def bind(self, flat_function: Any) -> Any:
        """Raises: StoreMiss."""
        raise StoreMiss(self._reason)


__all__ = ["SavedSession", "open_file", "write_session"]
