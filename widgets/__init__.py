"""The reports of ``explorer``, alive in a notebook.

What belongs here: widgets that show what ``explorer`` computed and hand a person's wishes back to
it. What does not: anything that computes or calls torch, and anything that a terminal needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from explorer import CompilationConfig, ConfigError, Session
from explorer.target import MakeInputs
from widgets.show import register_displays, show

if TYPE_CHECKING:
    from widgets.panel import Panel

__all__ = ["explore", "register_displays", "show"]


def explore(  # noqa: PLR0913 (a user names what is needed; all but two are keywords)
    model: Callable[..., Any],
    example_inputs: tuple[Any, ...],
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_arg_dims: Mapping[str, Any] | None = None,
    mark_unbacked_dims: Mapping[str, Any] | None = None,
    make_inputs: MakeInputs | None = None,
    config: CompilationConfig | None = None,
    name: str | None = None,
    history_limit: int = 20,
) -> Panel:
    """A panel in which a person changes what is dynamic and where a model is cut, and recompiles.

    The first compile begins at once, in the background; ``panel.wait()`` blocks until it is done.

    Args:
        model: see ``explorer.compile_model``.
        example_inputs: see there.
        example_kwargs: see there.
        dynamic_arg_dims: see there; what the table of dims begins with.
        mark_unbacked_dims: see there.
        make_inputs: see there.
        config: everything else; what the other controls begin with.
        name: a short name for titles.
        history_limit: compilations that are kept, at least 1.

    Raises:
        ImportError: ipywidgets or anywidget is not installed.
        ConfigError: an argument has the wrong type.
    """
    try:
        from widgets.panel import Panel
    except ModuleNotFoundError as error:
        if error.name not in ("ipywidgets", "anywidget"):
            raise
        raise ImportError(
            f"The panel needs {error.name}, which is not installed: "
            "pip install 'piecewise-explorer[notebook]'. Without it, widgets.show(compilation) "
            "has a static form."
        ) from error
    if dynamic_arg_dims is not None and not isinstance(dynamic_arg_dims, Mapping):
        raise ConfigError(
            f"dynamic_arg_dims must be a dict of argument name -> dims, not {dynamic_arg_dims!r}."
        )
    session = Session(
        model,
        example_inputs,
        example_kwargs=example_kwargs,
        dynamic_arg_dims=dynamic_arg_dims,
        mark_unbacked_dims=mark_unbacked_dims,
        make_inputs=make_inputs,
        config=config,
        name=name,
        history_limit=history_limit,
    )
    panel = Panel(session)
    panel.start()
    return panel
