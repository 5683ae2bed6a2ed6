"""A Compilation in, the view of where its artifacts came from and what the store has out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.artifacts import Artifact, ArtifactOrigin
from explorer.report import views
from explorer.report.blocks import (
    Action,
    Block,
    Cell,
    Column,
    Facts,
    Heading,
    Notice,
    Row,
    Sentence,
    Table,
)
from explorer.report.ranges_view import origin_text
from explorer.report.wording import bytes_text, counted, range_text, seconds_text, short_path
from explorer.store.root import default_root
from explorer.store.upkeep import entry_count_and_bytes

if TYPE_CHECKING:
    from explorer.compilation import Compilation
    from explorer.stored_answer import StoredAnswer

ASK = "ask_store"
"""Intent of the button that asks what the store has for each artifact."""

_ARTIFACTS = (
    Column("piece", "letter"),
    Column("sizes"),
    Column("origin"),
    Column("compile time", "number"),
    Column("took when compiled", "number"),
    Column("size", "number"),
    Column("changed since it was stored"),
)
_ANSWERS = (
    Column("artifact"),
    Column("stored", "mark"),
    Column("why not"),
    Column("nearest entry"),
    Column("stored for"),
)
_FACTORS = (
    Column("artifact"),
    Column("factor"),
    Column("stored", "code"),
    Column("now", "code"),
)


def store_view(compilation: Compilation, answers: Sequence[StoredAnswer] = ()) -> tuple[Block, ...]:
    """Where each artifact came from, which factors changed, and the folder of the store.

    Args:
        compilation: what to show.
        answers: of ``Session.stored()``, when somebody asked.
    """
    return (
        Heading("Where the artifacts came from"),
        Sentence(_summary(compilation)),
        _artifacts(compilation),
        Heading("The store"),
        *_folder(compilation),
        Heading("Is it stored, and else what changed?"),
        *_answers(compilation, answers),
    )


def _summary(compilation: Compilation) -> str:
    artifacts = compilation.artifacts
    if compilation.was_loaded_whole:
        return "The whole compilation was loaded from the store: nothing was traced or compiled."
    counts = [
        (sum(each.origin is origin for each in artifacts), words)
        for origin, words in (
            (ArtifactOrigin.COMPILED, "compiled now"),
            (ArtifactOrigin.MEMORY, "reused from memory"),
            (ArtifactOrigin.STORE, "loaded from the store"),
        )
    ]
    parts = ", ".join(f"{count} {words}" for count, words in counts if count)
    cached = sum(each.from_torch_cache for each in artifacts)
    torch_words = f"; torch's own cache had {cached} of them" if cached else ""
    return f"{counted(len(artifacts), 'artifact')}: {parts or 'none'}{torch_words}."


def _artifacts(compilation: Compilation) -> Table:
    colours = views.colour_of(compilation)
    rows = tuple(
        Row(_artifact_cells(each, colours.get(each.unique_id)), ("artifact", number))
        for number, each in enumerate(compilation.artifacts)
    )
    return Table("", _ARTIFACTS, rows, "There is no artifact: nothing was compiled.")


def _artifact_cells(artifact: Artifact, colour: int | None) -> tuple[Cell, ...]:
    earlier = artifact.compile_seconds
    return (
        Cell(artifact.unique_id, colour=colour),
        Cell(range_text(artifact.size_range)),
        Cell(origin_text(artifact)),
        Cell(seconds_text(artifact.seconds), artifact.seconds),
        Cell("not known" if earlier is None else seconds_text(earlier), earlier),
        Cell(bytes_text(artifact.bytes), artifact.bytes),
        Cell(", ".join(artifact.changed_factors)),
    )


# ------------------------------------------------------------------------------------------- folder


def _folder(compilation: Compilation) -> tuple[Block, ...]:
    config = compilation.config.store
    if not config.enabled:
        text = "The store is switched off (store.enabled): artifacts last as long as this process."
        return (Notice("info", text),)
    root = config.root or default_root()
    if root is None:
        return (Notice("info", "There is no home directory to keep artifacts in."),)
    known = entry_count_and_bytes(root)
    if known is None:
        held = "more than can be counted quickly; see: explorer cache ls"
    else:
        held = f"{counted(known[0], 'entry', 'entries')}, {bytes_text(known[1])}"
    facts = [("folder", short_path(os.fspath(Path(root)))), ("holds", held)]
    if config.require_hit:
        facts.append(("a miss", "is an error (store.require_hit)"))
    blocks: list[Block] = [Facts(tuple(facts))]
    unsaved = [each for each in compilation.artifacts if each.bytes is None]
    if unsaved:
        names = sorted({each.backend for each in unsaved})
        text = (
            f"{counted(len(unsaved), 'artifact')} of backend {', '.join(names)} cannot be stored: "
            "it has no serialised form."
        )
        blocks.append(Notice("info", text))
    return tuple(blocks)


# ------------------------------------------------------------------------------------------ answers


def _answers(compilation: Compilation, answers: Sequence[StoredAnswer]) -> tuple[Block, ...]:
    ask = Action(ASK, "Ask the store again" if answers else "Ask the store")
    if not compilation.config.store.enabled:
        ask = Action(ASK, "Ask the store", False, "The store is switched off (store.enabled).")
    if not answers:
        text = (
            "The store was not asked yet: it says for each artifact what is there, or what changed."
        )
        return (Sentence(text), ask)
    missing = sum(not each.is_hit for each in answers)
    if missing:
        said = Notice("warning", f"{missing} of {counted(len(answers), 'artifact')} not stored.")
    else:
        said = Notice("good", f"All {counted(len(answers), 'artifact')} are stored.")
    rows = tuple(Row(_answer_cells(each)) for each in answers)
    changed = tuple(
        Row((Cell(each.label), Cell(factor.name), _value(factor.stored), _value(factor.wanted)))
        for each in answers
        for factor in each.changed
    )
    blocks: list[Block] = [said, ask, Table("Answers", _ANSWERS, rows)]
    if changed:
        blocks.append(Table("Factors that changed", _FACTORS, changed))
    return tuple(blocks)


def _answer_cells(answer: StoredAnswer) -> tuple[Cell, ...]:
    return (
        Cell(answer.label),
        Cell("yes", mark="good") if answer.is_hit else Cell("no", mark="bad"),
        Cell(answer.reason),
        Cell("" if answer.is_hit else answer.nearest or ""),
        Cell(", ".join(answer.other_sizes)),
    )


def _value(text: str | None) -> Cell:
    return Cell("no such factor" if text is None else text)


__all__ = ["ASK", "store_view"]
