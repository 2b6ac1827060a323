"""The journal: which ids a run may have sent, on disk before the first of their requests leaves.

It stands beside the log while a run lasts, `<results>.inflight`: a header, then one id a line. A
line that breaks off was never synced, so its id was never sent; one that lacks but its newline, as
editors leave it, is an id. The journal comes into being
whole, by a rename, with the ids that the run before it left in doubt: at no moment is an id that
may have been sent in neither the old journal nor the new one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final

import msgspec

from worker.core.errors import LedgerError
from worker.core.outcomes import is_valid_id
from worker.ledger.disk import Disk, File
from worker.ledger.files import (
    AppendFile,
    open_regular,
    read_from_start,
    reported,
    write_all,
)
from worker.ledger.lock import lock, process_name, some_process

JOURNAL_SUFFIX: Final = ".inflight"
_TEMPORARY_SUFFIX: Final = ".tmp"
_IDS_IN_ONE_WRITE: Final = 10_000
_MAX_HEADER_BYTES: Final = 1000
_USUAL_ID_LENGTH: Final = 24
_UNSYNCED: Final = b" unsynced"
"""Ends a line, which may be torn, once it is not sure that the run's outcomes are on disk."""


class Header(msgspec.Struct, frozen=True):
    """Whose journal it is, and how many lines the log had when that run began. Headers of older
    versions name no host.

    `all_in_doubt`: a journal before this one was damaged, so that nobody knows which ids it held.
    """

    run: str
    pid: int
    at: str
    log_lines: int = 0
    all_in_doubt: bool = False
    host: str = ""

    @classmethod
    def of_this_process(cls, run: str, log_lines: int, *, all_in_doubt: bool = False) -> Header:
        """The header of a run that this process begins now."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return cls(run, os.getpid(), at, log_lines, all_in_doubt, socket.gethostname())


class FoundJournal(msgspec.Struct, frozen=True):
    """A journal that was found. `header` is None where it cannot be read; `damaged` counts lines
    that hold no id. With `unsynced` the outcomes of its run may be lost, though the log shows
    them; `is_held` says that its run is at work, on whatever host."""

    header: Header | None
    damaged: int
    unsynced: bool = False
    is_held: bool = False

    @property
    def all_in_doubt(self) -> bool:
        """Whether ids may have been sent that the journal does not name any more."""
        return self.damaged > 0 or (self.header is not None and self.header.all_in_doubt)


_decode_header: Final = msgspec.json.Decoder(Header).decode


def journal_path(log: Path) -> Path:
    """Where the journal of a results log stands: beside it."""
    return log.with_name(log.name + JOURNAL_SUFFIX)


def read_journal(
    disk: Disk, path: Path, on_id: Callable[[str], None], *, alone: bool
) -> FoundJournal | None:
    """Give each id of the journal to `on_id`; None where there is no journal.

    Raises LedgerError where it cannot be read: without it nobody knows what may have been sent.
    With `alone`, raises LockedError where a run is still writing it: the lock on the log does not
    tell, if that run's log was moved away or removed.
    """
    with reported("read the journal", path):
        try:
            # NFS grants an exclusive lock only on what is open for writing.
            mode = os.O_RDWR if alone else os.O_RDONLY
            file = open_regular(disk, path, mode | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            if alone:
                lock(file, path, "journal", lambda: name_writer(disk, path))
            is_held = not alone and _is_held(file)
            return msgspec.structs.replace(_read(file, on_id), is_held=is_held)
        finally:
            file.close()


def mark_unsynced(disk: Disk, path: Path) -> None:
    """Let the next run trust no outcome of the run whose journal this is, if there is one.

    It need not be synced: what a power cut would take away, it takes from the log as well.
    """
    with suppress(OSError, LedgerError):
        file = open_regular(disk, path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        with closing(file):
            write_all(file, _UNSYNCED + b"\n")


def _is_held(file: File) -> bool:
    with suppress(OSError):  # A run will say that there can be no lock.
        return file.is_locked()
    return False


def name_writer(disk: Disk, path: Path) -> str:
    """The process that writes the journal, where it can be told."""
    try:
        file = open_regular(disk, path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            header = _header_of(file.read_at(0, _MAX_HEADER_BYTES).partition(b"\n")[0])
        finally:
            file.close()
    except (OSError, LedgerError):
        return some_process()
    return some_process() if header is None else process_name(header.pid, header.host)


class Journal:
    """This run's journal, open for ids to enter. Blocking; LedgerError where the disk fails."""

    def __init__(self, disk: Disk, path: Path, header: Header, ids: Iterable[str]) -> None:
        """Put a journal that holds `ids` in the place of any that stands there."""
        self._disk = disk
        self._path = path
        self._header = header
        self._file = self._create(ids)

    def enter(self, ids: Iterable[str]) -> None:
        """On return these ids are on disk, and may be sent."""
        self._file.append(_lines(ids))

    def keep_only(self, ids: Iterable[str]) -> None:
        """Forget all ids but these."""
        self._file.close()
        self._file = self._create(ids)

    def remove(self) -> None:
        """Take the journal away, durably. Raises LedgerError where that fails."""
        with reported("remove the journal", self._path):
            self._disk.remove(self._path)
            self._disk.sync_directory(self._path.parent)

    def close(self) -> None:
        """Leave it where it is, and free its lock."""
        self._file.close()

    def _create(self, ids: Iterable[str]) -> AppendFile:
        temporary = self._path.with_name(self._path.name + _TEMPORARY_SUFFIX)
        with reported("write the journal", self._path):
            self._disk.remove(temporary)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            file = open_regular(self._disk, temporary, flags)
            try:
                lock(file, temporary, "journal", some_process)
                self._fill(file, ids)
                self._disk.rename(temporary, self._path)
                # This makes the name of a new log last as well, which is in the same directory.
                self._disk.sync_directory(self._path.parent)
            except BaseException:
                file.close()
                with suppress(OSError):
                    self._disk.remove(temporary)
                raise
            return AppendFile("journal", self._disk, self._path, file)

    def _fill(self, file: File, ids: Iterable[str]) -> None:
        write_all(file, msgspec.json.encode(self._header) + b"\n")
        remaining = iter(ids)
        while batch := list(islice(remaining, _IDS_IN_ONE_WRITE)):
            write_all(file, _lines(batch))
        file.sync()


