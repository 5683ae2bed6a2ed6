"""A model around an RMS norm that is written in Triton and registered as a custom op.

``demo::rms_norm`` runs the Triton kernel on CUDA. On a CPU it runs the same kernel in Triton's
interpreter where that was asked for (``TRITON_INTERPRET=1`` in the environment before Triton is
first imported), and plain torch otherwise.

Shapes: ``rows`` is dynamic and called ``n``. The model begins and ends with the op, so its first
and its last piece are splitting ones.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from explorer import CompilationConfig
from sample_models import SampleModel
from sample_models.building import check_layers, for_inference, pieces_sentence, seeded_weights

if TYPE_CHECKING:
    import triton
    import triton.language as tl
else:
    try:
        import triton
        import triton.language as tl
    except ImportError:  # there is no Triton for this platform: the reference serves
        triton = None

RMS_NORM = "demo::rms_norm"
"""Name of the splitting op: ``demo::rms_norm(values, weight, epsilon) -> normed``."""


def reference_rms_norm(values: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The op in plain torch.

    Args:
        values: (rows, columns).
        weight: (columns,).
        epsilon: added to the mean square.
    """
    mean_square = values.pow(2).mean(-1, keepdim=True)
    return values * torch.rsqrt(mean_square + epsilon) * weight


@cache
def rms_norm_kernel() -> Any:
    """The Triton kernel: one program norms one row. Made on first use: its header names Triton.

    Its arguments: values (rows, columns), weight (columns,), normed like values, all contiguous
    float32; columns; epsilon; BLOCK, a power of two of at least ``columns``.
    """

    @triton.jit
    def rms_norm_row(values, weight, normed, columns, epsilon, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202
        row = tl.program_id(0)
        column = tl.arange(0, BLOCK)
        inside = column < columns
        row_values = tl.load(values + row * columns + column, mask=inside, other=0.0)
        row_weight = tl.load(weight + column, mask=inside, other=0.0)
        mean_square = tl.sum(row_values * row_values, axis=0) / columns
        row_normed = row_values * tl.rsqrt(mean_square + epsilon) * row_weight
        tl.store(normed + row * columns + column, row_normed, mask=inside)

    return rms_norm_row


def triton_rms_norm(values: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The op as a Triton kernel: on CUDA, or in Triton's interpreter.

    Args:
        values: (rows, columns), float32.
        weight: (columns,), float32.
        epsilon: added to the mean square.
    """
    values, weight = values.contiguous(), weight.contiguous()
    normed = torch.empty_like(values)
    rows, columns = values.shape
    if rows > 0:  # Triton refuses an empty grid
        block = triton.next_power_of_2(columns)
        rms_norm_kernel()[(rows,)](values, weight, normed, columns, epsilon, BLOCK=block)
    return normed


def interpreter_is_on() -> bool:
    """Whether Triton was imported with its interpreter on, which also works on a CPU."""
    return triton is not None and not isinstance(tl.sum, triton.JITFunction)


def cpu_rms_norm(values: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The op on a CPU: the interpreted kernel where that is on, else the reference."""
    chosen = triton_rms_norm if interpreter_is_on() else reference_rms_norm
    return chosen(values, weight, epsilon)


def cuda_rms_norm(values: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The op on CUDA: the compiled kernel, or the reference where there is no Triton."""
    chosen = reference_rms_norm if triton is None else triton_rms_norm
    with torch.cuda.device_of(values):  # Triton launches on the current device
        return chosen(values, weight, epsilon)


def register_rms_norm() -> None:
    """Makes ``torch.ops.demo.rms_norm``, once a process; a second import leaves it."""
    if hasattr(torch.ops.demo, "rms_norm"):
        return
    torch.library.define(RMS_NORM, "(Tensor values, Tensor weight, float epsilon) -> Tensor")
    torch.library.impl(RMS_NORM, "cpu", cpu_rms_norm)
    torch.library.impl(RMS_NORM, "cuda", cuda_rms_norm)
    torch.library.register_fake(RMS_NORM, _fake_rms_norm)


def _fake_rms_norm(values: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


register_rms_norm()


class TritonRMSNorm(nn.Module):
    """The op with its weight."""

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)
        self.epsilon = epsilon

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return torch.ops.demo.rms_norm(values, self.weight, self.epsilon)


class NormedLayer(nn.Module):
    """Norm, linear map, activation, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = TritonRMSNorm(width)
        self.project = nn.Linear(width, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return values + F.silu(self.project(self.norm(values)))


class NormedNetwork(nn.Module):
    """Equal layers and a last norm."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([NormedLayer(width) for _ in range(layers)])
        self.norm = TritonRMSNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def sample(layers: int = 4, width: int = 48, *, device: str = "cpu") -> SampleModel:
    """A network around a Triton kernel, with random weights, cut at the kernel.

    It accepts any number of rows.

    Args:
        layers: number of layers, at least 1.
        width: columns; the default is no power of two, so that the kernel's mask matters.
        device: where the weights and inputs live.
    """
    check_layers(layers)
    with seeded_weights():
        model = for_inference(NormedNetwork(layers, width), device)

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        generator = torch.Generator().manual_seed(sizes["n"])
        return (torch.randn(sizes["n"], width, generator=generator).to(device),), {}

    return SampleModel(
        name="triton_rms_norm",
        model=model,
        example_inputs=make_inputs({"n": 16})[0],
        dynamic_arg_dims={"x": {0: "n"}},
        splitting_ops=(RMS_NORM,),
        make_inputs=make_inputs,
        shows=(
            f"{pieces_sentence(layers, layers + 1, layers, 1)[:-1]}, "
            f"and the first and the last piece are splitting ones."
        ),
        config=CompilationConfig(compile_sizes=(16,), max_size=2048),
    )
