"""Frames and instructions of a trace in, places in the user's source out."""

from __future__ import annotations

import linecache
import traceback

from explorer.artifacts import SourceLocation
from explorer.stages.graphs import OUR_FOLDER, TORCH_FOLDER
from explorer.torch_private.recorder import Position


def is_user_file(file: str) -> bool:
    """Whether a file is neither torch's nor this package's."""
    return not file.startswith((TORCH_FOLDER, OUR_FOLDER))


def place_of_position(position: Position | None) -> SourceLocation | None:
    """The place of a traced instruction, with columns; None for code that is not the user's."""
    if position is None or not is_user_file(position.file):
        return None
    return located(
        position.file,
        position.function,
        (position.line, position.column, position.end_line, position.end_column),
    )


def user_frames(stack: traceback.StackSummary | None) -> tuple[SourceLocation, ...]:
    """The user's frames of a stack, outermost first, with columns where Python knows them."""
    found = []
    for frame in stack or ():
        if is_user_file(frame.filename):
            line = frame.lineno or 0
            span = None
            if frame.colno is not None and frame.end_colno is not None:
                span = (line, frame.colno, frame.end_lineno or line, frame.end_colno)
            found.append(located(frame.filename, frame.name, span or (line, None, None, None)))
    return tuple(found)


def user_place(stack: traceback.StackSummary | None) -> SourceLocation | None:
    """The innermost frame of a stack that is the user's."""
    frames = user_frames(stack)
    return frames[-1] if frames else None


def located(
    file: str, function: str, span: tuple[int, int | None, int | None, int | None]
) -> SourceLocation:
    """A place whose columns count characters.

    Args:
        file: as Python knows it; a notebook cell's source is in ``linecache``.
        function: name of the function.
        span: line, column, end line, end column; columns in UTF-8 bytes, as Python counts them.
    """
    line, column, end_line, end_column = span
    text = linecache.getline(file, line)
    if column is not None and end_line is not None and end_column is not None:
        last = text if end_line == line else linecache.getline(file, end_line)
        column, end_column = _characters(text, column), _characters(last, end_column)
    return SourceLocation(file, line, function, text.strip(), column, end_line, end_column)


def bytes_before(file: str, line: int, characters: int) -> int:
    """A column in characters as one in UTF-8 bytes, as the syntax tree counts."""
    return len(linecache.getline(file, line)[:characters].encode())


def _characters(line: str, offset: int) -> int:
    if line.isascii():
        return offset
    return len(line.encode()[:offset].decode(errors="replace"))


def source_between(place: SourceLocation) -> str:
    """The source between the columns, on one line; the whole line when they are not known."""
    if place.column is None or place.end_line is None:
        return place.text
    lines = [linecache.getline(place.file, number) for number in _lines(place)]
    if len(lines) == 1:
        return lines[0][place.column : place.end_column].strip()
    lines[-1] = lines[-1][: place.end_column]
    lines[0] = lines[0][place.column :]
    return " ".join(line.strip() for line in lines)


def _lines(place: SourceLocation) -> range:
    return range(place.line, (place.end_line or place.line) + 1)
