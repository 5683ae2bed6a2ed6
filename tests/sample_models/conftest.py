"""What the tests of the sample models share: all of them by name, and runs beside eager."""

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

import explorer
from sample_models import SampleModel

SIZES = (1, 2, 3, 17, 64)


def tensors_in(output: Any) -> list[torch.Tensor]:
    """The tensors of an output, in order, whatever holds them."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):  # a ModelOutput is one
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return [tensor for each in output for tensor in tensors_in(each)]
    return []


@pytest.fixture
def all_tensors() -> Callable[[Any], list[torch.Tensor]]:
    """all_tensors(output) -> its tensors, in order."""
    return tensors_in


@pytest.fixture
def make_sample() -> Callable[..., SampleModel]:
    """make_sample("toy_llama", layers=3) -> the sample of that module."""

    def make(module_name: str, **options: Any) -> SampleModel:
        return importlib.import_module(f"sample_models.{module_name}").sample(**options)

    return make


@pytest.fixture
def run_eagerly() -> Callable[[SampleModel, int], Any]:
    """run_eagerly(sample, size) -> the output of the model as it is."""

    def run(sample: SampleModel, size: int) -> Any:
        args, kwargs = inputs_of(sample, size)
        with torch.no_grad():
            return sample.model(*args, **kwargs)

    return run


@pytest.fixture
def compile_sample() -> Callable[..., Any]:
    """compile_sample(sample, **config changes) -> the sample, compiled.

    The backend is ``eager`` unless another is given.
    """

    def compile_one(sample: SampleModel, **changes: Any) -> Any:
        return explorer.compile_model(
            sample.model,
            sample.example_inputs,
            example_kwargs=sample.example_kwargs,
            dynamic_arg_dims=sample.dynamic_arg_dims,
            make_inputs=sample.make_inputs,
            config=sample.compilation_config().replace(**{"backend": "eager", **changes}),
        )

    return compile_one


@pytest.fixture
def assert_equal_to_eager(run_eagerly) -> Callable[..., None]:
    """Asserts at each size: the same type of output, and the same bits."""

    def check(sample: SampleModel, compiled: Any, sizes: tuple[int, ...] = SIZES) -> None:
        for size in sizes:
            args, kwargs = inputs_of(sample, size)
            expected, given = run_eagerly(sample, size), compiled(*args, **kwargs)
            assert type(given) is type(expected)
            pairs = list(zip(tensors_in(expected), tensors_in(given), strict=True))
            assert pairs
            for wanted, got in pairs:
                assert torch.equal(wanted, got), f"{sample.name} differs from eager at {size}"

    return check


@pytest.fixture
def assert_shows_the_pieces() -> Callable[[SampleModel, Any], None]:
    """Asserts that the numbers in a sentence about layers are those of the compilation."""

    def check(sample: SampleModel, compilation: Any) -> None:
        pieces = compilation.pieces
        splitting = sum(piece.kind is explorer.PieceKind.SPLITTING for piece in pieces)
        counted = [len(pieces), splitting, len(pieces) - splitting, len(compilation.unique_pieces)]
        said = [int(number) for number in re.findall(r"\d+", sample.shows)]
        assert said[1:] == counted, sample.shows

    return check


def inputs_of(sample: SampleModel, size: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    assert sample.make_inputs is not None
    return sample.make_inputs({"n": size})
