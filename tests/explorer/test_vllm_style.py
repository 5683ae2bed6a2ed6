"""Model files written for vLLM move over by changing one line, the import."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from explorer import (
    CompilationConfig,
    IntermediateTensors,
    compilation_of,
    counters,
    skip_compiled,
    use_config,
)

FILES = Path(__file__).parent / "vllm_style"
ATTENTION = "explorer::unified_attention_with_output"
THEIRS, OURS = re.compile(r"^from vllm\S* import", flags=re.M), "from explorer import"


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        torch.manual_seed(0)
        yield


def moved(name: str, folder: Path) -> ModuleType:
    """The module of a file, with its one import line changed."""
    text = (FILES / f"{name}.py.txt").read_text(encoding="utf-8")
    assert len(THEIRS.findall(text)) == 1
    path = folder / f"moved_{name}.py"
    path.write_text(THEIRS.sub(OURS, text), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_as_eager(model: Any, *args: Any) -> Any:
    given = model(*args)
    with skip_compiled(), counters.expect(captured=0):
        expected = model(*args)
    if isinstance(expected, IntermediateTensors):
        assert isinstance(given, IntermediateTensors)
        assert list(given.keys()) == list(expected.keys())
        for name, tensor in expected.items():
            torch.testing.assert_close(given[name], tensor)
    else:
        torch.testing.assert_close(given, expected)
    return given


def tokens(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(count) % 32, torch.arange(count)


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_llama_like(backend: str, tmp_path: Path) -> None:
    module = moved("llama_like", tmp_path)
    config = CompilationConfig(
        backend=backend, splitting_ops=(ATTENTION,), compile_ranges_endpoints=(8,)
    )
    with use_config(config):
        model = module.LlamaForCausalLM(prefix="")
    with counters.expect(models_seen=1, graphs_seen=1, pieces_seen=7, compiled_pieces_seen=4):
        for count in (16, 3, 8, 9, 1, 40):
            assert_as_eager(model, *tokens(count), None)
    compilation = compilation_of(model.model)
    assert [len(each.piece_indices) for each in compilation.unique_pieces] == [1, 2, 1]
    assert model.model.layers[0].attn.calls > 6
    weights = {name: torch.randn_like(weight) for name, weight in model.named_parameters()}
    assert model.load_weights(weights.items()) == set(weights)
    assert_as_eager(model, *tokens(5), None)


def test_llama_like_in_two_stages(tmp_path: Path) -> None:
    module = moved("llama_like", tmp_path)
    with use_config(CompilationConfig(backend="eager", splitting_ops=(ATTENTION,))):
        first = module.LlamaForCausalLM(prefix="a", end_layer=2, is_last_rank=False)
        last = module.LlamaForCausalLM(prefix="b", end_layer=1, is_first_rank=False)
    with counters.expect(models_seen=2, graphs_seen=2):
        for count in (16, 3, 40):
            ids, positions = tokens(count)
            between = assert_as_eager(first, ids, positions, None)
            assert_as_eager(last, None, positions, between)
    assert len(compilation_of(first.model).captured.sizes) == 1
    (size,) = compilation_of(last.model).captured.sizes
    assert {path for path, _ in size.sources} >= {"positions", "intermediate_tensors['residual']"}


def test_encoder(tmp_path: Path) -> None:
    module = moved("encoder", tmp_path)
    with use_config(CompilationConfig(backend="eager", max_size=16)):
        model = module.VisionTransformer()
    with use_config(CompilationConfig(backend="eager", max_size=8)):
        plain = module.VisionTransformer()
    with counters.expect(models_seen=3, graphs_seen=3):
        for count in (12, 2, 300):  # beyond max_size, as an encoder's inputs may be
            assert_as_eager(model, torch.randn(count, 14))
    assert compilation_of(model.patch_embed).name == "VisionPatchEmbed"
    assert compilation_of(model.patch_embed).captured.sizes[0].unbacked
    with counters.expect(models_seen=0, captured=0):
        assert_as_eager(plain, torch.randn(5, 14))
