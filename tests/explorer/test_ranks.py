"""Ranks under torchrun share what is stored: each piece is compiled by one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from explorer.piece_store import KIND
from explorer.store.artifact_store import open_store

REPOSITORY = Path(__file__).resolve().parents[2]


def run_two_ranks(folder: Path, what: str) -> dict[int, dict[str, Any]]:
    """What each of two ranks wrote down; one that died wrote nothing."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "tests.explorer.rank", str(folder), what],
        cwd=REPOSITORY,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = {rank: folder / f"rank{rank}.json" for rank in (0, 1)}
    return {rank: json.loads(file.read_text()) for rank, file in files.items() if file.exists()}


def compiles(folder: Path) -> Counter[str]:
    """How often each piece was compiled, by all ranks together."""
    return Counter((folder / "compiled").read_text().splitlines())


def test_two_ranks_compile_each_piece_once(tmp_path: Path) -> None:
    found = run_two_ranks(tmp_path, "all")
    assert set(found) == {0, 1}
    made = compiles(tmp_path)
    assert len(made) == 4  # two pieces, two ranges
    assert set(made.values()) == {1}
    counts = Counter[str]()
    for each in found.values():
        counts.update(each["counts"])
        assert each["equal"] == [True] * 5
    assert (counts["compiled"], counts["saved"], counts["loaded"]) == (4, 4, 4)
    pairs = zip(found[0]["origins"], found[1]["origins"], strict=True)
    assert all({first, second} == {"compiled", "store"} for first, second in pairs)
    assert len(open_store(tmp_path / "store").find(KIND, {})) == 4
    assert found[0]["environment"] == found[1]["environment"]


def test_a_rank_that_dies_while_it_compiles_stops_nobody(tmp_path: Path) -> None:
    found = run_two_ranks(tmp_path, "die")
    (survivor,) = found.values()
    assert survivor["equal"] == [True] * 5
    assert survivor["origins"] == ["compiled"] * 4
    assert sorted(compiles(tmp_path).values()) == [1, 1, 1, 2]  # the first one, by both
    assert len(open_store(tmp_path / "store").find(KIND, {})) == 4
