from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledgers import python
from worker.core.errors import ExitCode, LedgerError, LockedError
from worker.ledger import lock
from worker.ledger.disk import Disk

DISK = Disk()
HOLD = """
import sys
from pathlib import Path
from worker.ledger.disk import Disk
from worker.ledger.lock import open_locked
held = open_locked(Disk(), Path(sys.argv[1]), str)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def other(log: Path) -> Iterator[int]:
    """The id of another process, which holds the lock on the log."""
    with python(HOLD, log) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.kill()


def test_a_new_log_can_be_read_by_its_owner_only(log: Path) -> None:
    lock.open_locked(DISK, log, lock.some_process).close()
    assert log.stat().st_mode & 0o777 == 0o600


def test_the_second_run_is_told_at_once_which_process_holds_the_log(log: Path, other: int) -> None:
    with pytest.raises(LockedError, match=f"Process {other} holds .*results.jsonl") as caught:
        lock.open_locked(DISK, log, lambda: lock.process_name(other, ""))
    assert caught.value.exit_code is ExitCode.LOCKED


def test_a_killed_process_holds_nothing(log: Path, other: int) -> None:
    os.kill(other, 9)
    os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
    lock.open_locked(DISK, log, lock.some_process).close()


def test_a_held_lock_leaves_no_descriptor_open(log: Path, other: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(LockedError):
        lock.open_locked(DISK, log, lock.some_process)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("pid", "host", "who"),
    [
        (1, "", "Process 1"),
        (1, socket.gethostname(), "Process 1"),
        (1, "another\x1b", r"Process 1 on another\\x1b"),
        (2**22 + 1, "another", "Process 4194305 on another"),
        (-1, "", "Another process"),
        (2**22 + 1, "", "Another process"),
        (2**80, socket.gethostname(), "Another process"),
    ],
)
@pytest.mark.usefixtures("other")
def test_what_the_journal_says_of_the_holder_is_believed_if_it_can_be(
    log: Path, pid: int, host: str, who: str
) -> None:
    with pytest.raises(LockedError, match=f"^{who} holds"):
        lock.open_locked(DISK, log, lambda: lock.process_name(pid, host))


def test_a_log_replaced_between_opening_and_locking_is_opened_anew(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, moves = fcntl.flock, iter([log.with_suffix(".1"), log.with_suffix(".2")])

    def flock_while_the_log_is_rotated(fd: int, operation: int) -> None:
        if target := next(moves, None):
            log.rename(target)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock_while_the_log_is_rotated)
    file = lock.open_locked(DISK, log, lock.some_process)
    assert file.status().inode == log.stat().st_ino
    file.close()


def test_a_log_that_never_stays_is_given_up(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda fd, operation: log.unlink())
    with pytest.raises(LedgerError, match="again and again"):
        lock.open_locked(DISK, log, lock.some_process)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_where_a_file_system_gives_no_lock_a_local_disk_is_advised(
    log: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    reason = os.strerror(number)
    with pytest.raises(LedgerError, match=f"Cannot lock the results log {log}: {reason}") as caught:
        lock.open_locked(DISK, log, lock.some_process)
    assert "local disk" in caught.value.advice
