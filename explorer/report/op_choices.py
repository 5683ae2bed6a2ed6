"""A Compilation in, what may be written as a splitting op for it out: ops and module globs."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import fx

from explorer.artifacts import NormalisedGraph
from explorer.report.wording import counted, label_of
from explorer.stages.split import (
    LONGEST_NAME,
    MODULE_PREFIX,
    nodes_by_module,
    present_ops,
    splitting_piece_counts,
)

if TYPE_CHECKING:
    from explorer.compilation import Compilation

MOST_GLOBS = 40
"""Module globs whose cuts are counted; each costs one walk over the graph."""

MOST_CHOICES = 200

_LABEL_WIDTH = 80
_OPS_OF_TORCH = ("aten", "prims", "prim", "higher_order", "quantized", "rngprims", "c10d")


def op_choices(compilation: Compilation) -> list[dict[str, Any]]:
    """What a person may pick, custom ops first, then modules that repeat, other ops and modules.

    Returns:
        ``name`` as it is to be written, ``label`` to show, ``kind`` (``custom op``, ``modules``,
        ``module``, ``op``), ``count`` (calls of an op, pieces that a module cuts) and ``text``.
    """
    normalised = compilation.normalised
    ops = [_op_choice(name, count) for name, count in present_ops(normalised).items()]
    modules = _module_choices(normalised)
    found = [
        *(each for each in ops if each["kind"] == "custom op"),
        *(each for each in modules if each["kind"] == "modules"),
        *(each for each in ops if each["kind"] == "op"),
        *(each for each in modules if each["kind"] == "module"),
    ]
    return [each for each in found if len(each["name"]) <= LONGEST_NAME][:MOST_CHOICES]


def choices_text(choices: Sequence[dict[str, Any]]) -> str:
    """One line a choice: ``demo::attention  custom op, 12 calls``."""
    return "\n".join(f"{each['label']}  {each['text']}" for each in choices)


def _op_choice(name: str, count: int) -> dict[str, Any]:
    namespace, found, _ = name.partition("::")
    kind = "custom op" if found and namespace not in _OPS_OF_TORCH else "op"
    return _choice(name, kind, count, f"{kind}, {counted(count, 'call')}")


def _choice(name: str, kind: str, count: int, text: str) -> dict[str, Any]:
    label = label_of(name, _LABEL_WIDTH)
    return {"name": name, "label": label, "kind": kind, "count": count, "text": text}


def _module_choices(normalised: NormalisedGraph) -> list[dict[str, Any]]:
    nodes_of: dict[str, set[fx.Node]] = {}
    paths_of: dict[str, set[str]] = {}
    for path, nodes in nodes_by_module(normalised).items():
        for pattern in _patterns(path):
            nodes_of.setdefault(pattern, set()).update(nodes)
            paths_of.setdefault(pattern, set()).add(path)
    repeated = [pattern for pattern, paths in paths_of.items() if len(paths) > 1]
    single = [pattern for pattern, paths in paths_of.items() if len(paths) == 1]
    covered = {path for pattern in repeated for path in paths_of[pattern]}
    single = [pattern for pattern in single if not paths_of[pattern] & covered]
    chosen = [*repeated, *single][:MOST_GLOBS]
    counts = splitting_piece_counts(normalised, {each: nodes_of[each] for each in chosen})
    found = []
    for pattern in chosen:
        modules, cuts = len(paths_of[pattern]), counted(counts[pattern], "piece")
        kind = "module" if modules == 1 else "modules"
        text = f"{counted(modules, 'module')}, cuts {cuts}"
        found.append(_choice(f"{MODULE_PREFIX}{pattern}", kind, counts[pattern], text))
    return found


def _patterns(path: str) -> list[str]:
    """The path with each choice of its numbers starred: ``layers.3.mlp`` and ``layers.*.mlp``."""
    parts = path.split(".")
    options = [("*", part) if part.isdecimal() else (glob.escape(part),) for part in parts]
    return [".".join(each) for each in itertools.islice(itertools.product(*options), 8)]
