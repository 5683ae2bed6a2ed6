"""A Compilation in, source code to read out: pieces as Python, and what a backend generated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.artifacts import Piece
from explorer.report.wording import range_text, short_path

if TYPE_CHECKING:
    from explorer.compilation import Compilation


def piece_source(compilation: Compilation, piece: Piece) -> str:
    """The piece as Python source for reading: sizes by their names, short paths, no liveness."""
    source = piece.readable().strip("\n") + "\n"
    names = {
        str(symbol): size.name
        for size in compilation.captured.sizes
        for symbol in size.torch_symbols
    }
    lines = [_readable_line(line, names) for line in source.splitlines()]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _readable_line(line: str, names: Mapping[str, str]) -> str:
    found = re.match(r"(\s*# File: )(.*?)(:\d+ in .*)$", line)
    if found:
        return f"{found[1]}{short_path(found[2])}{found[3]}"
    line = re.sub(r";  (?:\w+ = )+None$", "", line)

    def in_annotation(found: re.Match[str]) -> str:
        return re.sub(r"\b[su]\d+\b", lambda each: names.get(each[0], each[0]), found[0])

    return re.sub(r': "[^"]*"', in_annotation, line)


def generated_codes(compilation: Compilation) -> list[dict[str, Any]]:
    """The generated code of the artifacts, each text once: ``unique_id ranges code``."""
    texts: dict[tuple[str, str], list[str]] = {}
    for artifact in compilation.artifacts:
        code = artifact.generated_code().strip("\n")
        if code:
            texts.setdefault((artifact.unique_id, code), []).append(range_text(artifact.size_range))
    return [
        {"unique_id": unique_id, "ranges": ", ".join(ranges), "code": code}
        for (unique_id, code), ranges in texts.items()
    ]
