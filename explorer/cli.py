"""The ``explorer`` command: arguments in, text on the terminal and an exit code out.

0 all is well · 1 the compiled model is not equal to eager, ``check`` found a size that is not
covered or an input that became a constant, ``bisect`` found a step that is not equal to eager,
``bench`` a missed target or a result that is not eager's, ``cache`` a damaged entry or a miss, or
``doctor`` found that the core does not work · 2 a wrong argument, or a model that cannot be
captured or compiled · 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer import cli_bench, cli_bisect, cli_cache, cli_check
from explorer.errors import ConfigError, ExplorerError
from explorer.report.wording import clean, counted, with_short_paths

if TYPE_CHECKING:
    from explorer.comparison import Check
    from explorer.config import CompilationConfig
    from explorer.progress import Progress
    from explorer.session import Session
    from explorer.target import CompileTarget

OK, NOT_EQUAL, WRONG_USE, STOPPED = 0, 1, 2, 130

_TARGET_HELP = (
    "package.module:factory, a function without arguments that returns an explorer.CompileTarget; "
    "for example sample_models.toy_llama:sample"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        The exit code.
    """
    folder = str(Path.cwd())
    if (
        folder not in sys.path
    ):  # so that `explorer report my_model:make` finds the module beside you
        sys.path.insert(0, folder)
    try:
        options = command_parser().parse_args(argv)
        return options.run(options)
    except SystemExit as error:  # argparse: 0 after --help, 2 after a wrong option
        return error.code if isinstance(error.code, int) else WRONG_USE
    except ExplorerError as error:
        _say(f"explorer: {clean(with_short_paths(str(error)))}")
        return WRONG_USE
    except KeyboardInterrupt:
        _say("explorer: stopped.")
        return STOPPED
    except BrokenPipeError:  # the reader of a pipe went away, as in `explorer doctor | head -1`
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (Python flushes it at exit)
        return OK


