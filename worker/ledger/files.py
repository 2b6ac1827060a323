"""Files that hold whole lines or none: reading them in blocks, appending so that it lasts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from worker.core.errors import LedgerError
from worker.ledger.disk import Disk, File, FileStatus

CHUNK_BYTES: Final = 1 << 20
"""How much is read at once. A choice: a disk is as fast with it as with more."""

MAX_LINE_BYTES: Final = 1 << 20
"""A line is judged by its first so many bytes: a file without newlines must not fill the memory."""

_BOM: Final = b"\xef\xbb\xbf"
_WRITE_ADVICE: Final = (
    "Mend that (make room, set the permissions) and run the same command again: what was counted "
    "is on disk, and what was in flight is read before it is sent"
)
_MEDDLING_ADVICE: Final = (
    "Nothing more is sent. Keep other programs away from it while a run lasts, then run the same "
    "command again: what is in doubt is read before it is sent"
)


@contextmanager
def reported(action: str, path: Path, advice: str = _WRITE_ADVICE) -> Iterator[None]:
    """Turn an OSError into a LedgerError that names what was tried, the path and the reason."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise LedgerError(f"Cannot {action} {path}: {reason}", advice) from error


class Block(NamedTuple):
    """Lines in a row, without their newlines; `first` is the number of the first, from 1.

    `torn`: the one line of this block is the last of the file and has no newline.
    """

    first: int
    lines: list[bytes]
    torn: bool = False

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """The lines with their numbers in the file."""
        return enumerate(self.lines, self.first)


def read_blocks(read: Callable[[int], bytes]) -> Iterator[Block]:
    """The lines of what `read(size)` gives, until it gives nothing, in constant memory."""
    first = 1
    # An editor may have put a byte-order mark there: it must not cost the first record.
    chunk = read(CHUNK_BYTES).removeprefix(_BOM)
    rest = b""
    while chunk:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()[:MAX_LINE_BYTES]
        if lines:
            lines[0] = lines[0][:MAX_LINE_BYTES]
            yield Block(first, lines)
            first += len(lines)
        chunk = read(CHUNK_BYTES)
    if rest:
        yield Block(first, [rest], torn=True)


def read_from_start(file: File) -> Iterator[Block]:
    """The lines of an open file, without moving the position at which it is written."""
    offset = 0

    def read(size: int) -> bytes:
        nonlocal offset
        data = file.read_at(offset, size)
        offset += len(data)
        return data

    return read_blocks(read)


def open_regular(disk: Disk, path: Path, flags: int) -> File:
    """Open the regular file `path`, or make it if `flags` say so.

    Raises OSError, or LedgerError where `path` is a device, a pipe or the like. Such things are not
    opened at all where it can be known before: opening some of them blocks, or acts.
    """
    with suppress(FileNotFoundError):
        follow_symlinks = not flags & os.O_NOFOLLOW
        _refuse_irregular(path, disk.status(path, follow_symlinks=follow_symlinks))
    file = disk.open(path, flags)
    try:
        _refuse_irregular(path, file.status())
    except LedgerError:
        file.close()
        raise
    return file


def _refuse_irregular(path: Path, found: FileStatus) -> None:
    if not found.is_regular:
        raise LedgerError(f"{path} is not a regular file", "Give the path of a file, or of none")


def write_all(file: File, data: bytes) -> None:
    """Write every byte; a write that a limit or a full disk cuts short goes on until it fails."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class AppendFile:
    """An open file that only this process may change, and only by whole, synced appends.

    After one failure every further append raises the same LedgerError: when a sync has failed, the
    kernel may have dropped the data, and a second sync that succeeds would prove nothing. The data
    is cut off again; `is_unsure` where that failed, too.
    """

    def __init__(self, name: str, disk: Disk, path: Path, file: File) -> None:
        self.path = path
        self._name = name
        self._disk = disk
        self._file = file
        self._failure: LedgerError | None = None
        self.is_unsure = False
        found = file.status()
        self._identity = found.identity
        self._size = found.size

    def append(self, data: bytes) -> None:
        """On return `data` is on disk; where LedgerError is raised, nothing of it counts."""
        if self._failure is not None:
            raise self._failure
        try:
            self.check()
            with reported(f"write the {self._name}", self.path):
                self._write(data)
        except LedgerError as error:
            self._failure = error
            raise

    def check(self) -> None:
        """Raise LedgerError unless the path still names this file, and it is as it was left."""
        found = self._stat()
        if found is None:
            self._refuse("was removed")
        elif found.identity != self._identity:
            self._refuse("was replaced by another file")
        elif found.size < self._size:
            self._refuse(f"was cut from {self._size} to {found.size} bytes")
        elif found.size > self._size:
            self._refuse("was written to by another program")

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        """Close the file, and free the lock that may hang on it; may be repeated."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            write_all(self._file, data)
            self._file.sync_data()
        except OSError:
            self._cut_off_again()
            raise
        self._size += len(data)

    def _cut_off_again(self) -> None:
        """A torn line that stays is mended when the file is opened again."""
        try:
            self._file.truncate(self._size)
        except OSError:
            self.is_unsure = True
        else:
            with suppress(OSError):
                self._file.sync_data()

    def _stat(self) -> FileStatus | None:
        with reported(f"look at the {self._name}", self.path), suppress(FileNotFoundError):
            return self._disk.status(self.path)
        return None

    def _refuse(self, what: str) -> None:
        message = f"The {self._name} {self.path} {what} while this run was using it"
        raise LedgerError(message, _MEDDLING_ADVICE)