def _lines(ids: Iterable[str]) -> bytes:
    return "".join(f"{_checked(session_id)}\n" for session_id in ids).encode()


def _checked(session_id: str) -> str:
    if not is_valid_id(session_id):
        raise ValueError(f"not an id: {session_id!r}")
    return session_id


def _read(file: File, on_id: Callable[[str], None]) -> FoundJournal:
    lines = _lines_of(file)
    first, _ = next(lines, (None, False))
    header = None if first is None else _header_of(first)
    ids = lines if first is None or header is not None else chain(((first, False),), lines)
    damaged, length, unsynced = 0, _USUAL_ID_LENGTH, False
    for line, torn in ids:
        is_marked = line.endswith(_UNSYNCED)
        unsynced = unsynced or is_marked
        # An editor may have put \r or blanks there.
        text = line.removesuffix(_UNSYNCED).strip().decode("utf-8", "replace")
        if (torn or is_marked) and len(text) != length:
            continue  # Cut off while it was written: it was never synced, and so never sent.
        if is_valid_id(text):
            on_id(text)
            length = len(text)
        elif not (torn or _is_ruler(text)):
            damaged += 1
    return FoundJournal(header, damaged, unsynced)


def _is_ruler(text: str) -> bool:
    """Whether a text is of signs alone, which older versions took for an id and no source gives."""
    return bool(text) and not text.strip("_-")


def _lines_of(file: File) -> Iterator[tuple[bytes, bool]]:
    """Each line, and whether it is a last one without its newline."""
    for block in read_from_start(file):
        for line in block.lines:
            yield line, block.torn


def _header_of(line: bytes) -> Header | None:
    try:
        return _decode_header(line)
    except (ValueError, RecursionError):
        return None