def command_parser() -> argparse.ArgumentParser:
    """What reads the arguments; ``docs/reference.py`` writes its page from it."""
    parser = argparse.ArgumentParser(
        prog="explorer",
        description="A piecewise compiler for PyTorch models: look at what it does.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser(
        "report", help="compile a model, compare it with eager, write a page about it"
    )
    report.add_argument("target", metavar="TARGET", help=_TARGET_HELP)
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="the page (default: %(default)s)",
    )
    report.add_argument(
        "--backend", choices=("inductor", "eager"), help="instead of the one of the target"
    )
    report.add_argument(
        "--no-check", action="store_true", help="do not run the model and compare it with eager"
    )
    report.set_defaults(run=_report)
    check = commands.add_parser(
        "check",
        help="for which sizes a compiled model would be wrong, which line did it, what helps",
        description="Audits one capture of a model over its sizes. Exits with 1 when a size is "
        "not covered, or an input became a constant, that you did not allow.",
    )
    check.add_argument("target", metavar="TARGET", help=_TARGET_HELP)
    cli_check.add_options(check)
    check.set_defaults(run=_check)
    bisect = commands.add_parser(
        "bisect",
        help="which step of compiling first gives another result than eager, and which piece",
        description="Runs a model as it is, through torch.compile, as one captured graph, in "
        "pieces that are not compiled, in compiled pieces, and in pieces loaded from the artifact "
        "store, and compares each with eager. What the store lacks is stored on the way, as a "
        "compile would do. Exits with 1 when a step is not equal.",
    )
    bisect.add_argument("target", metavar="TARGET", help=_TARGET_HELP)
    cli_bisect.add_options(bisect)
    bisect.set_defaults(run=_bisect)
    bench = commands.add_parser(
        "bench",
        help="how long a compiled model takes beside eager, and after how many calls it pays",
        description="Compiles a model, compares it with eager, and times it at some sizes: the "
        "model as it is, a call of the compiled one, the artifacts of the range and of the exact "
        "size, and each piece. Times are wall time, which is not CPU time; the executions take "
        "turns. Exits with 1 when a target that you name is missed.",
    )
    bench.add_argument("target", metavar="TARGET", help=_TARGET_HELP)
    cli_bench.add_options(bench)
    bench.set_defaults(run=_bench)
    cache = commands.add_parser(
        "cache", help="the artifacts that are kept between processes, and why one was not found"
    )
    cli_cache.add_commands(cache, _TARGET_HELP)
    doctor = commands.add_parser(
        "doctor", help="what works on this machine, what is missing and how to get it"
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------- doctor


def _doctor(options: argparse.Namespace) -> int:
    from explorer import doctor

    findings = doctor.examine()
    print(doctor.as_text(findings))
    return OK if doctor.is_healthy(findings) else NOT_EQUAL


# -------------------------------------------------------------------------------------------- check


def _check(options: argparse.Namespace) -> int:
    from explorer.loading import load_target

    target = load_target(options.target)
    fix = load_target(options.fix) if options.fix else None
    config = _with_backend(target, options.backend)
    with _quiet(), _ProgressLine("fixes") as line:
        return cli_check.run(options, target, config, fix=fix, progress=line.artifact)


# ------------------------------------------------------------------------------------------- bisect


def _bisect(options: argparse.Namespace) -> int:
    from explorer.loading import load_target

    target = load_target(options.target)
    config = _with_backend(target, options.backend)
    with _quiet(), _ProgressLine("steps") as line:
        return cli_bisect.run(options, target, config, progress=line.artifact)


# -------------------------------------------------------------------------------------------- bench


def _bench(options: argparse.Namespace) -> int:
    from explorer.loading import load_target

    cli_bench.check_options(options)
    if options.output is not None:
        _check_output(options.output)
    target = load_target(options.target)
    config = _with_backend(target, options.backend)
    with _quiet():
        session = _compiled(target, config)
        with _ProgressLine("steps") as line:
            return cli_bench.run(options, session, progress=line.artifact)


# ------------------------------------------------------------------------------------------- report


def _report(options: argparse.Namespace) -> int:
    from explorer.loading import load_target

    _check_output(options.output)
    target = load_target(options.target)
    config = _with_backend(target, options.backend)
    with _quiet():
        session = _compiled(target, config)
        checks = () if options.no_check else _compared(session)
    print(session.compilation.summary())
    page = _written(options.output, session, checks, target.shows)
    wrong = [check for check in checks if check.is_wrong]
    for line in _check_lines(checks):
        print(line)
    print(f"report     {page}")
    return NOT_EQUAL if wrong else OK


def _check_output(path: Path) -> None:
    """Refuses a place that cannot be written before anything is compiled.

    Raises:
        ConfigError: it is a folder, or its folder is missing or read-only.
    """
    folder = path.parent
    if path.is_dir():
        raise ConfigError(f"-o {path} is a folder: name a file, such as {path / 'report.html'}.")
    if not folder.is_dir():
        raise ConfigError(f"-o {path}: there is no folder {folder}; make it, or name another file.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"-o {path}: the folder {folder} cannot be written to; name another file."
        )


def _with_backend(target: CompileTarget, asked: str | None) -> CompilationConfig:
    """The target's configuration; without a C++ compiler its CPU models run on the eager backend.

    Raises:
        ConfigError: Inductor was asked for in so many words, and there is no compiler for it.
    """
    from explorer.doctor import GET_COMPILER, cpp_compiler

    config = target.compilation_config()
    if asked is not None:
        config = config.replace(backend=asked)
    if config.backend != "inductor" or cpp_compiler() or not _is_on_cpu(target):
        return config
    if asked is not None:
        raise ConfigError(
            f"The backend 'inductor' needs a C++ compiler on a CPU, and none was found: "
            f"{GET_COMPILER}; or use --backend eager."
        )
    _say(
        f"No C++ compiler was found, so the pieces run uncompiled (backend 'eager'). "
        f"To compile them, get one: {GET_COMPILER}."
    )
    return config.replace(backend="eager")


def _is_on_cpu(target: CompileTarget) -> bool:
    from explorer.stages.inputs import tensor_leaves

    given = {"args": target.example_inputs, "kwargs": dict(target.example_kwargs)}
    return all(leaf.tensor.device.type == "cpu" for leaf in tensor_leaves(given))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Warnings as one line each; what this package warns of stands in the summary already."""
    from explorer.stages.split import SplittingOpWarning

    def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
        _say(f"{category.__name__}: {clean(str(message).splitlines()[0])}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SplittingOpWarning)
        warnings.showwarning = show
        yield


def _compiled(target: CompileTarget, config: CompilationConfig) -> Session:
    from explorer.session import session_of

    _say(f"{clean(target.name)}: capturing one graph, cutting it")
    session = session_of(target, config)
    with _ProgressLine("artifacts") as line:
        session.update(progress=line.artifact)
    return session


class _ProgressLine:
    """A bar on a terminal, plain lines elsewhere; both on the error stream."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.bar: Any = None

    def __enter__(self) -> _ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def artifact(self, progress: Progress) -> None:
        """Takes what the compile step says."""
        self.show(progress.done, progress.total, progress.what)

    def show(self, done: int, total: int, what: str) -> None:
        """Draws the state: what is being done now, and how much is done."""
        if not sys.stderr.isatty():
            if done < total:
                _say(f"  {done + 1}/{total} {what}")
            return
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(
                desc=what,
                total=total,
                unit=f" {self.unit}",
                bar_format="{desc} {bar} {n_fmt}/{total_fmt}{unit}, {elapsed}",
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
            )
        self.bar.set_description_str(what)
        self.bar.update(done - self.bar.n)


def _compared(session: Session) -> tuple[Check, ...]:
    from explorer.comparison import compare_with_eager
    from explorer.probe import sizes_to_compare

    sizes = sizes_to_compare(session.compilation)
    checks: list[Check] = []
    with _ProgressLine("sizes") as line:
        for each in sizes:
            named = ", ".join(f"{name} = {size}" for name, size in each.items()) or "the example"
            line.show(len(checks), len(sizes), f"comparing with eager at {named}")
            checks += compare_with_eager(session, [each])
        line.show(len(checks), len(sizes), "compared")
    return tuple(checks)


def _check_lines(checks: Sequence[Check]) -> list[str]:
    """One line when all is well, and one more for each size that is not plainly equal."""
    from explorer.comparison import Outcome

    if not checks:
        return ["eager      not compared (--no-check)"]
    equal = [check for check in checks if check.outcome is Outcome.EQUAL]
    largest = max((check.max_abs_difference or 0.0 for check in equal), default=0.0)
    lines = [
        f"eager      equal at {len(equal)} of {counted(len(checks), 'size')}, "
        f"largest difference {largest:.2g}"
    ]
    for check in checks:
        if check.outcome is not Outcome.EQUAL:
            mark = "NOT EQUAL" if check.is_wrong else check.outcome.value
            text = f"{check.sizes_text}: {mark}: {clean(check.problem)}"
            indent = " " * 11
            lines += textwrap.wrap(
                text, 110, initial_indent=indent, subsequent_indent=indent + "  "
            )
    return lines


def _written(path: Path, session: Session, checks: Sequence[Check], shows: str) -> Path:
    from explorer.report import html
    from explorer.report.graph_svg import GET_DOT

    if shutil.which("dot") is None:
        _say(GET_DOT)
    try:
        return html.write_page(path, html.page(session.compilation, checks, shows=shows))
    except OSError as error:
        raise ConfigError(f"-o {path} cannot be written: {error.strerror or error}.") from error


if __name__ == "__main__":
    sys.exit(main())
