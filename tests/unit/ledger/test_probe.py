"""A trial of what a run needs of its log: it finds what a run would, and changes nothing."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.ledgers import A, die, record
from worker.core.errors import LedgerError, LockedError, UsageError
from worker.core.target import Target
from worker.ledger import Ledger, lock
from worker.ledger.disk import Disk, File, FileStatus
from worker.ledger.files import open_regular
from worker.ledger.lines import encode_line

TARGET = Target("https://api.example.com/v1", "live", "00000001")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def everything_in(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_trial_makes_nothing(log: Path) -> None:
    assert Ledger.probe(log, target=TARGET) == log
    assert everything_in(log.parent) == {}


async def test_a_trial_leaves_what_a_dead_run_left_as_it_is(log: Path) -> None:
    await die(log, entered=[A], settled=[record(A)])
    before = everything_in(log.parent)
    for target in (None, TARGET):
        assert Ledger.probe(log, target=target) == log
    assert everything_in(log.parent) == before
    Ledger.open(log, "run-2").close()


def test_a_log_that_a_run_holds_is_found(log: Path) -> None:
    with closing(Ledger.open(log, "run-1")), pytest.raises(LockedError, match="holds the results"):
        Ledger.probe(log)


@pytest.mark.usefixtures("permissions")
def test_a_log_that_may_not_be_written_is_found(log: Path) -> None:
    log.write_bytes(encode_line(record(A)))
    log.chmod(0o400)
    with pytest.raises(LedgerError, match=f"cannot be written: {log}") as caught:
        Ledger.probe(log)
    assert "Change its permissions" in caught.value.advice


@pytest.mark.usefixtures("permissions")
def test_a_directory_in_which_no_journal_can_be_made_is_found(log: Path) -> None:
    log.touch()
    log.parent.chmod(0o500)
    try:
        with pytest.raises(LedgerError, match=f"cannot be made in {log.parent}"):
            Ledger.probe(log)
    finally:
        log.parent.chmod(0o700)


@pytest.mark.parametrize("elsewhere", ["another program's", str(TARGET._replace(kind="test"))])
def test_a_log_of_another_target_is_found(log: Path, elsewhere: str) -> None:
    line = encode_line(record(A)).replace(b'"target":null', f'"target":"{elsewhere}"'.encode())
    log.write_bytes(line)
    assert elsewhere.encode() in line
    with pytest.raises(UsageError, match="holds what was sent to") as caught:
        Ledger.probe(log, target=TARGET)
    assert ("another program's" in caught.value.message) == ("program" in elsewhere)


class Swapped(Disk):
    """A pipe comes into the place of a regular file between the look at it and its opening."""

    def __init__(self) -> None:
        self.opened: list[File] = []

    def open(self, path: Path, flags: int) -> File:
        path.unlink()
        os.mkfifo(path)
        self.opened.append(super().open(path, flags))
        return self.opened[-1]


def test_what_becomes_a_pipe_while_it_is_opened_is_no_log_and_is_closed(log: Path) -> None:
    log.touch()
    disk = Swapped()
    with pytest.raises(LedgerError, match="is not a regular file"):
        open_regular(disk, log, os.O_RDWR)
    [file] = disk.opened
    assert file.closed


def test_where_a_system_tells_of_no_mounts_a_log_can_be_used(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.touch()

    def tell_nothing(path: Path) -> str:
        raise OSError(errno.ENOENT, f"no {path}")

    monkeypatch.setattr(Path, "read_text", tell_nothing)
    with closing(Disk().open(log, os.O_RDONLY)) as file:
        assert not Disk().is_mounted_alone(log, file)
        assert file.mount() == FileStatus.of(log.stat()).device


def test_a_process_of_another_user_counts_as_one_that_runs(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, f"no signal {number} to {pid}")

    log.touch()
    monkeypatch.setattr(os, "kill", refuse)
    held = closing(lock.open_locked(Disk(), log, lock.some_process))
    with held, pytest.raises(LockedError, match=r"^Process 4711 holds"):
        lock.open_locked(Disk(), log, lambda: lock.process_name(4711, ""))
