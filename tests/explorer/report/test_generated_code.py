"""Lines of generated code are led back to the nodes and lines that they came from."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

import explorer
from explorer.compilation import Compilation
from explorer.report.code_text import code_text
from explorer.report.code_view import generated_view
from explorer.report.generated_code import attributed
from explorer.report.selection import Links


class TwoProducts(nn.Module):
    """Inductor makes of it a product, a C++ kernel and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        gated = F.silu(hidden) * 2
        return self.second(gated).exp()


@pytest.fixture(scope="module")
def products() -> Compilation:
    config = explorer.CompilationConfig(
        backend="inductor", max_size=64, store=explorer.StoreConfig(enabled=False)
    )
    arguments: dict[str, Any] = {"dynamic_arg_dims": {"x": {0: "n"}}, "config": config}
    with torch.no_grad():
        session = explorer.Session(TwoProducts().eval(), (torch.ones(8, 32),), **arguments)
        return session.update()


def linked(view: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(r["text"], view["blocks"][r["block"]]) for r in view["rows"] if "block" in r]


def line_with(compilation: Compilation, text: str) -> list[Any]:
    places = [place for piece in compilation.pieces for place in piece.source_lines]
    place = next(place for place in places if text in place.text)
    return [place.file, place.line]


def test_calls_of_inductor_name_their_nodes(products: Compilation) -> None:
    view = generated_view(products, 0)
    calls = [block for text, block in linked(view) if "extern_kernels.addmm(" in text]
    assert len(calls) == 2
    assert not calls[0]["inferred"]
    assert line_with(products, "self.first(x)") in calls[0]["lines"]
    assert line_with(products, "self.second(gated)") in calls[1]["lines"]


def test_kernels_of_cpp_are_found_by_the_ops_in_their_names(products: Compilation) -> None:
    view = generated_view(products, 0)
    kernel = next(block for text, block in linked(view) if "silu" in text and "pybinding" in text)
    assert kernel["inferred"]
    assert kernel["lines"] == [line_with(products, "gated = F.silu(hidden) * 2")]
    assert {name.partition("/")[2] for name in kernel["nodes"]} == {"silu", "gated"}
    assert kernel["about"][0].startswith("Probably from silu, gated, ")
    inside = [block for text, block in linked(view) if "loadu(" in text]
    assert kernel in inside
    assert "(≈)" in view["note"]


def test_a_kernel_that_no_call_reads_from_takes_what_is_left(products: Compilation) -> None:
    view = generated_view(products, 0)
    kernel = next(block for text, block in linked(view) if "_exp_" in text and "pybinding" in text)
    assert [name.partition("/")[2] for name in kernel["nodes"]] == ["exp"]


def test_what_a_line_of_generated_code_selects_is_there(products: Compilation) -> None:
    view = generated_view(products, 0)
    for block in view["blocks"]:
        found = Links(products).select(*block["select"])
        assert list(found.lines[0]) in block["lines"]


def test_what_nothing_says_stays_unlinked(products: Compilation) -> None:
    view = generated_view(products, 0)
    unlinked = {row["text"] for row in view["rows"] if "block" not in row}
    assert "import torch" in unlinked
    assert "def get_args():" in unlinked


def test_the_view_and_its_text_are_small(products: Compilation) -> None:
    view = generated_view(products, 0)
    assert len(json.dumps(view)) < 6 * len(products.artifacts[0].code)
    assert any(line.startswith("≈") for line in code_text(view).splitlines())


def test_code_of_the_eager_backend_is_led_back_by_its_names(branch: Compilation) -> None:
    view = generated_view(branch, 0)
    found = {text.split()[0]: block["nodes"] for text, block in linked(view)}
    assert found == {"projected": ["0/projected"], "add": ["0/add"]}
    assert view["note"] == ""


def test_code_of_hundreds_of_artifacts_is_told_by_its_range(toy: Compilation) -> None:
    view = generated_view(toy, 6)
    assert view["unique_id"] == "B"
    assert 6 in view["artifacts"]
    assert view["title"].startswith("B · 1–8, 9–32, 33–2048, exactly 16 and 1 more: ")


# As Inductor of torch 2.13 writes Triton: get_kernel_metadata, TritonScheduling.define_kernel.
TRITON = """\
# kernel path: /tmp/torchinductor/ab/cab.py
# Topologically Sorted Source Nodes: [silu, gated], Original ATen: [aten.silu, aten.mul]
# Source node to ATen node mapping:
#   gated => mul
#   silu => sigmoid
# Graph fragment:
#   return %mul
triton_poi_fused_mul_silu_0 = async_compile.triton('triton_poi_fused_mul_silu_0', '''
import triton
@triton.jit
def triton_poi_fused_mul_silu_0(in_ptr0, xnumel, XBLOCK : tl.constexpr):
    tmp0 = tl.load(in_ptr0 + (x0), xmask)
''', device_str='cuda')


async_compile.wait(globals())
        # Topologically Sorted Source Nodes: [hidden], Original ATen: [aten.mm]
        extern_kernels.mm(arg0_1, arg1_1, out=buf0)
        buf1 = buf0; del buf0  # reuse
        # Topologically Sorted Source Nodes: [silu, gated], Original ATen: [aten.silu, aten.mul]
        triton_poi_fused_mul_silu_0_xnumel = 32*s31
        stream0 = get_raw_stream(0)
        triton_poi_fused_mul_silu_0.run(buf1, 2048, stream=stream0)
        return (buf1, )
"""


def test_kernels_of_triton_are_led_back_by_what_is_written_before_their_calls() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    hidden = graph.create_node("call_function", torch.mm, (x, x), name="hidden")
    silu = graph.create_node("call_function", F.silu, (hidden,), name="silu")
    gated = graph.create_node("call_function", torch.mul, (silu, 2), name="gated")
    graph.output(gated)
    lines = TRITON.splitlines()
    found = attributed(lines, graph)
    names = {lines[at]: [node.name for node in nodes] for at, nodes in found.nodes.items()}
    assert names["        extern_kernels.mm(arg0_1, arg1_1, out=buf0)"] == ["hidden"]
    call = "        triton_poi_fused_mul_silu_0.run(buf1, 2048, stream=stream0)"
    assert names[call] == ["silu", "gated"]
    assert names["    tmp0 = tl.load(in_ptr0 + (x0), xmask)"] == ["silu", "gated"]
    assert names[lines[1]] == ["silu", "gated"]
    assert "        return (buf1, )" not in names
    assert found.inferred == set()
    assert [(kernel.first, kernel.last, kernel.is_cpp) for kernel in found.kernels] == [
        (7, 12, False)
    ]


def test_names_that_the_piece_does_not_have_link_to_nothing() -> None:
    graph = fx.Graph()
    graph.output(graph.placeholder("x"))
    assert attributed(TRITON.splitlines(), graph).nodes == {}
