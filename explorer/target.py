"""CompileTarget: a model with all that is needed to compile and exercise it.

It is what the command line takes (``package.module:factory`` returns one) and what the sample
models hand over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from explorer.config import CompilationConfig

MakeInputs: TypeAlias = Callable[[Mapping[str, int]], tuple[tuple[Any, ...], dict[str, Any]]]
"""sizes -> (positional arguments, keyword arguments): inputs of those sizes."""


@dataclass(frozen=True, eq=False)
class CompileTarget:
    """A model, its example inputs, which dims are dynamic, and where to cut.

    Attributes:
        name: a short name for titles and file names.
        model: a callable, usually an ``nn.Module``.
        example_inputs: positional arguments of one call.
        example_kwargs: keyword arguments of that call.
        dynamic_arg_dims: argument name or path -> dynamic dims, as for ``compile_model``.
        splitting_ops: where to cut; wins over ``config.splitting_ops`` when it is not empty.
        make_inputs: makes inputs of other sizes; None repeats or slices the example.
        shows: one sentence that says what the model demonstrates.
        config: everything else.
    """

    name: str
    model: Callable[..., Any]
    example_inputs: tuple[Any, ...]
    example_kwargs: Mapping[str, Any] = field(default_factory=dict)
    dynamic_arg_dims: Mapping[str, Any] | None = None
    splitting_ops: tuple[str, ...] = ()
    make_inputs: MakeInputs | None = None
    shows: str = ""
    config: CompilationConfig = field(default_factory=CompilationConfig)

    def compilation_config(self) -> CompilationConfig:
        """``config`` with this target's splitting ops in it."""
        if not self.splitting_ops:
            return self.config
        return self.config.replace(splitting_ops=self.splitting_ops)
