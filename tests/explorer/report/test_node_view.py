"""Every node is there with what a person asks about it, and no way of collapsing makes a cycle."""

from __future__ import annotations

import itertools
import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import explorer
from explorer.compilation import Compilation
from explorer.report.node_text import WIDTH, graph_text
from explorer.report.node_view import LONGEST_TEXT, node_view
from explorer.report.selection import Links
from sample_models import toy_llama
from tests.explorer.report.conftest import HOSTILE, Chain

View = dict[str, Any]


class Interleaved(nn.Module):
    """Calls one module, something of its own, and the same module again."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.layer(x)
        return self.layer(first.sin() + x) + first


class Caches(nn.Module):
    """Writes to a buffer per layer, reads one table in all of them, returns every layer's value."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(layers))

    def forward(self, x: torch.Tensor, table: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for layer in self.layers:
            x = layer(x).relu() * table
            x.add_(1)
            found.append(x)
        return found


def compiled(model: nn.Module, *inputs: torch.Tensor, **config: Any) -> Compilation:
    settings = explorer.CompilationConfig(backend="eager", **config)
    with torch.no_grad():
        dims = {"x": {0: "n"}}
        session = explorer.Session(model, inputs, dynamic_arg_dims=dims, config=settings, name="m")
        return session.update()


@pytest.fixture(scope="module")
def interleaved() -> View:
    return node_view(compiled(Interleaved(), torch.ones(8, 4)))


@pytest.fixture(scope="module")
def caches() -> View:
    return node_view(compiled(Caches(30), torch.ones(8, 4), torch.ones(4)))


@pytest.fixture(scope="module")
def toy_view(toy: Compilation) -> View:
    return node_view(toy)


@pytest.fixture(params=["toy_view", "interleaved", "caches", "hostile_view"])
def any_view(request: pytest.FixtureRequest) -> View:
    return request.getfixturevalue(request.param)


@pytest.fixture
def hostile_view(hostile: Compilation) -> View:
    return node_view(hostile)


def ids(view: View) -> list[str]:
    return [f"{p}/{n}" for p, n in zip(view["nodes"]["piece"], view["nodes"]["name"], strict=True)]


def row(view: View, node: str) -> View:
    number = ids(view).index(node)
    return {name: table[view["nodes"][name][number]] for name, table in view["tables"].items()}


def edges(view: View) -> list[tuple[str, str]]:
    names = ids(view)
    pairs = zip(view["edges"]["source"], view["edges"]["target"], strict=True)
    return [(names[source], names[target]) for source, target in pairs]


def spans(view: View, kind: str) -> list[View]:
    columns = view["spans"]
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [{"number": number, **each} for number, each in enumerate(rows) if each["kind"] == kind]


# --------------------------------------------------------------------------------------- the nodes


def test_every_node_of_every_piece_is_there_and_can_be_selected(
    toy: Compilation, toy_view: View
) -> None:
    expected = {
        f"{piece.index}/{node.name}"
        for piece in toy.pieces
        for node in piece.graph.nodes
        if node.op not in ("placeholder", "output")
    }
    others = {"0/input_ids", "0/positions", f"{toy.pieces[-1].index}/output"}
    assert len(ids(toy_view)) == len(set(ids(toy_view)))
    assert set(ids(toy_view)) == expected | others
    links = Links(toy)
    for node in ids(toy_view):
        assert links.select("node", node).key == node


def test_a_node_says_op_shape_module_line_and_weights(toy_view: View) -> None:
    found = row(toy_view, "2/linear_1")
    assert found["op"] == ["linear", "torch.nn.functional.linear"]
    assert found["value"] == "f32 n × 32"
    assert found["module"] == "layers.0.attention.output"
    assert found["weights"] == "layers.0.attention.output.weight"
    file, line, place, code, guards, text = found["place"]
    assert place.endswith(f"toy_llama.py:{line}") and file.endswith("toy_llama.py")
    assert "self.output" in code
    assert (guards, text) == (0, "")


def test_conditions_of_a_line_are_counted(branch: Compilation) -> None:
    places = node_view(branch)["tables"]["place"]
    counts: dict[int, int] = {}
    for guard in branch.captured.guards:
        if guard.location is not None:
            counts[guard.location.line] = counts.get(guard.location.line, 0) + 1
    for _, line, _, _, count, text in places:
        assert count == counts.get(line, 0)
        assert bool(text) == bool(count)


def test_edges_cross_pieces_and_follow_memory_that_was_written(toy_view: View) -> None:
    assert ("0/values", "2/values_1") in edges(toy_view)
    assert ("1/attention", "2/flatten") in edges(toy_view), "the splitting op wrote what is read"
    assert ("0/out", "2/flatten") not in edges(toy_view)
    number = edges(toy_view).index(("1/attention", "2/flatten"))
    assert number in toy_view["edges"]["written"]


def test_what_was_written_in_place_is_read_from_the_writer(caches: View) -> None:
    sources = [source for source, target in edges(caches) if target == "0/linear_1"]
    assert len(sources) == 1
    assert row(caches, sources[0])["op"][0] == "add_"


# ------------------------------------------------------------------------------------ spans, cycles


def test_every_edge_goes_forward(any_view: View) -> None:
    pairs = zip(any_view["edges"]["source"], any_view["edges"]["target"], strict=True)
    assert all(source < target for source, target in pairs)


def test_spans_are_apart_or_inside_each_other(any_view: View) -> None:
    columns = any_view["spans"]
    for number, parent in enumerate(columns["parent"]):
        start, end = columns["start"][number], columns["end"][number]
        assert start < end
        assert parent < number, "parents come first"
        if parent >= 0:
            assert columns["start"][parent] <= start and end <= columns["end"][parent]
    for parent in {-1, *range(len(columns["kind"]))}:
        inside = [n for n, each in enumerate(columns["parent"]) if each == parent]
        for left, right in itertools.pairwise(inside):
            assert columns["end"][left] <= columns["start"][right]


def collapsed(view: View, closed: set[int]) -> Iterator[tuple[object, object]]:
    """Edges between what is drawn when some spans are closed."""
    columns = view["spans"]
    box_of: list[object] = list(range(len(view["nodes"]["name"])))
    for number in sorted(closed, reverse=True):  # outer spans come last and win
        span = range(columns["start"][number], columns["end"][number])
        for node in span:
            box_of[node] = f"span {number}"
    for source, target in zip(view["edges"]["source"], view["edges"]["target"], strict=True):
        if box_of[source] != box_of[target]:
            yield box_of[source], box_of[target]


def has_cycle(pairs: Iterator[tuple[object, object]]) -> bool:
    waits: dict[object, set[object]] = {}
    for source, target in pairs:
        waits.setdefault(target, set()).add(source)
        waits.setdefault(source, set())
    while waits:
        free = [each for each, sources in waits.items() if not sources & waits.keys()]
        if not free:
            return True
        for each in free:
            del waits[each]
    return False


def test_no_way_of_collapsing_makes_a_cycle(any_view: View) -> None:
    count = len(any_view["spans"]["kind"])
    assert not has_cycle(collapsed(any_view, set(range(count))))
    for seed in range(30):
        chosen = {n for n in range(count) if random.Random(seed * 1000 + n).random() < 0.4}
        assert not has_cycle(collapsed(any_view, chosen))


def test_by_module_name_alone_there_would_be_a_cycle(interleaved: View) -> None:
    """So the test above is not one that holds for any grouping."""
    modules = [interleaved["tables"]["module"][each] for each in interleaved["nodes"]["module"]]
    names = [name.partition(".")[0] or node for node, name in enumerate(modules)]
    pairs = zip(interleaved["edges"]["source"], interleaved["edges"]["target"], strict=True)
    by_name = ((names[a], names[b]) for a, b in pairs if names[a] != names[b])
    assert has_cycle(iter(list(by_name)))


def test_a_module_that_is_called_twice_has_two_spans(interleaved: View) -> None:
    paths = [interleaved["tables"]["module"][each["key"]] for each in spans(interleaved, "module")]
    assert paths == ["layer", "layer"]


# ------------------------------------------------------------------------------ repetition, the cut


def test_equal_pieces_are_folded(toy_view: View) -> None:
    (fold,) = spans(toy_view, "fold")
    bodies = [each for each in spans(toy_view, "body") if each["parent"] == fold["number"]]
    assert len(bodies) == 11
    first = [
        each["key"] for each in spans(toy_view, "piece") if each["parent"] == bodies[0]["number"]
    ]
    assert first == [2, 3]


def test_equal_layers_of_one_piece_are_folded(compile_target: Callable[..., Compilation]) -> None:
    view = node_view(compile_target(toy_llama.sample(layers=5, hidden=32), splitting_ops=()))
    assert [each["key"] for each in spans(view, "piece")] == [0]
    (fold,) = spans(view, "fold")
    bodies = [each for each in spans(view, "body") if each["parent"] == fold["number"]]
    assert len(bodies) == 5
    sizes = {each["end"] - each["start"] for each in bodies}
    assert len(sizes) == 1


class Growing(nn.Module):
    """Layers that look alike, each wider than the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(4 + i, 5 + i), nn.ReLU()) for i in range(4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_layers_of_other_shapes_are_not_folded() -> None:
    view = node_view(compiled(Growing(), torch.ones(8, 4)))
    assert len(spans(view, "module")) == 4
    assert spans(view, "fold") == []


def test_what_many_layers_read_is_cut(toy_view: View) -> None:
    names = ids(toy_view)
    cut = {names[each["source"]]: [names[r] for r in each["readers"]] for each in toy_view["cut"]}
    assert set(cut) == {"0/cosine", "0/sine"}
    assert len(cut["0/cosine"]) == 12 * 4
    assert not {source for source, _ in edges(toy_view)} & set(cut)


def test_nothing_is_cut_where_few_read_it(branch: Compilation) -> None:
    assert node_view(branch)["cut"] == []


def test_an_input_that_all_layers_read_and_many_outputs_are_cut(caches: View) -> None:
    names = ids(caches)
    cut = {names[each["source"]] for each in caches["cut"]}
    assert "0/table" in cut
    assert names[-1] == "0/output"
    returned = [source for source, target in edges(caches) if target == "0/output"]
    assert 0 < len(returned) < 10
    assert len(returned) + sum(len(names) - 1 in each["readers"] for each in caches["cut"]) == 30


# ----------------------------------------------------------------------------- names, size, as text


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def test_texts_of_a_model_are_cleaned_and_short() -> None:
    model = Chain()
    long = "a\u202eb\x07" + "long" * 5_000
    model.add_module(long, nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    model.add_module(HOSTILE, nn.Linear(4, 4))
    view = node_view(compiled(model, torch.ones(8, 4)))
    shown = {**view, "nodes": []}
    assert max(map(len, texts(shown))) <= LONGEST_TEXT
    for text in texts(shown):
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)
        assert "\u202e" not in text
    assert any(text.endswith("…") for text in view["tables"]["module"])


def test_the_view_is_plain_data(any_view: View) -> None:
    assert json.loads(json.dumps(any_view)) == any_view


def test_the_text_has_every_node_that_is_not_folded_away(toy_view: View) -> None:
    text = graph_text(toy_view)
    lines = text.splitlines()
    assert lines[0] == f"toy_llama: {toy_view['text']}"
    assert any(each.startswith("piece 0  A  ") for each in lines)
    assert any(each.strip().startswith("piece 3  ▨  demo::attention") for each in lines)
    assert "× 11, shown once:" in text
    assert "the same in pieces 4–5, pieces 6–7" in text and "and 4 more" in text
    (linear,) = [each for each in lines if each.strip().startswith("linear_1:")]
    assert "f32 n × 32 = linear(flatten, layers.0.attention.output.weight)" in linear
    assert "toy_llama.py:" in linear[WIDTH:]
    assert "  piece 4  " not in text, "it is like piece 2"
    assert max(map(len, lines)) <= WIDTH + 60


def test_the_text_says_what_it_leaves_out(toy_view: View) -> None:
    whole = graph_text(toy_view).splitlines()
    short = graph_text(toy_view, most_lines=10).splitlines()
    assert short[:10] == whole[:10]
    assert short[10] == f"… and {len(whole) - 10} more lines"
