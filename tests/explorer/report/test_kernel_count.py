"""Kernels are counted in generated code as Inductor writes it."""

from __future__ import annotations

import pytest

from explorer.report.kernel_count import KernelCount, kernels_in

CPU = '''
from torch._inductor.async_compile import AsyncCompile
async_compile = AsyncCompile()
cpp_fused_add_0 = async_compile.cpp_pybinding(['float*'], r"""void kernel(float* x) {}""")
cpp_fused_mul_1 = async_compile.cpp_pybinding(['float*'], r"""void kernel(float* x) {}""")
async_compile.wait(globals())
del async_compile

class Runner:
    def call(self, args):
        cpp_fused_add_0(arg0_1)
        extern_kernels.mm(arg0_1, arg1_1, out=buf1)
        buf2 = torch.ops.aten.sort.default(buf1)
        cpp_fused_mul_1(buf1)

def benchmark_compiled_module(times=10):
    extern_kernels.mm(1, 2, out=3)
'''
GPU = '''
triton_poi_fused_add_0 = async_compile.triton("triton_poi_fused_add_0", """def kernel(): pass""")
def call(args):
    triton_poi_fused_add_0.run(arg0_1, stream=stream0)
    extern_kernels.addmm(a, b, c, out=d)
    extern_kernels.addmm(a, b, c, out=d)
'''


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (CPU, KernelCount(2, 2)),
        (GPU, KernelCount(1, 2)),
        ("", None),
        ("def forward(self, x):\n    return torch.ops.aten.sort(x)\n", None),
        ("async_compile = (", None),
        ("async_compile\x00", None),
    ],
    ids=["cpu", "gpu", "empty", "eager", "no Python", "null"],
)
def test_kernels_are_counted(code: str, expected: KernelCount | None) -> None:
    assert kernels_in(code) == expected


def test_a_count_says_both_kinds() -> None:
    assert str(KernelCount(1, 0)) == "1 kernel"
    assert str(KernelCount(2, 1)) == "2 kernels + 1 library call"
    assert KernelCount(2, 3).total == 5
