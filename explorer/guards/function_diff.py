"""A rewrite in, a diff of its function and nothing around it out."""

from __future__ import annotations

import difflib
import linecache
import re

from explorer.artifacts.common import file_name
from explorer.guards.rewrite import Rewrite
from explorer.guards.rewrite_find import function_node
from explorer.guards.rewrite_text import SourceText

_HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")


def diff_of_function(rewrite: Rewrite) -> str:
    """What a rewrite changes, as a unified diff with the line numbers of the file."""
    file, function = rewrite.location.file, rewrite.original
    source = SourceText("".join(linecache.getlines(file)))
    # A static check takes the field for a method of the class.
    node = function_node(source, function)  # type: ignore[arg-type]
    if node is None:
        return rewrite.diff
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    before = source.lines[first - 1 : node.end_lineno]
    title = f"{file_name(file)}:{rewrite.location.line}"
    lines = difflib.unified_diff(
        before, rewrite.source.splitlines(), title, f"{title} with torch.cond", lineterm=""
    )
    return "\n".join(_moved(line, first - 1) for line in lines) + "\n"


def _moved(line: str, by: int) -> str:
    """A line of a diff; the head of a hunk counts from the start of the file."""
    found = _HUNK.fullmatch(line)
    if found is None:
        return line
    old, new = int(found[1]) + by, int(found[3]) + by
    return f"@@ -{old}{found[2] or ''} +{new}{found[4] or ''} @@"
