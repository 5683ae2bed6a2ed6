"""Prints what each tool says of one model: TORCH_LOGS, tlparse, torch._dynamo.explain, explorer.

The model is ``nested`` in models.py: captured at 10 rows, then called with 600, which takes another
side of two of its tests. Each tool runs in a process of its own, with torch's guards and with the
guards dropped, as vLLM drops them. Lines are shortened: no time stamps, no folders.

    python docs/side_by_side/compare.py [--tlparse PATH] [--only NAME]

tlparse is a program of its own: ``pip install tlparse`` into another environment, and name it with
--tlparse when it is not on the PATH. Inductor needs a C++ compiler. It takes one or two minutes.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WIDTH = 190
REMARK = re.compile(
    r"\(user code shown is first use of this value.*?mark_unbacked\(tensor, dim\)\)"
)
EXAMPLE, OTHER = 10, 600

# ------------------------------------------------- what runs under torch's tools, in a new process


def drop_all(entries: Sequence[object]) -> list[bool]:
    """Keeps none of a graph's guards, as vLLM does."""
    return [False for _ in entries]


def run_compiled(name: str, guards: str, backend: str) -> None:
    """Compiles one of the models and calls it at the sizes that show something."""
    import models
    import torch

    options: dict[str, Any] | None = None
    if guards == "drop":
        options = {"guard_filter_fn": drop_all}
    model = models.Normed() if name == "Normed" else getattr(models, name)
    compiled = torch.compile(model, backend=backend, fullgraph=True, options=options)
    width = 64 if name == "Normed" else 8
    calls = {
        "nested": ((EXAMPLE,), (OTHER,)),
        "repeated": ((100,),),
        "scaled": ((EXAMPLE, 5), (EXAMPLE, 2)),
        "Normed": ((EXAMPLE,),),
    }
    with torch.no_grad():
        for rows, *rest in calls[name]:
            x = torch.ones(rows, width)
            # Not mark_dynamic: with that, a test that leaves one size is an error.
            torch._dynamo.maybe_mark_dynamic(x, 0)
            result, expected = compiled(x, *rest), model(x, *rest)
            if name == "nested":
                print(f"{rows} rows: x * {result[0, 0]:g}, and eager gives x * {expected[0, 0]:g}")


def run_explain(name: str) -> None:
    """``torch._dynamo.explain`` of one of the models at the example."""
    import models
    import torch

    x = torch.ones(100 if name == "repeated" else EXAMPLE, 8)
    torch._dynamo.maybe_mark_dynamic(x, 0)
    arguments = (x, 5) if name == "scaled" else (x,)
    print(torch._dynamo.explain(getattr(models, name))(*arguments))


def run_explorer() -> None:
    """What ``explorer check`` does not print: the calls, all tests, Inductor's conditions."""
    import models
    import torch

    import explorer

    def compiled(model: Any, rows: int, width: int, **settings: Any) -> explorer.CompiledModel:
        return explorer.compile_model(
            model,
            (torch.ones(rows, width),),
            dynamic_arg_dims={"x": {0: "n"}},
            config=explorer.CompilationConfig().replace(**settings),
        )

    x = torch.ones(OTHER, 8)
    for policy in explorer.GuardPolicy:
        model = compiled(models.nested, EXAMPLE, 8, guard_policy=policy, backend="eager")
        try:
            print(f"{policy.name}: {OTHER} rows: x * {model(x)[0, 0]:g}")
        except explorer.GuardViolation as error:
            print(f"{policy.name}: {OTHER} rows: {type(error).__name__}: {error}")
    print("\nEvery test in repeated, at 100 rows:")
    for site in compiled(models.repeated, 100, 8, backend="eager").compilation.audit().branch_sites:
        print(f"  line {site.location.line}: {site.text}: {site.answers}, {site.recorded_as.value}")
    print("\nConditions that Inductor made for Normed:")
    frame = compiled(models.Normed().eval(), EXAMPLE, 64).compilation.guards_frame()
    for row in frame.to_dict(orient="records"):
        if row["origin"] == "inductor":
            made = f"{row['text']}, {row['at_run_time']}, {row['framework']}"
            print(f"  artifact {row['piece']}: {made}")


# ---------------------------------------------------------------------------------- the comparison


def heading(text: str) -> None:
    """Prints a line that begins a part."""
    print(f"\n{'=' * 100}\n{text}\n{'=' * 100}", flush=True)


