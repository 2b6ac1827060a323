"""The exclusive lock on a results log: the kernel frees it when its holder dies, however."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from worker.core.errors import LedgerError, LockedError
from worker.ledger.files import open_regular, reported

_MAX_TRIES: Final = 10
_LOCK_TABLE: Final = Path("/proc/locks")


def open_locked(path: Path, pid_hint: Callable[[], int | None]) -> int:
    """Open the log for appending, create it where it is missing, and hold its lock.

    The lock hangs on the descriptor. `pid_hint` is asked who may hold the lock where the system
    does not say. Raises LockedError where another process holds it, LedgerError for the rest.
    """
    for _ in range(_MAX_TRIES):
        with reported("open the results log", path):
            fd = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        if _locked_in_place(path, fd, pid_hint):
            return fd
        os.close(fd)
    raise LedgerError(
        f"{path} is replaced by another file again and again", "Find out what does it, and stop it"
    )


def lock(fd: int, path: Path, name: str, pid_hint: Callable[[], int | None]) -> None:
    """Lock an open file, or raise LockedError at once where another process holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = holder(os.fstat(fd)) or _alive(pid_hint())
        who = "Another process" if pid is None else f"Process {pid}"
        raise LockedError(
            f"{who} holds the {name} {path}",
            "Wait until that run has ended, or give this one a log of its own with --results",
        ) from None


def holder(file: os.stat_result) -> int | None:
    """The id of the process that holds the lock on `file`, where the system tells it."""
    try:
        table = _LOCK_TABLE.read_text()
    except OSError:
        return None
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    held = dict(filter(None, map(_parse_lock, table.splitlines())))
    # Some file systems name another device there than stat does: then the inode must do.
    pid = held.get((device, file.st_ino))
    if pid is None:
        pids = {pid for (_, inode), pid in held.items() if inode == file.st_ino}
        pid = pids.pop() if len(pids) == 1 else None
    return pid


def _locked_in_place(path: Path, fd: int, pid_hint: Callable[[], int | None]) -> bool:
    """Lock `fd`; False where `path` came to name another file between the opening and the lock."""
    try:
        with reported("lock the results log", path):
            lock(fd, path, "results log", pid_hint)
        with suppress(FileNotFoundError):
            return os.path.samestat(path.stat(), os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return False


def _parse_lock(line: str) -> tuple[tuple[str, int], int] | None:
    """Of `1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF`: ((device, inode), process id)."""
    fields = line.split()
    # A waiting lock has an arrow in front of its type; a holder in another container has no id.
    if len(fields) < 6 or fields[1] != "FLOCK" or int(fields[4]) <= 0:
        return None
    device, _, inode = fields[5].rpartition(":")
    return (device, int(inode)), int(fields[4])


def _alive(pid: int | None) -> int | None:
    """`pid` unless no such process runs here: a journal may be older than the lock's holder."""
    if pid is None or pid <= 0:
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (ProcessLookupError, OverflowError):
        return None
    return pid
