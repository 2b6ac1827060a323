from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledgers import python
from worker.core.errors import ExitCode, LedgerError, LockedError
from worker.ledger import lock

HOLD = """
import sys
from pathlib import Path
from worker.ledger.lock import open_locked
open_locked(Path(sys.argv[1]), lambda: None)
print("held", flush=True)
sys.stdin.read()
"""


def no_hint() -> None:
    return None


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
    os.close(lock.open_locked(log, no_hint))
    assert log.stat().st_mode & 0o777 == 0o600


def test_the_second_run_is_told_at_once_which_process_holds_the_log(log: Path, other: int) -> None:
    with pytest.raises(LockedError, match=f"Process {other} holds .*results.jsonl") as caught:
        lock.open_locked(log, no_hint)
    assert caught.value.exit_code is ExitCode.LOCKED


def test_a_killed_process_holds_nothing(log: Path, other: int) -> None:
    os.kill(other, 9)
    os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
    os.close(lock.open_locked(log, no_hint))


def test_a_held_lock_leaves_no_descriptor_open(log: Path, other: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(LockedError):
        lock.open_locked(log, no_hint)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("hint", "who"),
    [
        (1, "Process 1"),
        (None, "Another process"),
        (-1, "Another process"),
        (2**22 + 1, "Another process"),
        (2**80, "Another process"),
    ],
)
@pytest.mark.usefixtures("other")
def test_where_the_system_does_not_tell_the_holder_the_journal_is_believed_if_it_can_be(
    log: Path, monkeypatch: pytest.MonkeyPatch, hint: int | None, who: str
) -> None:
    monkeypatch.setattr(lock, "_LOCK_TABLE", log.parent / "missing")
    with pytest.raises(LockedError, match=f"^{who} holds"):
        lock.open_locked(log, lambda: hint)


def test_the_holder_is_found_by_inode_where_the_device_has_another_name(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.touch()
    inode = log.stat().st_ino
    table = log.parent / "locks"
    table.write_text(
        f"1: POSIX  ADVISORY  WRITE 11 ff:ff:{inode} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE 22 ff:ff:{inode} 0 EOF\n"
        f"2: -> FLOCK  ADVISORY  WRITE 33 ff:ff:{inode} 0 EOF\n"
        f"3: FLOCK  ADVISORY  WRITE 0 ff:fe:{inode} 0 EOF\n"
        f"4: FLOCK  ADVISORY  WRITE 44 ff:ff:{inode + 1} 0 EOF\n"
    )
    monkeypatch.setattr(lock, "_LOCK_TABLE", table)
    assert lock.holder(log.stat()) == 22


def test_a_log_replaced_between_opening_and_locking_is_opened_anew(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, moves = fcntl.flock, iter([log.with_suffix(".1"), log.with_suffix(".2")])

    def flock_while_the_log_is_rotated(fd: int, operation: int) -> None:
        if target := next(moves, None):
            log.rename(target)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock_while_the_log_is_rotated)
    fd = lock.open_locked(log, no_hint)
    assert os.path.samestat(os.fstat(fd), log.stat())
    os.close(fd)


def test_a_log_that_never_stays_is_given_up(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda fd, operation: log.unlink())
    with pytest.raises(LedgerError, match="again and again"):
        lock.open_locked(log, no_hint)


def test_a_file_system_without_locks_is_an_error(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LedgerError, match=f"Cannot lock the results log {log}: No locks available"):
        lock.open_locked(log, no_hint)