def output_of(arguments: list[str], **variables: str) -> str:
    """Standard output and error of a command, in the order in which they came."""
    done = subprocess.run(
        arguments,
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def python(*arguments: str, **variables: str) -> str:
    """Output of this script in a new process."""
    return output_of([sys.executable, str(HERE / "compare.py"), *arguments], **variables)


def show(text: str, *patterns: str) -> None:
    """Prints the lines that contain one of some patterns, shortened; all lines without any."""
    found = [
        line for line in text.splitlines() if not patterns or re.search("|".join(patterns), line)
    ]
    for line in found:
        line = re.sub(r"^[IVW]\d{4} [\d:.]+ \d+ torch/[\w/]+\.py:\d+\] ", "", line)
        line = REMARK.sub("(user code shown is first use ... 0/1 specialization ...)", line)
        line = re.sub(r", for more info run with .*", "", line)
        line = re.sub(r"(?<![\w.])[\w/.-]*/(?=(models|compare)\.py)", "", line)
        line = re.sub(r"[\w/.-]*/site-packages/", "", line)
        print("  " + (line if len(line) <= WIDTH else f"{line[:WIDTH]} ..."))
    if not found:
        print("  (no such line)")


def compare_logs() -> None:
    """TORCH_LOGS, with guards and without."""
    logs = "dynamic,guards,recompiles"
    tests = (r"eval .*\[guard added\]", r"LAMBDA_GUARD: .*size", r"\+- RootGuardManager")
    calls = (r"- 0/0: ", r"rows: ")
    heading(f"TORCH_LOGS={logs}, torch's guards")
    show(python("run", "nested", "keep", "eager", TORCH_LOGS=logs), *tests, *calls)
    heading(f"TORCH_LOGS={logs}, guards dropped")
    show(python("run", "nested", "drop", "eager", TORCH_LOGS=logs), *tests, *calls)
    heading("TORCH_LOGS=+dynamic, repeated at 100 rows: tests that follow from others")
    show(python("run", "repeated", "keep", "eager", TORCH_LOGS="+dynamic"), " eval ")
    heading("TORCH_LOGS=guards,recompiles, scaled at k = 5, then at k = 2")
    text = python("run", "scaled", "keep", "eager", TORCH_LOGS="guards,recompiles")
    show(text, r"EQUALS_MATCH: L\['k'\]", r"- 0/0: ")
    with tempfile.TemporaryDirectory() as cache:
        for often in ("for the first time", "again, from the compile cache"):
            heading(f"TORCH_LOGS=dynamic, Normed under Inductor, {often}")
            text = python(
                "run", "Normed", "keep", "inductor", TORCH_LOGS="dynamic",
                TORCHINDUCTOR_CACHE_DIR=cache,
            )  # fmt: skip
            show(text, " eval ")


def compare_tlparse(program: str | None) -> None:
    """Tlparse, with guards and without; says so when it is not there."""
    if program is None:
        heading("tlparse: NOT RUN, there is no such program; see the top of this script")
        return
    version = output_of([program, "--version"]).strip()
    for name, guards in (
        ("nested", "keep"),
        ("nested", "drop"),
        ("repeated", "keep"),
        ("scaled", "keep"),
        ("Normed", "keep"),
    ):
        heading(f"{version}, {name}, torch's guards: {guards}")
        with tempfile.TemporaryDirectory() as folder:
            trace, report = Path(folder, "trace"), Path(folder, "report")
            folders = {"TORCH_TRACE": str(trace), "TORCHINDUCTOR_CACHE_DIR": f"{folder}/cache"}
            text = python("run", name, guards, "inductor", **folders)
            if name == "nested":
                show(text, "rows: ")
            log = next(trace.glob("*.log"))
            output_of([program, str(log), "-o", str(report), "--no-browser"])
            show_pages(report)


def show_pages(report: Path) -> None:
    """The parts of a report of tlparse that speak of sizes, as text."""
    for page in sorted(report.glob("*/compilation_metrics_*.html")):
        text = re.sub(r"<(script|style).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
        text = html.unescape(re.sub(r"<[^>]+>", " ", text))
        print(f"  -- compilation metrics of {page.parent.name}")
        show(text, r"Shape Env Guards", r"Symbolic shape spec", "Guards added", r"^\s*User Stack",
             r"^\s*(Ne\()?(Mod\()?(\d+\*)?s\d+\b.*[<>)]", r"in evaluate_expr\b")  # fmt: skip
    for page in sorted(report.glob("*/dynamo_cpp_guards_str_*.txt")):
        print(f"  -- guard tree of {page.parent.name}")
        kept = (r"LAMBDA_GUARD: .*size", r"EQUALS_MATCH: L\['k'\]", r"\+- RootGuardManager")
        show(page.read_text(encoding="utf-8"), *kept)
    for page in sorted(report.glob("*/recompile_reasons_*.json")):
        print(f"  -- recompile reasons of {page.parent.name}")
        show(page.read_text(encoding="utf-8"), "0/0")


def compare_explain() -> None:
    """``torch._dynamo.explain``; it has no way to drop guards, and makes no second call."""
    for name in ("nested", "repeated", "scaled"):
        heading(f"torch._dynamo.explain({name})")
        text = python("explain", name)
        show(text, "Graph Count", "Graph Break Count", "Op Count", "Create Function", r"'\]\.size",
             r"L\['k'\]")  # fmt: skip


def compare_explorer() -> None:
    """The check of ``nested`` and ``scaled``, then the rest."""
    command = [sys.executable, "-c", "import sys; from explorer.cli import main; sys.exit(main())"]
    heading("explorer check models:nested_target")
    show(output_of([*command, "check", "models:nested_target"]))
    heading("explorer check models:scaled_target --no-try --domain n=1-64 --domain k=0-8")
    domain = ["--domain", "n=1-64", "--domain", "k=0-8"]
    show(output_of([*command, "check", "models:scaled_target", "--no-try", *domain]))
    heading("explorer in Python: the calls, every test, Inductor's conditions")
    with tempfile.TemporaryDirectory() as cache:
        show(python("ours", TORCHINDUCTOR_CACHE_DIR=cache))


def main() -> None:
    """Runs one part, or all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tlparse", metavar="PATH", help="the program; default: from the PATH")
    parser.add_argument("--only", choices=("logs", "tlparse", "explain", "explorer"))
    parser.add_argument("inner", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        inside = {"run": run_compiled, "explain": run_explain, "ours": run_explorer}
        inside[options.inner[0]](*options.inner[1:])
        return
    program = shutil.which(options.tlparse or "tlparse")
    program = str(Path(program).resolve()) if program else None
    parts: dict[str, Callable[[], None]] = {
        "logs": compare_logs,
        "tlparse": lambda: compare_tlparse(program),
        "explain": compare_explain,
        "explorer": compare_explorer,
    }
    for name, part in parts.items():
        if options.only in (None, name):
            part()


if __name__ == "__main__":
    main()
