"""Data as ``node_view`` makes it, of any size, without a model."""

from __future__ import annotations

from typing import Any

LAYER = (("norm", ("pow", "mean", "rsqrt", "mul")), ("mlp", ("linear", "silu", "linear_1")))


def layered_view(layers: int, *, hostile: str = "") -> dict[str, Any]:
    """One piece of equal layers, each of two modules and an add; no repetition is folded.

    Args:
        layers: 8 nodes each.
        hostile: stands in names of modules, code and constants.
    """
    view = _empty(hostile)
    previous = _add(view, "x", "input", "input", "", "x")
    start = len(view["nodes"]["name"])
    count = start + layers * 8
    _span(view, "piece", start, count, -1, 0)
    for layer in range(layers):
        previous = _layer(view, layer, previous, hostile)
    output = _add(view, "output", "output", "output", "", "")
    _edge(view, previous, output)
    view["text"] = f"{output + 1:,} nodes in 1 piece"
    return view


def _layer(view: dict[str, Any], layer: int, previous: int, hostile: str) -> int:
    nodes, spans = view["nodes"]["name"], view["spans"]["kind"]
    start, taken = len(nodes), previous
    outer = len(spans)
    _span(view, "module", start, start + 8, 0, _module(view, f"layers{hostile}.{layer}"))
    for module, ops in LAYER:
        path = f"layers{hostile}.{layer}.{module}"
        _span(view, "module", len(nodes), len(nodes) + len(ops), outer, _module(view, path))
        for op in ops:
            node = _add(view, f"{op}_{layer}", "op", op, path, hostile)
            _edge(view, taken, node)
            taken = node
    node = _add(view, f"add_{layer}", "op", "add", f"layers{hostile}.{layer}", "")
    _edge(view, taken, node)
    _edge(view, previous, node)
    return node


def _empty(hostile: str) -> dict[str, Any]:
    columns = ("name", "piece", "kind", "op", "value", "constants", "module", "place", "weights")
    code = f"x = layer(x)  # {hostile}"
    return {
        "name": f"layered{hostile}",
        "text": "",
        "nodes": {name: [] for name in columns},
        "tables": {
            "op": [],
            "value": ["f32 n × 16"],
            "constants": [],
            "module": [],
            "place": [["/model.py", 7, "model.py:7", code, 1, "1 condition on sizes"]],
            "weights": [""],
        },
        "edges": {"source": [], "target": [], "written": []},
        "cut": [],
        "spans": {"kind": [], "start": [], "end": [], "parent": [], "key": []},
        "pieces": [
            {"label": "A", "colour": 0, "kind": "compiled", "title": "piece 0", "note": "all nodes"}
        ],
    }


def _number(table: list[Any], row: Any) -> int:
    if row not in table[-40:]:
        table.append(row)
    return len(table) - 1 - table[::-1].index(row)


def _module(view: dict[str, Any], path: str) -> int:
    return _number(view["tables"]["module"], path)


def _add(view: dict[str, Any], name: str, kind: str, op: str, module: str, constants: str) -> int:
    tables = view["tables"]
    row = {
        "name": name,
        "piece": 0,
        "kind": kind,
        "op": _number(tables["op"], [op, f"torch.{op}"]),
        "value": 0,
        "constants": _number(tables["constants"], constants),
        "module": _module(view, module),
        "place": 0,
        "weights": 0,
    }
    for column, value in row.items():
        view["nodes"][column].append(value)
    return len(view["nodes"]["name"]) - 1


def _edge(view: dict[str, Any], source: int, target: int) -> None:
    view["edges"]["source"].append(source)
    view["edges"]["target"].append(target)


def _span(view: dict[str, Any], kind: str, start: int, end: int, parent: int, key: int) -> None:
    values = (kind, start, end, parent, key)
    for name, value in zip(view["spans"], values, strict=True):
        view["spans"][name].append(value)
