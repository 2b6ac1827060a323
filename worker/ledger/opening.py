"""Opening the log and the journal: for a run, for a look at what a run would find, for a trial."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from worker.core.errors import LedgerError, UsageError
from worker.ledger.disk import Disk, File
from worker.ledger.files import open_regular, read_from_start, reported
from worker.ledger.journal import (
    Header,
    Journal,
    journal_path,
    mark_unsynced,
    name_writer,
    read_journal,
)
from worker.ledger.lock import lock, open_locked, some_process
from worker.ledger.past import Asked, Note, Past, recall
from worker.ledger.results import ResultsLog, locate, refuse_other_file


class Opened(NamedTuple):
    """What a run works with; `is_new` where it made the log itself."""

    past: Past
    log: ResultsLog
    journal: Journal
    is_new: bool


def open_files(disk: Disk, results: Path, run: str, asked: Asked) -> Opened:
    """Lock the log, mend its end, learn what earlier runs left, and begin this run's journal."""
    path = locate(disk, results)
    journal_file = journal_path(path)
    is_new = not _is_there(disk, path)
    file = open_locked(disk, path, lambda: name_writer(disk, journal_file))
    try:
        refuse_lone_mount(disk, path, file)
        log = ResultsLog(disk, path, file)
        changed_at = _changed_at(file)
        _sync(disk, log)
        notes = [Note(text) for text in _note_on_names(log)]
        notes += [Note(text, is_routine=True) for text in log.repair()]
        past = recall(
            disk, log.blocks(), path, notes, asked=asked, log_changed_at=changed_at, alone=True
        )
        memory = past.memory
        header = Header.of_this_process(run, memory.log_lines, all_in_doubt=memory.all_in_doubt)
        journal = Journal(disk, journal_file, header, memory.pending_ids())
    except BaseException:
        file.close()
        raise
    return Opened(past, log, journal, is_new)


def preview(disk: Disk, results: Path, asked: Asked) -> Past:
    """What `open_files` would learn; creates, mends and writes nothing, and holds no lock."""
    path = locate(disk, results)
    journal_file = journal_path(path)
    with reported("read the results log", path, advice=""):
        try:
            file = open_regular(disk, path, os.O_RDONLY)
        except FileNotFoundError:
            return recall(disk, (), path, [], asked=asked, log_changed_at=None, alone=False)
        with closing(file):
            refuse_other_file(file, path)
            held_by = _note_on_holder(file, lambda: name_writer(disk, journal_file))
            notes = [Note(text) for text in held_by]
            blocks, changed_at = read_from_start(file), _changed_at(file)
            return recall(
                disk, blocks, path, notes, asked=asked, log_changed_at=changed_at, alone=False
            )


def probe(disk: Disk, results: Path, asked: Asked) -> Path:
    """Try what `open_files` needs, without a change; gives the log's path."""
    path = locate(disk, results)
    _probe_log(disk, path)
    if asked.target is not None:
        preview(disk, path, asked)
    read_journal(disk, journal_path(path), lambda _: None, alone=True)
    # Also where the log is there already: the journal comes into being by a rename.
    _check_writable(disk, path.parent, "a log and its journal cannot be made in")
    return path


def remove_if_empty(disk: Disk, path: Path) -> None:
    """Take an empty log away. Raises LockedError where another run holds it by now."""
    with closing(open_locked(disk, path, some_process)) as file:
        # Under the lock: whoever opens it meanwhile finds that the name is gone, and makes a log
        # of its own.
        if file.status().size == 0:
            with reported("remove the empty results log", path):
                disk.remove(path)


def refuse_lone_mount(disk: Disk, path: Path, file: File) -> None:
    """Raise UsageError where the log is mounted, and its directory is not.

    Its journal would stand on another file system, and go with a container.
    """
    with reported("look at the directory of the results log", path.parent):
        is_alone = disk.is_mounted_alone(path, file)
    if is_alone:
        raise UsageError(
            f"{path} is mounted as a single file: its journal would stand elsewhere, and be lost "
            "with a container",
            "Mount the directory that holds the log, and not the log alone",
        )


def _sync(disk: Disk, log: ResultsLog) -> None:
    try:
        log.sync()
    except LedgerError:
        # The kernel may have dropped what it could not write and shows it all the same, and a later
        # sync that succeeds proves nothing.
        mark_unsynced(disk, journal_path(log.path))
        raise


def _probe_log(disk: Disk, path: Path) -> None:
    with reported("read the results log", path, "Name another with --results FILE"):
        try:
            file = open_regular(disk, path, os.O_RDONLY)
        except FileNotFoundError:
            return
        with closing(file):
            refuse_other_file(file, path)
            refuse_lone_mount(disk, path, file)
            lock(file, path, "results log", lambda: name_writer(disk, journal_path(path)))
    _check_writable(disk, path, "the results log cannot be written:")


def _check_writable(disk: Disk, path: Path, problem: str) -> None:
    if not disk.is_writable(path):
        raise LedgerError(f"{problem} {path}", "Change its permissions or its owner")


def _is_there(disk: Disk, path: Path) -> bool:
    with reported("look at the results log", path), suppress(FileNotFoundError):
        disk.status(path)
        return True
    return False


def _changed_at(log: File) -> float | None:
    """When the log last changed; None for one that was only just made."""
    found = log.status()
    return found.modified_at if found.size else None


def _note_on_names(log: ResultsLog) -> list[str]:
    names = log.names()
    if names == 1:
        return []
    return [f"The results log has {names} names (hard links), and its journal is found by one only"]


def _note_on_holder(file: File, holder: Callable[[], str]) -> list[str]:
    with suppress(OSError):  # A run will say that there can be no lock.
        if file.is_locked():
            return [f"{holder()} holds the results log now: what it does is not foreseen here"]
    return []
