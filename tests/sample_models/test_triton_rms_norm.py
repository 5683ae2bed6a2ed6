import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sample_models import triton_rms_norm
from sample_models.triton_rms_norm import reference_rms_norm

INTERPRETED = """
import torch
from sample_models import triton_rms_norm as sample

assert sample.interpreter_is_on()
torch.manual_seed(0)
for rows, columns in ((1, 1), (3, 48), (5, 64), (2, 200), (0, 48)):
    values, weight = torch.randn(rows, columns), torch.rand(columns)
    expected = sample.reference_rms_norm(values, weight, 1e-6)
    torch.testing.assert_close(sample.triton_rms_norm(values, weight, 1e-6), expected)
    torch.testing.assert_close(torch.ops.demo.rms_norm(values, weight, 1e-6), expected)
strided = torch.randn(48, 3).t()
expected = sample.reference_rms_norm(strided, torch.ones(48), 1e-6)
torch.testing.assert_close(sample.triton_rms_norm(strided, torch.ones(48), 1e-6), expected)
"""


def test_the_kernel_equals_the_reference_in_the_interpreter():
    pytest.importorskip("triton", reason="there is no Triton for this platform")
    subprocess.run(  # Triton must find the setting when it is imported
        [sys.executable, "-c", INTERPRETED],
        cwd=Path(triton_rms_norm.__file__).parents[1],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=True,
    )


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")  # Triton 3.9 announces a default
def test_the_kernel_compiles_for_cuda_without_a_device(monkeypatch, tmp_path):
    triton = pytest.importorskip("triton", reason="there is no Triton for this platform")
    compiler = pytest.importorskip("triton.compiler")
    backends = pytest.importorskip("triton.backends.compiler")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    pointers = dict.fromkeys(("values", "weight", "normed"), "*fp32")
    signature = {**pointers, "columns": "i32", "epsilon": "fp32", "BLOCK": "constexpr"}
    source = compiler.ASTSource(triton_rms_norm.rms_norm_kernel(), signature, {"BLOCK": 64})
    compiled = triton.compile(source, target=backends.GPUTarget("cuda", 90, 32))
    assert "rms_norm_row" in compiled.asm["ptx"]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("columns", [1, 48, 64, 200])
def test_the_kernel_equals_the_reference_on_cuda(columns):
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    values = torch.randn(5, columns, device="cuda")
    weight = torch.rand(columns, device="cuda")
    expected = reference_rms_norm(values, weight, 1e-6)
    torch.testing.assert_close(torch.ops.demo.rms_norm(values, weight, 1e-6), expected)


def test_the_reference_equals_torch():
    values, weight = torch.randn(5, 48), torch.rand(48)
    expected = torch.nn.functional.rms_norm(values, (48,), weight, 1e-6)
    torch.testing.assert_close(reference_rms_norm(values, weight, 1e-6), expected)


def test_the_op_is_the_reference_without_the_interpreter():
    values, weight = torch.randn(5, 48), torch.rand(48)
    assert not triton_rms_norm.interpreter_is_on()
    assert torch.equal(
        torch.ops.demo.rms_norm(values, weight, 1e-6), reference_rms_norm(values, weight, 1e-6)
    )


def test_the_op_is_registered_as_it_behaves():
    arguments = (torch.randn(5, 48), torch.rand(48), 1e-6)
    torch.library.opcheck(torch.ops.demo.rms_norm.default, arguments)


def test_a_second_import_keeps_the_op():
    before = torch.ops.demo.rms_norm.default
    importlib.reload(triton_rms_norm)
    assert torch.ops.demo.rms_norm.default is before


@pytest.mark.parametrize("layers", [1, 4])
def test_it_starts_and_ends_with_a_splitting_piece(compile_sample, assert_shows_the_pieces, layers):
    sample = triton_rms_norm.sample(layers=layers)
    compilation = compile_sample(sample).compilation
    assert_shows_the_pieces(sample, compilation)
    assert "first and the last piece are splitting" in sample.shows
    kinds = [piece.kind.name for piece in compilation.pieces]
    assert kinds == ["SPLITTING", *["COMPILED", "SPLITTING"] * layers]


def test_compiled_equals_eager(compile_sample, assert_equal_to_eager):
    sample = triton_rms_norm.sample()
    assert_equal_to_eager(sample, compile_sample(sample))
