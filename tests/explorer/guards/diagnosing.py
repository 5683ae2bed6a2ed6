"""Small models as a notebook defines them, and what their captures are diagnosed with."""

from __future__ import annotations

from typing import Any

from explorer import Compilation, CompilationConfig, Diagnosis
from explorer.artifacts.diagnosed import Answer, Finding, FixTrial
from tests.explorer.comparing import compiled, filled
from tests.explorer.rewriting import cell

CONFIG = CompilationConfig(backend="eager", max_size=40)


def compilation_of_cell(source: str, example: int = 6, **changes: Any) -> Compilation:
    """The last function of a cell, captured with an example of (example, 3)."""
    model = [each for each in cell(source).values() if callable(each)][-1]
    config = CONFIG.replace(**changes)
    dims = {"x": {0: "n"}}
    return compiled(model, filled(example, 3), config=config, dynamic_arg_dims=dims).compilation


def diagnosis_of_cell(
    source: str, example: int = 6, *, try_fixes: bool = False, **changes: Any
) -> Diagnosis:
    """What is said of such a function over 1..40."""
    return compilation_of_cell(source, example, **changes).diagnose(try_fixes=try_fixes)


def only_finding(diagnosis: Diagnosis) -> Finding:
    """The one finding of a diagnosis."""
    (finding,) = diagnosis.findings
    return finding


def kinds(answers: tuple[Answer, ...]) -> dict[int, str]:
    """Size -> what the graph does there."""
    return {each.sizes["n"]: each.kind.value for each in answers}


def trial_of(diagnosis: Diagnosis, fix: str) -> FixTrial:
    """What trying one fix came to."""
    return next(each for each in diagnosis.trials if each.fix == fix)
