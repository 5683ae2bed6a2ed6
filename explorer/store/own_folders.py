"""The folders that a store makes for its own process: for one save, or for files to load."""

from __future__ import annotations

import atexit
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from explorer.store.root import FOLDER, WORK, StoreRoot
from explorer.store.working import WorkingDirectory, working_directory


class OwnFolders:
    """Makes them; what a killed process leaves is swept away by the next one."""

    def __init__(self, root: StoreRoot) -> None:
        self._root = root
        self._kept: dict[Path, WorkingDirectory] = {}
        self._keeping = threading.Lock()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder on the file system of the store, removed at the end of the block.

        Raises:
            OSError: it cannot be made.
        """
        working = working_directory(self._root.path / WORK)
        try:
            folder = working.path / "content"
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            working.remove()

    def places_for_copies(self) -> Iterator[Path]:
        """Folders that stay until the process ends: in the store, else beside temporary files.

        Raises:
            OSError: the last one cannot be made.
        """
        if self._root.can_write:
            with contextlib.suppress(OSError):
                yield self._until_exit(self._root.path / WORK, "").path
        yield self._until_exit(Path(tempfile.gettempdir()), f"{FOLDER}-").path

    def _until_exit(self, parent: Path, prefix: str) -> WorkingDirectory:
        with self._keeping:
            kept = self._kept.get(parent)
            # A forked child inherits the object; and people do remove whole caches by hand.
            if kept is None or not kept.is_ours or not kept.path.is_dir():
                kept = self._kept[parent] = working_directory(parent, prefix)
                atexit.register(kept.remove)
            return kept
