"""Serves calls by a generated function while the model is as it was when the function was written.

After a call that took the long way, and so had everything checked, the function is written for the
parameters that were bound. When something about the model changes, it is given up; the long way
decides what that means, and another function is written. A model that keeps changing makes that
rarer and rarer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from explorer.deferred import without_collections
from explorer.runtime.fast_call import (
    CHANGED,
    NOT_SERVED,
    FastCall,
    Parts,
    Unfit,
    write_fast_call,
)
from explorer.runtime.recorded_calls import recording_call
from explorer.runtime.state_check import NotWatched, Places, watch_values
from explorer.thread_settings import thread_state
from explorer.torch_private.state_watch import any_autocast

if TYPE_CHECKING:
    from explorer.runtime.runner import Runner

_LONGEST_PAUSE = 1024


class FastCalls:
    """The generated function of one runner, one in inference mode and one outside."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._functions: list[FastCall | None] = [None, None]
        self._attempts = 0
        self._pause = 0

    def serve(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The model's output, or ``NOT_SERVED``; what the long way raises on purpose, this does."""
        mode = torch.is_inference_mode_enabled()
        function = self._functions[mode]
        if function is None:
            return NOT_SERVED
        result = function(args, kwargs)
        if result is CHANGED:
            self._functions[mode] = None
            return NOT_SERVED
        return result

    @property
    def source(self) -> str | None:
        """The text of the generated function, when there is one."""
        return next((each.source for each in self._functions if each is not None), None)

    def learn(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Writes the function after a call that was served the long way."""
        mode = torch.is_inference_mode_enabled()
        if self._functions[mode] is not None:
            return
        if self._pause:
            self._pause -= 1
            return
        self._pause = min(2**self._attempts, _LONGEST_PAUSE)
        self._attempts += 1
        try:
            with without_collections():
                self._functions[mode] = self._written(args, kwargs)
        except (NotWatched, Unfit):
            return

    def _written(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> FastCall:
        runner = self._runner
        if runner.raw.has_side_effects():
            raise Unfit("the call does more than run the graph")
        binding = runner.binding
        places, left = self._watched()
        unchanged = places.unchanged()
        # What changed while this was read would never be noticed.
        if not places.still_hold() or runner.state_problem(args, kwargs) is not None:
            raise Unfit("the model changes")
        bound = {position: places.value(source) for position, source in runner.bound_sources}
        if not all(a is b for a, b in zip(bound.values(), binding.values, strict=True)):
            raise Unfit("the parameters changed")
        conditions = {"unchanged": unchanged}
        guards_hold = None
        if runner.checks_values:
            conditions |= {"code_same": runner.modules.code_same, "settings_same": self._settings()}
            if runner.modules.has_hooks:
                conditions["hook_order_same"] = runner.modules.hook_order_same
            guards_hold = runner.raw.state.check_of(left)
        parts = Parts(
            captured=runner.captured,
            dispatch=runner.dispatch,
            signature=runner.signature,
            receiver=runner.raw.receiver,
            check_guards=runner.checks_sizes,
            conditions=conditions,
            guards_hold=guards_hold,
            cells=dict(runner.cells),
            function_for=self._function_for(binding),
            special=lambda values: runner.run_special(values, binding),
            before=runner.refuse_overlap if runner.writes_among_several else None,
            bound=bound,
            returned=runner.layout.output_count,
            results=lambda marks: self._results(marks, args, kwargs),
        )
        return write_fast_call(parts, (args, kwargs))

    def _watched(self) -> tuple[Places, frozenset[str]]:
        """What has to be watched for the bound values and the conditions, and what is left."""
        runner = self._runner
        source = f"L['{runner.receiver_name}']"
        places = Places(source, runner.raw.receiver, trust_tables=not runner.checks_values)
        for _, each in runner.bound_sources:
            value = places.value(each)
            places.watch_way_to(each)
            places.watch(value)
        for table in runner.modules.children_tables():
            places.watch(table)
        left: frozenset[str] = frozenset()
        if runner.checks_values:
            for table in runner.modules.hook_tables():
                places.watch(table)
            if isinstance(runner.raw.receiver, torch.nn.Module):
                places.watch(runner.raw.receiver)
            left = watch_values(runner.raw.state.tree(), places)
        return places, left

    def _settings(self) -> Callable[[], bool]:
        """Whether the thread's settings are those of the capture, as ``thread_state`` has them."""
        expected = self._runner.captured.thread_state
        settings = dict(expected)
        dtype = settings["default dtype"]
        if any(settings["autocast"]):
            return lambda: thread_state() == expected
        return lambda: not any_autocast() and torch.get_default_dtype() is dtype

    def _function_for(self, binding: Any) -> Callable[[int], Callable[..., Any]]:
        runner, functions = self._runner, binding.functions

        def function_for(size: int) -> Callable[..., Any]:
            row = runner.row_of(size)
            recording = runner.recording
            if recording is not None:
                return recording_call(runner, row, binding, recording)
            return functions.get(row.function_name) or runner.function_of(row, binding)

        return function_for

    def _results(
        self, marks: tuple[Any, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        receiver = self._runner.raw.receiver
        first = () if receiver is None else (receiver,)
        bound = self._runner.raw.bind(lambda *values: marks)
        return bound(*first, *args, **kwargs), bound(*first, *args, **kwargs)


__all__ = ["NOT_SERVED", "FastCalls"]
