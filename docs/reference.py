"""Fills the generated parts of the reference pages from docstrings and from the command's parser.

    python docs/reference.py            writes docs/configuration.md and docs/command_line.md
    python docs/reference.py --check    exits with 1 when one of them is not up to date

A part stands between two comments, ``<!-- begin: settings CompilationConfig -->`` and
``<!-- end -->``; the words after ``begin:`` say what goes in. What is outside is written by hand.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import griffe

from explorer.cli import command_parser

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER.parent
PAGES = ("configuration.md", "command_line.md")
PART = re.compile(r"(<!-- begin: (\w+) ([\w. ]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Writes or checks the pages; returns the exit code."""
    stale, checks = [], "--check" in arguments
    for name in PAGES:
        page = FOLDER / name
        text = page.read_text(encoding="utf-8")
        filled = fill(text)
        if filled != text:
            stale.append(name)
            if not checks:
                page.write_text(filled, encoding="utf-8")
    for name in stale:
        print(
            f"docs/{name}", "is out of date: run python docs/reference.py" if checks else "written"
        )
    return int(bool(stale) and checks)


def fill(text: str) -> str:
    """The page with every generated part made anew."""

    def part(found: re.Match[str]) -> str:
        return f"{found[1]}\n{WRITERS[found[2]](found[3])}\n\n{found[4]}"

    return PART.sub(part, text)


# ------------------------------------------------------------------------------- from docstrings


def settings(name: str) -> str:
    """A table of the fields of a configuration class: type, default, meaning."""
    described = _module("config")[name]
    rows = [
        (f"`{each.name}`", _code(str(each.annotation)), _default(described[each.name]), _line(each))
        for each in _section(described, griffe.DocstringSectionKind.attributes)
    ]
    return _table(("field", "type", "default", "meaning"), rows)


def choices(name: str) -> str:
    """A table of the members of an enum, with what is written below each."""
    rows = [
        (f"`{name}.{member}`", _code(str(found.value)), _prose(found.docstring.value))
        for member, found in _module("config")[name].attributes.items()
        if found.value is not None and found.docstring is not None  # a property has no value
    ]
    return _table(("choice", "as text", "meaning"), rows)


def arguments(path: str) -> str:
    """A table of the arguments of a function, and below it what the function raises."""
    module, _, name = path.rpartition(".")
    described = _module(module)[name]
    rows = [
        (f"`{each.name}`", _line(each))
        for each in _section(described, griffe.DocstringSectionKind.parameters)
    ]
    raised = [
        (f"`{each.annotation}`", _line(each))
        for each in _section(described, griffe.DocstringSectionKind.raises)
    ]
    tables = [_table(("argument", "meaning"), rows)]
    return "\n\n".join([*tables, _table(("raises", "when"), raised)] if raised else tables)


@functools.cache
def _package() -> griffe.Object | griffe.Alias:
    """The package ``explorer``, read without running it."""
    return griffe.load("explorer", search_paths=[SOURCES], docstring_parser="google")


def _module(name: str) -> griffe.Object | griffe.Alias:
    return _package()[name]


def _section(described: griffe.Object | griffe.Alias, kind: griffe.DocstringSectionKind) -> list:
    if described.docstring is None:
        raise SystemExit(f"{described.path} has no docstring.")
    return [
        each
        for section in described.docstring.parsed
        if section.kind is kind
        for each in section.value
    ]


def _line(item: griffe.DocstringNamedElement) -> str:
    return _prose(item.description)


def _prose(text: str) -> str:
    """A docstring's text as a table cell: one line, its ``code`` as Markdown's, a capital first."""
    line = re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))
    line = re.sub(r":\w+:`~?\.?([\w.]+)`", r"`\1`", line)
    return (line[:1].upper() + line[1:]).replace("|", "\\|")


def _default(field: griffe.Attribute) -> str:
    """``field(default_factory=StoreConfig)`` is ``StoreConfig()`` to a reader, dict ``{}``."""
    made = re.fullmatch(r"field\(default_factory=(\w+)\)", str(field.value))
    if made is None:
        return _code(str(field.value))
    return _code("{}" if made[1] == "dict" else f"{made[1]}()")


# ------------------------------------------------------------------------------- from the parser


def command(path: str) -> str:
    """What ``explorer PATH`` does, and a table of what it takes."""
    group = _subcommands(command_parser())
    about = group.choices[path].description
    if about is None:
        about = next(each.help or "" for each in group._choices_actions if each.dest == path)
    sentence = about[:1].upper() + about[1:].rstrip(".") + "."
    return "\n\n".join(part for part in (sentence, options(path)) if part)


def options(path: str) -> str:
    """A table of what ``explorer PATH`` takes; nothing when it takes nothing."""
    found = command_parser()
    for word in path.split():
        found = _subcommands(found).choices[word]
    rows = [(_code(_usage(each)), _meaning(each)) for each in _actions(found)]
    return _table(("takes", "meaning"), rows) if rows else ""


def commands(path: str) -> str:
    """A table of the commands below ``explorer``, or below one of its commands."""
    found = command_parser()
    for word in path.split()[1:]:
        found = _subcommands(found).choices[word]
    listed = _subcommands(found)._choices_actions
    rows = [(f"`{path} {each.dest}`", each.help or "") for each in listed]
    return _table(("command", "what it does"), rows)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    # argparse has no public way to list what a parser takes; sphinx-argparse reads the same name.
    for each in parser._actions:
        if not isinstance(each, argparse._HelpAction | argparse._SubParsersAction):
            yield each


def _subcommands(parser: argparse.ArgumentParser) -> argparse._SubParsersAction:
    return next(e for e in parser._actions if isinstance(e, argparse._SubParsersAction))


def _usage(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
    names = ", ".join(action.option_strings)
    if not names:
        return str(value)
    return names if action.nargs == 0 else f"{names} {value}"


def _meaning(action: argparse.Action) -> str:
    text = (action.help or "") % vars(action)
    needed = "; required" if action.option_strings and action.required else ""
    return (text + needed).replace("|", "\\|")


# ------------------------------------------------------------------------------------- Markdown


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


WRITERS: dict[str, Callable[[str], str]] = {
    "settings": settings,
    "choices": choices,
    "arguments": arguments,
    "command": command,
    "commands": commands,
    "options": options,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
