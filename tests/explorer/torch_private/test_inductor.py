"""The callable of an artifact outlives the artifact."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

from explorer.torch_private.inductor import boxed_runner


class Runner:
    """What Inductor writes for a graph that it cut into partitions."""

    def __init__(self, partitions: list[Any]) -> None:
        self.partitions = partitions

    def call(self, arguments: list[Any]) -> Any:
        return self.partitions[0](arguments)


class CompiledFxGraph:
    """As torch has it, down to what it does when it dies."""

    def __init__(self, runner: Runner) -> None:
        self.compiled_fn_runner = runner
        self.current_callable = runner.call

    def __call__(self, arguments: list[Any]) -> Any:
        return self.current_callable(arguments)

    def __del__(self) -> None:
        del self.compiled_fn_runner.partitions


class InnerFunction:
    """An artifact's function around a graph, whose wrappers do nothing."""

    def __init__(self, graph: CompiledFxGraph) -> None:
        self.compiled_fn = graph

    def __call__(self, arguments: list[Any]) -> Any:
        return self.compiled_fn(arguments)

    def serialize(self) -> Any:
        metadata = SimpleNamespace(
            mutated_inp_runtime_indices=[],
            num_outputs_aliased=0,
            num_intermediate_bases=0,
            traced_tangents=[],
            tokens={},
            num_graphsafe_rng_states=0,
        )
        return SimpleNamespace(runtime_metadata=metadata)


def test_partitions_live_as_long_as_the_callable() -> None:
    graph = CompiledFxGraph(Runner([lambda arguments: (sum(arguments),)]))
    artifact = SimpleNamespace(inner_fn=InnerFunction(graph))

    call, is_direct = boxed_runner(artifact)
    del graph, artifact
    gc.collect()

    assert is_direct
    assert call([1, 2]) == (3,)
