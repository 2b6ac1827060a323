"""Opening the log: a disk that fails to sync, a log that is mounted alone, an empty one."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.ledgers import A, B, C, Durable, die, record, records_in, run, serving
from tests.support.namespaces import MOUNTS, is_granted
from tests.support.program import PROGRAM, environment
from worker.core.errors import LedgerError, UsageError
from worker.core.outcomes import Record
from worker.ledger import Ledger, Standing
from worker.ledger.disk import Disk, File
from worker.ledger.journal import journal_path
from worker.ledger.lines import encode_line


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


class FailingFile(File):
    """A file whose every operation that is named in `failing` fails."""

    failing: frozenset[str] = frozenset()

    def sync(self) -> None:
        self._fail("sync")
        super().sync()

    def sync_data(self) -> None:
        self._fail("sync")
        super().sync_data()

    def truncate(self, size: int) -> None:
        self._fail("truncate")
        super().truncate(size)

    def _fail(self, operation: str) -> None:
        if operation in self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class FailingDisk(Disk):
    """A disk on which no file can be synced, or what else is named, while `failing` says so."""

    def __init__(self) -> None:
        self.failing: frozenset[str] = frozenset()
        self.opened: list[FailingFile] = []

    def open(self, path: Path, flags: int) -> File:
        file = super().open(path, flags)
        failing = FailingFile(file._fd)
        failing.failing = self.failing
        self.opened.append(failing)
        return failing

    def fail(self, *operations: str) -> None:
        """Let them fail from now on, also on what is open."""
        self.failing = frozenset(operations)
        for file in self.opened:
            file.failing = self.failing


@pytest.mark.parametrize("torn", [b"", b"5eb2b6"])
async def test_what_a_dead_run_wrote_is_not_trusted_once_it_could_not_be_synced(
    log: Path, torn: bytes
) -> None:
    await die(log, entered=[A, B], settled=[record(A)])
    with journal_path(log).open("ab") as journal:
        journal.write(torn)
    assert Ledger.preview(log).standing(A) is Standing.SETTLED
    disk = FailingDisk()
    disk.fail("sync")
    for _ in range(2):
        with pytest.raises(LedgerError, match="sync the results log"):
            Ledger.open(log, "run-2", disk=disk)
    disk.fail()
    ledger = Ledger.open(log, "run-3", disk=disk)
    assert (ledger.recovered, ledger.settled) == (2, 0)
    assert [ledger.standing(each) for each in (A, B, C)] == [
        Standing.CHECK,
        Standing.CHECK,
        Standing.NEW,
    ]
    assert any("failed to take" in note.text for note in ledger.notes)
    async with serving(ledger):
        ledger.append(record(A, run="run-3"))
        ledger.append(record(B, run="run-3"))
    assert not journal_path(log).exists()
    assert Ledger.preview(log).standing(A) is Standing.SETTLED


@pytest.mark.parametrize(
    ("failing", "standing"), [(("sync",), Standing.SETTLED), (("sync", "truncate"), Standing.CHECK)]
)
async def test_neither_is_what_a_run_could_not_take_back_after_its_own_sync_has_failed(
    log: Path, failing: tuple[str, ...], standing: Standing
) -> None:
    disk = FailingDisk()
    ledger = Ledger.open(log, "run-1", disk=disk)
    await ledger.enter([A, B])
    task = asyncio.create_task(ledger.serve(durable := Durable()))
    ledger.append(record(A))
    await durable.reaches(1)
    disk.fail(*failing)
    ledger.append(record(B))
    with pytest.raises(LedgerError):
        await task
    await ledger.finish(good_order=True)
    disk.fail()
    past = Ledger.preview(log)
    assert (past.standing(A), past.standing(B)) == (standing, Standing.CHECK)


@pytest.mark.parametrize("content", [b"id,name\n5,x\n", b"\x1f\x8b\x08"])
async def test_a_journal_is_left_as_it_is_where_its_log_is_none(log: Path, content: bytes) -> None:
    await die(log, entered=[A])
    journal = journal_path(log)
    before = await asyncio.to_thread(journal.read_bytes)
    await asyncio.to_thread(log.write_bytes, content)
    with pytest.raises(LedgerError, match=r"is not a results log|is compressed"):
        Ledger.open(log, "run-2")
    assert await asyncio.to_thread(journal.read_bytes) == before


async def test_without_a_journal_everything_was_synced_once(log: Path) -> None:
    await run(log, record(A))
    disk = FailingDisk()
    disk.fail("sync")
    with pytest.raises(LedgerError):
        Ledger.open(log, "run-2", disk=disk)
    assert not journal_path(log).exists()
    assert Ledger.preview(log).standing(A) is Standing.SETTLED


class LoneMounts(Disk):
    def is_mounted_alone(self, path: Path, file: File) -> bool:
        return True


def test_a_log_that_is_mounted_alone_is_refused(log: Path) -> None:
    log.write_bytes(encode_line(record(A)))
    for attempt in (Ledger.probe, lambda log, disk: Ledger.open(log, "run", disk=disk)):
        with pytest.raises(UsageError, match="mounted as a single file") as caught:
            attempt(log, disk=LoneMounts())
        assert "Mount the directory" in caught.value.advice
    assert not journal_path(log).exists()


@pytest.mark.parametrize("mounted", ["log.jsonl", "."])
def test_a_real_mount_is_told_from_its_directory(tmp_path: Path, mounted: str) -> None:
    if not is_granted(MOUNTS):  # As in a container, where such files are mounted already.
        assert is_mounted_alone(Path("/etc/hosts"))
        return
    kept, data = tmp_path / "kept", tmp_path / "data"
    for directory in (kept, data):
        directory.mkdir()
        (directory / "log.jsonl").write_bytes(encode_line(record(A)))
    source = tmp_path / "backlog.txt"
    source.write_text(f"{A}\n")
    done = in_namespace(
        *("sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"'),
        *(str(kept / mounted), str(data / mounted)),
        *(*PROGRAM, "run", str(source), "--results", str(data / "log.jsonl")),
    )
    is_alone = mounted != "."
    assert ("mounted as a single file" in done.stderr) is is_alone
    assert done.returncode == (2 if is_alone else 0)


def in_namespace(*command: str) -> subprocess.CompletedProcess[str]:
    """What a command does that may mount, where nobody else sees it."""
    return subprocess.run(
        [*MOUNTS, *command],
        env=environment(API_BASE_URL="http://127.0.0.1:9/v1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def is_mounted_alone(path: Path) -> bool:
    with closing(Disk().open(path, os.O_RDONLY)) as file:
        return Disk().is_mounted_alone(path, file)


async def work(log: Path, *records: Record) -> Ledger:
    """A whole run; the ledger it had is closed."""
    ledger = Ledger.open(log, "run-1")
    async with serving(ledger):
        for each in records:
            await ledger.enter([each.id])
            ledger.append(each)
    return ledger


def test_an_empty_log_of_its_own_is_taken_away(log: Path) -> None:
    ledger = asyncio.run(work(log))
    assert log.exists()
    ledger.discard_empty()
    assert not log.exists()


def test_a_log_with_a_record_stays(log: Path) -> None:
    asyncio.run(work(log, record(A))).discard_empty()
    assert len(records_in(log)) == 1


def test_a_log_that_was_there_before_stays(log: Path) -> None:
    log.touch()
    asyncio.run(work(log)).discard_empty()
    assert log.exists()


def test_an_empty_log_that_another_run_holds_by_now_stays(log: Path) -> None:
    ledger = asyncio.run(work(log))
    with closing(Ledger.open(log, "run-2")):
        ledger.discard_empty()
        assert log.exists()
