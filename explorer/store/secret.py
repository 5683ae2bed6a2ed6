"""The key that seals manifests: 32 random bytes of one user, kept outside the store.

It tells entries that this user's processes wrote from a folder that was copied in or shared. It is
no protection against somebody who runs as the same user.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from explorer.errors import StoreError
from explorer.store.locks import lock_file, unlock
from explorer.store.root import make_private_folder, problem_with, user_folder

SECRET_BYTES = 32
_NAME = "store-secret"
_LOCK_SECONDS = 10.0


def default_secret_path() -> Path | None:
    """``~/.local/state/piecewise-explorer/store-secret``; None without a home."""
    folder = user_folder("XDG_STATE_HOME", ".local/state")
    return None if folder is None else folder / _NAME


def new_secret() -> bytes:
    """One that nobody else ever knows."""
    return secrets.token_bytes(SECRET_BYTES)


def kept_secret(path: Path | None) -> bytes:
    """The user's secret, made on first use.

    Raises:
        StoreError: there is no safe place to keep one; the message says why.
    """
    if path is None:
        raise StoreError("there is no home directory to keep the store's secret in")
    try:
        found = _read(path)
        return _make(path) if found is None else found
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"the store's secret {path} cannot be kept: {why}") from error


def _read(path: Path) -> bytes | None:
    """The secret, or None where there is none or a damaged one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"the store's secret {path} is not a file")
        if status.st_uid != os.geteuid():
            raise StoreError(f"the store's secret {path} belongs to uid {status.st_uid}")
        if status.st_mode & 0o077:
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            raise StoreError(
                f"others may read the store's secret {path} (mode {mode}): remove it, "
                "and a new one is made"
            )
        found = file.read(SECRET_BYTES + 1)
    return found if len(found) == SECRET_BYTES else None


def _make(path: Path) -> bytes:
    """Makes a secret, or takes the one that another process made meanwhile."""
    make_private_folder(path.parent)
    problem = problem_with(path.parent)
    if problem is not None:
        raise StoreError(f"the store's secret {path} cannot be kept: {problem}")
    lock = lock_file(path.with_name(f"{path.name}.lock"), timeout_seconds=_LOCK_SECONDS)
    try:
        found = _read(path)
        if found is None:
            _write(path)
            found = _read(path)
    finally:
        if lock is not None:
            unlock(lock)
    if found is None:
        raise StoreError(f"the store's secret {path} is damaged again right after it was written")
    return found


def _write(path: Path) -> None:
    # One fixed name, under the lock: a process that is killed here leaves nothing that adds up.
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(new_secret())
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
