"""The exclusive lock on a results log: the kernel frees it when its holder dies, however."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from worker.core.errors import LedgerError, LockedError
from worker.core.text import visible
from worker.ledger.disk import Disk, File
from worker.ledger.files import open_regular, reported

_MAX_TRIES: Final = 10
"""A log may be rotated just before it is locked. A choice: nothing that means well does so ten
times in a row."""

_LOCAL_DISK: Final = (
    "The file system there gives no locks, as network shares may: put the results log on a local "
    "disk with --results"
)


def open_locked(disk: Disk, path: Path, holder: Callable[[], str]) -> File:
    """Open the log for appending, create it where it is missing, and hold its lock.

    `holder` is asked who may hold the lock, as the system does not say. Raises LockedError where
    another process holds it, LedgerError for the rest.
    """
    for _ in range(_MAX_TRIES):
        with reported("open the results log", path):
            file = open_regular(disk, path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        if _locked_in_place(disk, path, file, holder):
            return file
        file.close()
    raise LedgerError(
        f"{path} is replaced by another file again and again", "Find out what does it, and stop it"
    )


def lock(file: File, path: Path, name: str, holder: Callable[[], str]) -> None:
    """Lock an open file.

    Raises LockedError at once where another process holds it, LedgerError where there is no lock.
    """
    try:
        file.lock()
    except BlockingIOError:
        raise LockedError(
            f"{holder()} holds the {name} {path}",
            "Wait until that run has ended, or give this one a log of its own with --results",
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise LedgerError(f"Cannot lock the {name} {path}: {reason}", _LOCAL_DISK) from error


def some_process() -> str:
    """Who holds a lock of which nobody knows more."""
    return "Another process"


def process_name(pid: int, host: str) -> str:
    """Who holds a lock: a process of `host` ("": of this one), unless none of that number runs
    here."""
    if host not in ("", socket.gethostname()):
        return f"Process {pid} on {visible(host)}"
    return f"Process {pid}" if is_alive(pid) else some_process()


def _locked_in_place(disk: Disk, path: Path, file: File, holder: Callable[[], str]) -> bool:
    """Lock `file`; False where `path` came to name another between the opening and the lock."""
    try:
        lock(file, path, "results log", holder)
        with reported("look at the results log", path), suppress(FileNotFoundError):
            return disk.status(path).identity == file.status().identity
    except BaseException:
        file.close()
        raise
    return False


def is_alive(pid: int) -> bool:
    """Whether a process of this number is there."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
