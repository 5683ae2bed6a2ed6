"""Where the store lies: an asked path in, a checked root out.

Whoever can write to the root could run code as its user, so a root that others can write to, or
that belongs to somebody else, is not used; the process then goes on in a private one.
"""

from __future__ import annotations

import atexit
import enum
import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from explorer.store.working import sweep_orphans, working_directory

FOLDER = "piecewise-explorer"
ENTRIES = "entries"
QUARANTINE = "quarantine"
LOCKS = "locks"
WORK = "work"
_LAYOUT = (ENTRIES, QUARANTINE, LOCKS, WORK)
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_GOES_ON = "artifacts of this process go to a private folder that is removed when it ends"


class RootAccess(enum.Enum):
    """What can be done with a root."""

    KEPT = "kept"
    """Read and written, by all processes of this user."""
    READ_ONLY = "read-only"
    """Read; nothing is added, nothing is removed."""
    PRIVATE = "private"
    """A folder of this process alone, removed when it ends."""
    NONE = "none"
    """Neither: not even a temporary folder could be made."""


@dataclass(frozen=True)
class StoreRoot:
    """The folder that holds a store.

    Attributes:
        path: absolute.
        access: what can be done with it.
        note: one line that says why it is not the asked one or not written to, or None.
    """

    path: Path
    access: RootAccess
    note: str | None = None

    @property
    def can_read(self) -> bool:
        """Whether entries can be looked up."""
        return self.access is not RootAccess.NONE

    @property
    def can_write(self) -> bool:
        """Whether entries can be added and removed."""
        return self.access in (RootAccess.KEPT, RootAccess.PRIVATE)

    @property
    def is_private(self) -> bool:
        """Whether no other process ever sees it."""
        return self.access in (RootAccess.PRIVATE, RootAccess.NONE)


def default_root() -> Path | None:
    """``~/.cache/piecewise-explorer``, or where XDG_CACHE_HOME says; None without a home."""
    return user_folder("XDG_CACHE_HOME", ".cache")


def user_folder(variable: str, below_home: str) -> Path | None:
    """Our folder in one of the user's base folders; None where neither it nor a home is known."""
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():  # the XDG specification: a relative path is ignored
        return given / FOLDER
    home = Path(os.environ.get("HOME") or _home_of_user())
    return home / below_home / FOLDER if home.is_absolute() else None


def _home_of_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a uid without a name, as in many containers
        return ""


def open_root(asked: Path | None = None) -> StoreRoot:
    """The asked root, or the default one, checked and made where it is missing; else a private one.

    Args:
        asked: a folder of this user, not a symbolic link; None takes the default.
    """
    path = default_root() if asked is None else Path(os.path.normpath(asked.absolute()))
    if path is None:
        return private_root("There is no home directory to keep artifacts in: set XDG_CACHE_HOME")
    try:
        make_private_folder(path)
        problem = problem_with(path)
    except OSError as error:
        problem = f"it cannot be opened: {error.strerror}"
    except RuntimeError:  # what resolving says before Python 3.13
        problem = "its path is a loop of symbolic links"
    if problem is not None:
        return private_root(f"The artifact store {path} is not used: {problem}")
    return _with_layout(path)


def _with_layout(path: Path) -> StoreRoot:
    """The root with its folders, or read-only where they cannot be made or written."""
    if not os.access(path, os.R_OK | os.X_OK):
        return private_root(f"The artifact store {path} is not used: it cannot be read")
    if not os.access(path, os.W_OK):
        return _read_only(path, "it is not writable")
    for name in _LAYOUT:
        folder = path / name
        try:
            make_private_folder(folder)
            problem = _own_problem(folder)
        except OSError as error:
            return _read_only(path, f"{error.strerror}")
        if problem is not None:
            return private_root(f"The artifact store {path} is not used: {name}: {problem}")
    return StoreRoot(path, RootAccess.KEPT)


def _read_only(path: Path, why: str) -> StoreRoot:
    note = f"The artifact store {path} is only read, nothing is added: {why}"
    return StoreRoot(path, RootAccess.READ_ONLY, note)


def private_root(why: str) -> StoreRoot:
    """A root of this process alone, removed when it ends.

    Args:
        why: the start of the note, without a full stop.
    """
    try:
        temporary = Path(tempfile.gettempdir())
        sweep_orphans(temporary, f"{FOLDER}-")
        working = working_directory(temporary, f"{FOLDER}-")
        atexit.register(working.remove)
        path = working.path / "store"
        for folder in (path, *(path / name for name in _LAYOUT)):
            make_private_folder(folder)
    except OSError as error:
        note = f"{why}. Nothing is stored: no temporary folder either ({error.strerror})"
        return StoreRoot(Path("/nonexistent"), RootAccess.NONE, note)
    return StoreRoot(path, RootAccess.PRIVATE, f"{why}; {_GOES_ON}")


def make_private_folder(path: Path) -> None:
    """Makes a folder and what is missing above it, all 0700 whatever the umask is.

    Raises:
        OSError: it cannot be made, or there is something else of that name.
    """
    try:
        path.mkdir(0o700)
    except FileNotFoundError:
        make_private_folder(path.parent)
        make_private_folder(path)
    except FileExistsError:
        return
    else:
        path.chmod(0o700)


def problem_with(path: Path) -> str | None:
    """Why a folder is not safe to load code from, with the fix; None when it is.

    Raises:
        OSError: it cannot be looked at.
        RuntimeError: the path is a loop of links.
    """
    problem = _own_problem(path)
    if problem is not None:
        return problem
    for parent in path.parent.resolve(strict=True).joinpath(path.name).parents:
        status = os.lstat(parent)
        if status.st_mode & stat.S_ISVTX:
            return None  # only the owner of a name may move it: what is above cannot matter
        if _others_may_write(status):
            return (
                f"others may write to {parent} above it (mode {_mode(status)}): "
                f"run 'chmod go-w {parent}' or choose another root"
            )
    return None


def _own_problem(path: Path) -> str | None:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link: give the folder that it points to"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    if status.st_uid != os.geteuid():
        return f"it belongs to uid {status.st_uid}, not to uid {os.geteuid()} who runs this"
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"others may write to it (mode {_mode(status)}): run 'chmod 700 {path}'"
    return None


def _others_may_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    # Where every user has a group of their own, umask 002 is usual and the group is the user.
    is_own_group = status.st_gid == status.st_uid == os.geteuid() != 0
    return bool(status.st_mode & stat.S_IWGRP) and not is_own_group


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"
