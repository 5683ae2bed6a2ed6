"""docs/coming_from_vllm.md: each name of ours on it exists, and none of vLLM's is left out."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import explorer
from explorer import cli
from explorer.counters import Counts
from tests.docs_pages.pages import ROOT, PageRunner, sections_of, steps_of, text_of

PAGE = text_of("coming_from_vllm.md")
SECTIONS = sections_of(PAGE)

FIELDS = {field.name for field in dataclasses.fields(explorer.CompilationConfig)}
OF_VLLM = {
    "mode",
    "backend",
    "splitting_ops",
    "use_inductor_graph_partition",
    "compile_ranges_endpoints",
    "compile_sizes",
    "cudagraph_mode",
    "cudagraph_capture_sizes",
    "cudagraph_num_of_warmups",
    "cudagraph_copy_inputs",
    "debug_dump_path",
    "custom_ops",
    "pass_config",
    "inductor_passes",
    "compile_cache_save_format",
    "fast_moe_cold_start",
    "cache_dir",
    "compilation_time",
}
"""Fields of the same class in vLLM 0.33.0; others of it are called otherwise here."""

NOT_OURS = {"assume_32_bit_indexing", "FULL_DECODE_ONLY", "VLLM_COMPILE", "-O0", "-O3"}
"""In code font in a column of ours, to say that it is not there."""


def rows_of(section: str) -> list[list[str]]:
    """The cells of every table of a section, without the heads."""
    found = []
    for table in re.split(r"\n\n", section):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        cells = r"(?<!\\)\|"
        found += [[each.strip() for each in re.split(cells, line)[1:-1]] for line in lines[2:]]
    return found


def names_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def resolve(name: str) -> Any:
    """What a name on the page means, from a field's name to a dotted path.

    Raises:
        LookupError: nothing.
    """
    if name in FIELDS or name in vars(Counts()):
        return name
    if name in {each.name for each in explorer.CompilationMode} | {
        each.name for each in explorer.CUDAGraphMode
    }:
        return name
    if name in ("inductor", "eager", "module:"):
        return explorer.CompilationConfig().splitting_ops
    if name in ("type", "evaluate_guards"):
        return getattr(explorer.DynamicShapesConfig(), name)
    if name in ("XDG_CACHE_HOME", "post_grad_custom_post_pass", "explorer"):
        return occurs(name)
    if re.fullmatch(r"\w+\(.*\)", name):
        return eval(name, {"StoreConfig": explorer.StoreConfig})
    if name.startswith("explorer "):
        return cli.main([*name.split()[1:], "--help"]) == 0 or missing(name)
    return dotted(name)


def dotted(name: str) -> Any:
    """An attribute of the package, or of a module of it."""
    first, *rest = name.split(".")
    if first == "explorer":
        for count in range(len(rest), 0, -1):
            try:
                found = importlib.import_module(".".join(["explorer", *rest[:count]]))
            except ModuleNotFoundError:
                continue
            for each in rest[count:]:
                found = getattr(found, each)
            return found
    found = getattr(explorer, first, None) or missing(name)
    for each in rest:
        if each not in vars(found) and each not in getattr(found, "__annotations__", {}):
            found = getattr(found, each)
    return found


def occurs(name: str) -> bool:
    """Whether it stands in the code at all."""
    files = (ROOT / "explorer").rglob("*.py")
    return any(name in path.read_text(encoding="utf-8") for path in files) or missing(name)


def missing(name: str) -> Any:
    raise LookupError(f"there is no {name}")


def test_unknown_names_are_noticed() -> None:
    unknown = (
        "no_such",
        "Compilation.no_such",
        "explorer.stages.split.no_such",
        "explorer no_such",
    )
    for name in unknown:
        with pytest.raises((LookupError, AttributeError)):
            resolve(name)
    with pytest.raises(TypeError):
        resolve("StoreConfig(no_such=1)")


@pytest.mark.parametrize(
    "heading", ["The configuration", "Environment variables", "Names in code"], ids=str
)
def test_names_of_ours_exist(heading: str) -> None:
    rows = rows_of(SECTIONS[heading])
    names = [name for row in rows for cell in row[1:] for name in names_in(cell)]
    assert len(names) > 5
    for name in names:
        if name not in NOT_OURS and name not in ("NONE", "n"):
            resolve(name)


def test_every_field_of_the_configuration_is_on_the_page() -> None:
    section = SECTIONS["The configuration"]
    rows = rows_of(section)
    ours = {name for row in rows for name in names_in(row[1])}
    same = {name for row in rows for name in names_in(row[0]) if name in names_in(row[1])}
    assert same == FIELDS & OF_VLLM  # what bears a name of vLLM's is in the table, under that name
    only = re.search(r"^Only here: (.*)\.$", section, re.MULTILINE)
    assert only is not None
    assert set(names_in(only[1])) == FIELDS - ours
    without = re.search(r"^Without a counterpart:(.*?)\n\n", section, re.DOTALL | re.MULTILINE)
    assert without is not None
    said = {*names_in(without[1]), *(name for row in rows for name in names_in(row[0]))}
    assert OF_VLLM - said == set()


def test_counters_are_paired_as_the_code_pairs_them() -> None:
    documented = " ".join((inspect.getdoc(Counts) or "").split())
    pairs = re.findall(r"(\w+): [^:]*?\(``(\w+)``", documented)
    rows = rows_of(SECTIONS["Names in code"].partition("Counters of vLLM")[2])
    shown = {(names_in(row[1])[0], names_in(row[0])[0]) for row in rows}
    assert len(pairs) > 8
    assert set(pairs) - shown == set()


def test_commands_exist() -> None:
    commands = [name for name in names_in(PAGE) if name.startswith("explorer ")]
    assert len(commands) > 1
    for command in commands:
        resolve(command)


def test_modes_have_the_names_on_the_page() -> None:
    (row,) = [each for each in rows_of(SECTIONS["The configuration"]) if each[0] == "`mode`"]
    names = set(names_in(row[2])) - {"VLLM_COMPILE"}
    assert names == {each.name for each in explorer.CompilationMode}
    (row,) = [row for row in rows_of(SECTIONS["The configuration"]) if row[0] == "`cudagraph_mode`"]
    names = set(names_in(row[2])) - {"FULL_DECODE_ONLY"}
    assert names == {each.name for each in explorer.CUDAGraphMode}


def test_what_is_logged() -> None:
    rows = rows_of(SECTIONS["What is logged"])
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "explorer").rglob("*.py"))
    formats = re.findall(r"logger\.\w+\(\s*\"([^\"]+)\"", code)
    events = re.findall(r"f?\"(piecewise_[\w{}.]+)\"", code)
    logged = [name for row in rows for name in names_in(row[1])]
    assert len(logged) > 10
    for name in logged:
        if "NAME" in name:
            pattern = name.replace("NAME", "%s").replace("REASON", "%[sr]")
            assert any(re.fullmatch(pattern, each) for each in formats), name
        elif name.startswith("piecewise_"):
            known = [re.sub(r"\\{.*?\\}", r"piece_\\d+", re.escape(each)) for each in events]
            assert any(re.fullmatch(each, name) for each in known), name
        else:
            assert dotted(name) is not None


def test_blocks_print_what_the_page_shows(folder: Path) -> None:
    runner = PageRunner(folder, {})
    steps = steps_of(PAGE)
    logging.getLogger("explorer").addHandler(logging.NullHandler())
    with torch.no_grad():
        for step in steps:
            runner.assert_shows(step)
    assert [step.shown is not None for step in steps] == [True]


def test_two_names_are_two_sizes_and_one_name_is_one() -> None:
    with torch.no_grad():
        config = explorer.CompilationConfig(backend="eager")
        sizes = []
        for names in (("n", "m"), ("n", "n")):
            dims = {"x": {0: names[0]}, "y": {0: names[1]}}
            compiled = explorer.compile_model(
                lambda x, y: x.sum(0) + y.sum(0),
                (torch.ones(6, 2), torch.ones(6, 2)),
                dynamic_arg_dims=dims,
                config=config,
            )
            sizes.append(len(compiled.compilation.captured.sizes))
    assert sizes == [2, 1]
