"""``explorer cache``: what is stored, whether it is whole, what goes, and why there was a miss."""

from __future__ import annotations

import argparse
import datetime
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ConfigError

if TYPE_CHECKING:
    from explorer.store.artifact_store import ArtifactStore

WELL, NOT_WELL = 0, 1
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def add_commands(parser: argparse.ArgumentParser, target_help: str) -> None:
    """Adds the commands below ``explorer cache``.

    Args:
        parser: of ``explorer cache``.
        target_help: what a TARGET is.
    """
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, metavar="FOLDER", help="default: in the user's cache")
    common.add_argument("--json", action="store_true", help="print JSON instead of text")
    for name, run, text in (
        ("ls", _ls, "what is stored, the one used last first"),
        ("verify", _verify, "check every byte; exits with 1 when something must not be used"),
        ("prune", _prune, "remove what was used longest ago"),
        ("clear", _clear, "remove everything that is not in use"),
        ("why", _why, "what a model would find, and what changed where it finds nothing"),
    ):
        command = commands.add_parser(name, help=text, parents=[common])
        command.set_defaults(run=run)
        if name == "prune":
            command.add_argument(
                "--max-bytes", required=True, metavar="SIZE", help="what may stay, as 500M or 2G"
            )
        if name == "why":
            command.add_argument("target", metavar="TARGET", help=target_help)
            command.add_argument(
                "--backend",
                choices=("inductor", "eager"),
                help="instead of the one of the target",
            )


def bytes_of(text: str) -> int:
    """``500M`` as a number of bytes.

    Raises:
        ConfigError: a text of another form.
    """
    found = re.fullmatch(r"(\d+)([kMG]?)B?", text.strip())
    if found is None:
        raise ConfigError(f"--max-bytes {text!r} is not of the form 1000, 20k, 500M or 2G.")
    return int(found[1]) * _UNITS[found[2]]


def _store(options: argparse.Namespace) -> ArtifactStore:
    from explorer.store.artifact_store import open_store

    return open_store(options.root)


def _print(options: argparse.Namespace, data: Any, text: str) -> None:
    print(json.dumps(data, indent=2, allow_nan=False) if options.json else text)


def _ls(options: argparse.Namespace) -> int:
    from explorer.report.wording import bytes_text, clean, counted

    store = _store(options)
    entries = store.ls()
    data = [
        {
            "key": each.key,
            "kind": each.manifest.kind,
            "label": each.manifest.label,
            "bytes": each.bytes,
            "last_used": _time(each.last_used_seconds),
            "factors": dict(each.manifest.factors),
        }
        for each in entries
    ]
    lines = [
        f"{each.key[:12]}  {each.manifest.kind:<11} {bytes_text(each.bytes):>9}  "
        f"{_time(each.last_used_seconds)}  {clean(each.manifest.label)}"
        for each in entries
    ]
    total = bytes_text(sum(each.bytes for each in entries))
    summary = f"{counted(len(entries), 'entry', 'entries')}, {total}, in {store.root.path}"
    _print(options, data, "\n".join([*lines, summary]))
    return WELL


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _verify(options: argparse.Namespace) -> int:
    from explorer.report.wording import clean, counted

    store = _store(options)
    found = store.verify()
    lines = [f"{each.key[:12]}  {clean(each.problem)}" for each in found]
    count = counted(len(store.ls()), "entry", "entries")
    state = f"{len(found)} must not be used" if found else "all are whole"
    data = [{"key": each.key, "problem": each.problem} for each in found]
    _print(options, data, "\n".join([*lines, f"{count} that can be trusted; {state}"]))
    return NOT_WELL if found else WELL


def _prune(options: argparse.Namespace) -> int:
    return _removed(options, _store(options).prune(bytes_of(options.max_bytes)))


def _clear(options: argparse.Namespace) -> int:
    return _removed(options, _store(options).clear())


def _removed(options: argparse.Namespace, done: Any) -> int:
    from explorer.report.wording import bytes_text, counted

    data = {
        "removed": list(done.removed),
        "freed_bytes": done.freed_bytes,
        "kept_bytes": done.kept_bytes,
        "in_use": list(done.in_use),
    }
    used = f", {counted(len(done.in_use), 'entry', 'entries')} in use" if done.in_use else ""
    text = (
        f"removed {counted(len(done.removed), 'entry', 'entries')}, "
        f"{bytes_text(done.freed_bytes)}; kept {bytes_text(done.kept_bytes)}{used}"
    )
    _print(options, data, text)
    return WELL


def _why(options: argparse.Namespace) -> int:
    from explorer.config import StoreConfig
    from explorer.loading import load_target
    from explorer.report.wording import clean
    from explorer.session import session_of

    target = load_target(options.target)
    config = target.compilation_config()
    config = config.replace(store=StoreConfig(options.root or config.store.root))
    if options.backend is not None:
        config = config.replace(backend=options.backend)
    session = session_of(target, config)
    whole, answers = session.stored_whole(), session.stored()
    data = [
        {
            "artifact": each.label,
            "hit": each.is_hit,
            "nearest": each.nearest,
            "changed": [
                {"factor": change.name, "stored": change.stored, "now": change.wanted}
                for change in each.changed
            ],
            "other_sizes": list(each.other_sizes),
            "reason": each.reason,
        }
        for each in (whole, *answers)
    ]
    lines = []
    for each in (whole, *answers):
        lines.append(f"{'hit ' if each.is_hit else 'MISS'}  {each.label}")
        if each.changed and not each.other_sizes:
            lines.append(f"      the nearest entry is {clean(each.nearest)}; what changed:")
            lines += [
                f"      {change.name}: stored {clean(change.stored)}, now {clean(change.wanted)}"
                for change in each.changed
            ]
        elif not each.is_hit:
            lines.append(f"      {clean(each.reason)}")
    hits = sum(each.is_hit for each in answers)
    _print(options, data, "\n".join([*lines, f"{hits} of {len(answers)} artifacts are there"]))
    return WELL if hits == len(answers) else NOT_WELL
