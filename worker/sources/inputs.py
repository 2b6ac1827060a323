"""Bytes as they come: a wait for them can be ended by another thread or a signal handler."""

from __future__ import annotations

import contextlib
import os
import select
import stat
from typing import BinaryIO, Final, Protocol

from worker.sources.watch import FileWatch

CHUNK: Final = 1 << 16
_LEFT_IN_PIPE: Final = 1 << 20
"""The most that a pipe holds by default; an endless one must not keep a program from ending."""
_COUNTED_SIZE: Final = 1 << 30
_COUNTED_CHUNK: Final = 1 << 20


class Input(Protocol):
    """Read by one thread at a time; `stop_waiting` and `cancel` may be called from anywhere."""

    is_regular: bool
    watch: FileWatch | None
    """What looks after a regular file; None for a stream."""

    def read(self) -> bytes | None:
        """Some bytes, after a wait for them; b"" at the end; None where a wait may not be.

        Raises ChangedError for a regular file that is not what it was.
        """
        ...

    def stop_waiting(self) -> None:
        """From now on give only what is there, and of that no endless amount."""
        ...

    def cancel(self) -> None:
        """From now on give nothing."""
        ...

    def release(self) -> None:
        """Close what was opened; only while no `read` is under way."""
        ...

    def count_lines(self) -> int | None:
        """How many lines there are to read in all; None where that cannot be told cheaply."""
        ...


class Descriptor:
    """A file descriptor, blocking or not: its flags may be shared with others, and stay."""

    def __init__(self, fd: int, *, owned: bool, path: str | None = None) -> None:
        self.is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._fd = fd
        self._owned = owned
        self._start = os.lseek(fd, 0, os.SEEK_CUR) if self.is_regular else 0
        self.watch = FileWatch(fd, path, self._start) if self.is_regular else None
        self._allowance: int | None = None
        self._cancelled = False
        woken, waker = os.pipe()
        self._woken = os.fdopen(woken, "rb", buffering=0)
        self._waker = os.fdopen(waker, "wb", buffering=0)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(woken, select.POLLIN)

    def read(self) -> bytes | None:
        while self._may_read():
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:  # Another reader of the same pipe was faster.
                continue
            if self._allowance is not None:
                self._allowance -= len(data)
            if self.watch is not None:
                self.watch.saw(data) if data else self.watch.saw_end()
            return data
        return None

    def _may_read(self) -> bool:
        if self._cancelled:
            return False
        if self.is_regular:
            return True
        if self._allowance is not None and self._allowance <= 0:
            return False
        return any(fd == self._fd for fd, _ in self._poll.poll())

    def stop_waiting(self) -> None:
        if self._allowance is None:
            self._allowance = _LEFT_IN_PIPE
            self._wake()

    def cancel(self) -> None:
        self._cancelled = True
        self._wake()

    def _wake(self) -> None:
        # The byte is never read: whoever polls from now on is woken at once.
        with contextlib.suppress(OSError, ValueError):
            self._waker.write(b"\0")

    def release(self) -> None:
        self._waker.close()
        self._woken.close()
        if self._owned:
            os.close(self._fd)
            self._owned = False

    def count_lines(self) -> int | None:
        if not self.is_regular or os.fstat(self._fd).st_size > _COUNTED_SIZE:
            return None
        line_feeds = returns = 0
        at, last = self._start, b"\n"
        while data := os.pread(self._fd, _COUNTED_CHUNK, at):
            line_feeds += data.count(b"\n")
            returns += data.count(b"\r")
            at, last = at + len(data), data[-1:]
        return max(line_feeds, returns) + (last not in b"\r\n")


class Stream:
    """A file object without a descriptor, such as one in memory."""

    is_regular = False
    watch: FileWatch | None = None

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._cancelled = False

    def read(self) -> bytes | None:
        return None if self._cancelled else self._stream.read(CHUNK)

    def stop_waiting(self) -> None:
        """It never waits."""

    def cancel(self) -> None:
        self._cancelled = True

    def release(self) -> None:
        """Its owner closes it."""

    def count_lines(self) -> int | None:
        return None
