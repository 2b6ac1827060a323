"""The results log: JSON Lines, appended to and never rewritten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from worker.core.errors import LedgerError
from worker.ledger.disk import Disk, File
from worker.ledger.files import (
    CHUNK_BYTES,
    MAX_LINE_BYTES,
    AppendFile,
    Block,
    open_regular,
    read_from_start,
    reported,
    write_all,
)
from worker.ledger.lines import GZIP_MAGIC, RECORD_HEAD, holds_record

TORN_SUFFIX: Final = ".torn"
_GOT_NEWLINE: Final = (
    "The last line of the results log holds a record, and got the newline it lacked"
)
_FILLING: Final = b"\0 \t\r"
"""What stands for nothing; zeros are what a power cut leaves of lines that were not synced."""


def locate(disk: Disk, results: Path) -> Path:
    """The log's own path, links resolved: two names of one log must share its journal.

    Raises LedgerError where the directory that is to hold it is missing.
    """
    try:
        path = disk.resolve(results)
        found = disk.is_directory(path.parent)
    except (OSError, ValueError) as error:
        raise LedgerError(
            f"{str(results)!r} cannot be the results log: {error}", "Name another with --results"
        ) from error
    if not found:
        raise LedgerError(
            f"There is no directory {path.parent} for the results log",
            "Create it, or give the results log another place with --results",
        )
    return path


def refuse_other_file(file: File, path: Path) -> None:
    """Raise LedgerError where the open file is a gzip file, or holds anything but a log."""
    if file.read_at(0, len(GZIP_MAGIC)) == GZIP_MAGIC:
        raise LedgerError(
            f"{path} is compressed: lines appended to it would be lost",
            "Uncompress it, or give this run another log with --results",
        )
    if not _may_be_log(read_from_start(file)):
        raise LedgerError(
            f"{path} is not a results log: none of its lines is a record",
            "Nothing was changed in it. Name another file with --results",
        )


def _may_be_log(blocks: Iterator[Block]) -> bool:
    """Whether there is a record or the beginning of one, or nothing but blanks."""
    is_blank = True
    for block in blocks:
        for text in filter(None, (line.strip(_FILLING) for line in block.lines)):
            is_begun = block.torn and RECORD_HEAD.startswith(text[: len(RECORD_HEAD)])
            if is_begun or holds_record(text):
                return True
            is_blank = False
    return is_blank


class ResultsLog(AppendFile):
    """The open and locked log. Blocking; every method raises LedgerError where the disk fails."""

    def __init__(self, disk: Disk, path: Path, file: File) -> None:
        super().__init__("results log", disk, path, file)

    def sync(self) -> None:
        """Raises LedgerError where not all of the log is sure to be on disk.

        Lines of a run that was killed may be in the page cache only. What they settle leaves the
        journal next, so they must not be lost to a power cut after that.
        """
        with reported("sync the results log", self.path):
            self._file.sync()

    def repair(self) -> list[str]:
        """Make the last line end in a newline, so that nothing is glued to it; says what was done.

        A line that holds a whole record gets its newline. Anything else, zeros from a power cut
        among it, is saved beside the log before it is cut off. Raises LedgerError, and changes
        nothing, where this is no log.
        """
        with reported("repair the results log", self.path):
            refuse_other_file(self._file, self.path)
            start = self._last_line_start()
            if start == self._size:
                return []
            if self._is_record(start):
                write_all(self._file, b"\n")
                self._file.sync()
                self._size += 1
                return [_GOT_NEWLINE]
            return [self._cut_off(start)]

    def blocks(self) -> Iterator[Block]:
        """All lines, in constant memory."""
        with reported("read the results log", self.path):
            yield from read_from_start(self._file)

    def names(self) -> int:
        """How many names (hard links) the log has."""
        return self._file.status().links

    def _last_line_start(self) -> int:
        end = self._size
        while end > 0:
            start = max(0, end - CHUNK_BYTES)
            newline = self._file.read_at(start, end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def _is_record(self, start: int) -> bool:
        length = self._size - start
        if length > MAX_LINE_BYTES:
            return False
        return holds_record(self._file.read_at(start, length))

    def _cut_off(self, start: int) -> str:
        length = self._size - start
        torn = self.path.with_name(self.path.name + TORN_SUFFIX)
        with reported("save the torn end of the results log to", torn):
            self._save(start, torn)
        self._file.truncate(start)
        self._file.sync()
        self._size = start
        return f"The torn last line of the results log ({length} bytes) was moved to {torn}"

    def _save(self, start: int, torn: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        file = open_regular(self._disk, torn, flags)
        try:
            for offset in range(start, self._size, CHUNK_BYTES):
                size = min(CHUNK_BYTES, self._size - offset)
                write_all(file, self._file.read_at(offset, size))
            write_all(file, b"\n")
            file.sync()
        finally:
            file.close()
        self._disk.sync_directory(torn.parent)
