from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ledgers import A, B, C, name_of
from worker.core.errors import LedgerError, LockedError
from worker.ledger.disk import Disk, File
from worker.ledger.journal import (
    FoundJournal,
    Header,
    Journal,
    journal_path,
    name_writer,
    read_journal,
)

DISK = Disk()
HEADER = Header("run-1", 4711, "2026-11-23T01:02:03.456Z", log_lines=7, host="abc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path / "results.jsonl")


def read(path: Path, *, alone: bool = True) -> tuple[FoundJournal | None, list[str]]:
    ids: list[str] = []
    return read_journal(DISK, path, ids.append, alone=alone), ids


def test_a_journal_is_read_back_as_it_was_written(path: Path) -> None:
    journal = Journal(DISK, path, HEADER, [A])
    journal.enter([B, C])
    journal.close()
    left, ids = read(path)
    assert left is not None
    assert left.header == HEADER
    assert ids == [A, B, C]
    assert name_writer(DISK, path) == "Process 4711 on abc"
    assert path.name == "results.jsonl.inflight"
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_can_be_told_whether_a_journal_is_written_without_holding_it_up(path: Path) -> None:
    journal = Journal(DISK, path, HEADER, [A])
    for _ in range(2):
        left, ids = read(path, alone=False)
        assert (left and left.is_held, ids) == (True, [A])
    journal.close()
    left, _ = read(path, alone=False)
    assert left is not None
    assert not left.is_held


def test_entered_ids_are_synced_before_they_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(DISK, path, HEADER, [])
    synced: list[str] = []
    monkeypatch.setattr(File, "sync_data", lambda file: synced.append(path.read_text().split()[-1]))
    journal.enter([A, B])
    assert synced == [B]
    journal.close()


def test_a_journal_is_open_for_writing_when_it_is_locked_as_nfs_wants(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(f"{A}\n")
    modes: list[int] = []

    def note_mode(fd: int, operation: int) -> None:
        modes.append(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(fcntl, "flock", note_mode)
    assert read(path)[1] == [A]
    assert modes == [os.O_RDWR]


def test_no_journal_is_no_error(path: Path) -> None:
    assert read(path) == (None, [])
    assert name_writer(DISK, path) == "Another process"


def test_an_empty_journal_holds_nothing(path: Path) -> None:
    path.touch()
    left, ids = read(path)
    assert left is not None
    assert left.header is None
    assert (left.damaged, ids) == (0, [])


@pytest.mark.parametrize("first", ["", "{", '{"run":1}', "\0\0", '{"z":' * 100_000, "[1]"])
def test_without_a_readable_header_every_id_is_in_doubt(path: Path, first: str) -> None:
    path.write_text(f"{first}\n{A}\n{B}\n")
    left, ids = read(path)
    assert left is not None
    assert left.header is None
    assert left.damaged == 1
    assert ids == [A, B]
    assert name_writer(DISK, path) == "Another process"


def test_without_any_header_the_first_id_is_in_doubt_too(path: Path) -> None:
    path.write_text(f"{A}\n{B}\n")
    assert read(path)[1] == [A, B]


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \t\n", "\n\n"])
def test_what_an_editor_does_to_line_ends_costs_no_id(path: Path, ending: str) -> None:
    path.write_text(ending.join(('{"run":"r","pid":1,"at":""}', A, B, C)), newline="")
    left, ids = read(path)
    assert ids == [A, B, C]
    assert left is not None
    assert left.all_in_doubt == (ending == "\n\n")


@given(st.integers(0, 60))
def test_a_line_cut_anywhere_is_an_id_that_was_never_sent(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "x.inflight"
    whole = f'{{"run":"r","pid":1,"at":""}}\n{A}\n{B}\n{C}\n'
    path.write_text(whole[: len(whole) - cut])
    assert read(path)[1] == [each for each in (A, B, C) if each in path.read_text()]


def test_what_is_no_id_is_counted_as_damage(path: Path) -> None:
    path.write_bytes(b'{"run":"r","pid":1,"at":""}\n' + b"\0\0\0\n\xff\n" + A.encode() + b"\n\n")
    left, ids = read(path)
    assert left is not None
    assert left.damaged == 3
    assert ids == [A]


def test_signs_alone_that_an_older_version_entered_are_no_damage(path: Path) -> None:
    path.write_text(f'{{"run":"r","pid":1,"at":""}}\n----\n{A}\n_\n')
    left, ids = read(path)
    assert left is not None
    assert (left.all_in_doubt, ids) == (False, [A])


@pytest.mark.parametrize("text", ["", "-_", "a\nb", "a b", "../x", "é", "x" * 129])
def test_only_ids_can_enter(path: Path, text: str) -> None:
    journal = Journal(DISK, path, HEADER, [])
    with pytest.raises(ValueError, match="not an id"):
        journal.enter([A, text])
    journal.close()
    assert read(path)[1] == []


def test_the_new_journal_replaces_the_old_one_whole(path: Path) -> None:
    path.write_text(f"{A}\n")
    old = path.stat().st_ino
    journal = Journal(DISK, path, HEADER, iter([A, B]))
    assert path.stat().st_ino != old
    journal.enter([C])
    journal.keep_only([B])
    journal.close()
    left, ids = read(path)
    assert left is not None
    assert left.header == HEADER
    assert ids == [B]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_crash_while_the_new_journal_is_written_leaves_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(f"{A}\n{B}\n")

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(LedgerError, match=f"{path}: No space left on device"):
            Journal(DISK, path, HEADER, [A, B])
    assert read(path)[1] == [A, B]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_new_journal_is_on_disk_before_it_replaces_the_old_one_and_its_name_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append((name_of(fd), path.exists())))
    journal = Journal(DISK, path, HEADER, [A])
    assert synced == [(path.with_name(f"{path.name}.tmp"), False), (path.parent, True)]
    journal.remove()
    assert synced[2:] == [(path.parent, False)]
    journal.close()


def test_what_a_crash_left_half_written_is_written_over(path: Path) -> None:
    path.with_name(f"{path.name}.tmp").write_text("torn")
    Journal(DISK, path, HEADER, [A]).close()
    assert read(path)[1] == [A]


def test_a_removed_journal_stays_removed(path: Path) -> None:
    journal = Journal(DISK, path, HEADER, [])
    journal.remove()
    journal.close()
    assert not path.exists()


def test_an_id_does_not_enter_a_journal_that_was_removed(path: Path) -> None:
    journal = Journal(DISK, path, HEADER, [])
    path.unlink()
    with pytest.raises(LedgerError, match=f"The journal {path} was removed"):
        journal.enter([A])
    journal.close()


def test_a_link_in_the_journals_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="not a regular file"):
        read(path)


def test_a_directory_in_the_journals_place_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="not a regular file"):
        read(path)
    with pytest.raises(LedgerError, match="Cannot write the journal"):
        Journal(DISK, path, HEADER, [])


@pytest.mark.usefixtures("permissions")
def test_a_journal_that_may_not_be_read_is_an_error(path: Path) -> None:
    path.write_text(f"{A}\n")
    path.chmod(0)
    with pytest.raises(LedgerError, match=f"^Cannot read the journal {path}: Permission denied"):
        read(path)


def test_a_journal_that_a_run_still_writes_is_not_taken_for_a_dead_ones(path: Path) -> None:
    journal = Journal(DISK, path, Header.of_this_process("run-1", 0), [A])
    with pytest.raises(LockedError, match=f"Process {os.getpid()} holds the journal {path}"):
        read(path)
    assert read(path, alone=False)[1] == [A]
    journal.keep_only([A])
    with pytest.raises(LockedError):
        read(path)
    journal.close()
    assert read(path)[1] == [A]
