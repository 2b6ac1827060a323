"""Whether a regular file stays what it was while it is read; one that only grows is read on."""

from __future__ import annotations

import os
import zlib
from typing import Final

_CHUNK: Final = 1 << 20


class ChangedError(Exception):
    """The file was changed while it was read; says how."""


class FileWatch:
    """Is shown all that is read of an open file, in order, from `start` on.

    `path` is None where the file came without a name. Every look costs one fstat; what was read is
    read once more where a look shows that the file has changed, and at the end if it ever has.
    """

    def __init__(self, fd: int, path: str | None, start: int) -> None:
        self._fd = fd
        self._path = path
        self._start = self._at = start
        self._opened = self._known = self._look()
        self._last = b""
        self._checksum = 0

    @property
    def has_grown(self) -> bool:
        """Whether the file was longer at the last look than at its opening."""
        return self._known[0] > self._opened[0]

    def saw(self, data: bytes) -> None:
        """Take note of what was read. Raises ChangedError where it does not belong to the rest."""
        now = self._look()
        self._refuse_cut(now[0], self._at + len(data))
        if now != self._known:
            self._known = now
            seam = self._last + data
            if self._read_again(self._at - len(self._last), len(seam)) != seam:
                raise ChangedError("it was rewritten while it was read")
        self._checksum = zlib.crc32(data, self._checksum)
        self._at += len(data)
        self._last = data

    def saw_end(self) -> None:
        """Raise ChangedError unless the file still holds what was read of it."""
        now = self._known = self._look()
        self._refuse_cut(now[0], max(self._at, self._opened[0]))
        if now != self._opened and self._checksum_again() != self._checksum:
            raise ChangedError("it was rewritten while it was read")

    def check_name(self) -> None:
        """Raise ChangedError where another file has come to stand under the name."""
        if self._path is None:
            return
        try:
            is_same = os.path.samestat(os.stat(self._path), os.fstat(self._fd))  # noqa: PTH116
        except OSError:  # It was taken away, as a file that is no longer needed.
            return
        if not is_same:
            raise ChangedError("another file has taken its place while it was read")

    def _look(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns

    def _refuse_cut(self, size: int, least: int) -> None:
        if size < least:
            raise ChangedError(f"it was cut to {size} bytes while it was read")

    def _read_again(self, at: int, length: int) -> bytes:
        return os.pread(self._fd, length, at)

    def _checksum_again(self) -> int:
        checksum, at = 0, self._start
        while at < self._at and (data := self._read_again(at, min(_CHUNK, self._at - at))):
            checksum = zlib.crc32(data, checksum)
            at += len(data)
        return checksum
