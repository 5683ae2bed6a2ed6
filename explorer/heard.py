"""What a process logs and warns of, to be said by another one: a block in, records out.

Of a record only what has a text is kept: its arguments need not be understood elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch


@dataclass(frozen=True)
class HeardWarning:
    """A warning that was shown.

    Attributes:
        message: its text.
        category: its class.
        file: where it was given.
        line: in it, 1-based.
    """

    message: str
    category: type[Warning]
    file: str
    line: int


Heard = list["dict[str, Any] | HeardWarning"]
"""Fields of log records, and warnings, in order."""


@contextlib.contextmanager
def listening() -> Iterator[Heard]:
    """Collects what is logged and warned of in the block, in place of saying it.

    It is for a process with one thread.
    """
    heard: Heard = []

    def log(logger: logging.Logger, record: logging.LogRecord) -> None:
        heard.append(_plain(record))

    def warn(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        heard.append(HeardWarning(str(message), category, filename, lineno))

    with (
        patch.object(logging.Logger, "callHandlers", log),
        patch.object(warnings, "showwarning", warn),
    ):
        yield heard


def say(heard: Sequence[dict[str, Any] | HeardWarning]) -> None:
    """Says here what another process would have said.

    Args:
        heard: from ``listening``.
    """
    for each in heard:
        if isinstance(each, HeardWarning):
            warnings.warn_explicit(each.message, each.category, each.file, each.line)
        else:
            record = logging.makeLogRecord(each)
            logging.getLogger(record.name).handle(record)


def _plain(record: logging.LogRecord) -> dict[str, Any]:
    fields = {**vars(record), "msg": record.getMessage(), "args": None, "exc_info": None}
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
    return {name: value for name, value in fields.items() if _can_be_sent(value)}


def _can_be_sent(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # whatever an object raises that cannot be written down
        return False
    return True


__all__ = ["Heard", "HeardWarning", "listening", "say"]
