"""A stream that breaks or gets stuck does no harm to the run: what is shown is not what counts."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Self, cast

from worker.observers.background import Background

if TYPE_CHECKING:
    from rich.console import Console


class QuietStream:
    """Writes to `stream`, whole texts in their order, raises nothing and waits for nobody.

    After an error (a closed pipe, a full disk) it is silent. None, which is what Python makes of a
    stream that was closed before the program began, is silent from the start. While nobody reads
    (a terminal after Ctrl-S), 10,000 texts wait; what comes then is left out, until all of those
    are written. `drain` waits for them, but not for ever.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._left_out = 0
        descriptor = _descriptor_of(stream)
        self._background = None if descriptor is None else Background(_Pen(descriptor).write)

    @classmethod
    def of(cls, stream: IO[str] | Self | None) -> Self:
        """The stream itself where it is one already: two over one descriptor lose the order."""
        return stream if isinstance(stream, cls) else cls(cast("IO[str] | None", stream))

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def is_behind(self) -> bool:
        """Whether texts wait to be written."""
        return self._background is not None and self._background.is_behind

    def write(self, text: str) -> int:
        """Leave a text to be written, or leave it out; what the encoding lacks is escaped."""
        data = text.encode(self.encoding, "backslashreplace")
        if self._background is None:
            self._write_through(data)
        elif (self._left_out and self.is_behind) or not self._background.put(data):
            self._left_out += 1
        return len(text)

    def take_left_out(self) -> int:
        """How many texts were left out, once the stream goes on again; each is told of once."""
        if not self._left_out or self.is_behind:
            return 0
        left_out, self._left_out = self._left_out, 0
        return left_out

    def drain(self) -> None:
        """Wait until all is written, but no longer than 2 s in which nothing is taken."""
        if self._background is not None:
            self._background.drain()

    def flush(self) -> None:
        """Nothing to do: each write is flushed."""

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("the stream is closed")
        return self._stream.fileno()

    def _write_through(self, data: bytes) -> None:
        """What has no descriptor stands in memory, or is closed."""
        if self._stream is None:
            return
        try:
            self._stream.write(data.decode(self.encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


class _Pen:
    """Writes to a descriptor past Python's buffers, until it breaks.

    A thread that is stuck with a buffer's lock would end the program with an abort, and what stays
    in a buffer fails once more at the exit, and turns every exit code into 120.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_broken = False

    def write(self, texts: Sequence[bytes]) -> int:
        """Write as many whole texts as a pipe takes undivided, one at least; gives their number."""
        fitting = sum(size <= select.PIPE_BUF for size in accumulate(map(len, texts)))
        count = max(fitting, 1)
        if not self._is_broken:
            try:
                self._write_all(b"".join(texts[:count]))
            except OSError:
                self._is_broken = True
        return count

    def _write_all(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # A terminal that another program made non-blocking is full, not broken.
                room = select.poll()
                room.register(self._descriptor, select.POLLOUT)
                room.poll()


def _descriptor_of(stream: IO[str] | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def guard(console: Console) -> QuietStream:
    """Let the console write through a `QuietStream`: rich ends the program where a pipe breaks."""
    quiet = QuietStream.of(console.file)
    console.file = cast("IO[str]", quiet)
    return quiet
