"""The folder in which shared objects lie on their way into memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from explorer.torch_private import kernels

SWEEP = """
import sys, tempfile
from pathlib import Path
from explorer.store.root import FOLDER
from explorer.store.working import sweep_orphans
sweep_orphans(Path(tempfile.gettempdir()), f"{FOLDER}-")
"""


def test_another_process_does_not_sweep_it_away() -> None:
    folder = kernels._folder_of(os.getpid()).path
    dead = Path(tempfile.mkdtemp(prefix="piecewise-explorer-0-"))

    subprocess.run([sys.executable, "-c", SWEEP], check=True)

    assert folder.is_dir()
    assert not dead.exists()
