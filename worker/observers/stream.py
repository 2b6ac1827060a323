"""A stream that may break without harming the run: what is shown is not what counts."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rich.console import Console


class QuietStream:
    """Writes to `stream`, one flushed write for each text, and raises nothing.

    After an error (a closed pipe, a full disk) it is silent. None, which is what Python makes of a
    stream that was closed before the program began, is silent from the start.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        stream = self._stream
        if stream is not None:
            try:
                self._write(stream, text)
            except BlockingIOError:
                # A terminal that another program made non-blocking is full, not broken.
                pass
            except (OSError, ValueError):
                self._stream = None
                _empty(stream)
        return len(text)

    def flush(self) -> None:
        """Nothing to do: each write has flushed."""

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("the stream is closed")
        return self._stream.fileno()

    def _write(self, stream: IO[str], text: str) -> None:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        stream.flush()


def _empty(stream: IO[str]) -> None:
    """Send what is stuck in the stream's buffer nowhere.

    It would fail once more when Python flushes it at the end, and that turns every exit code
    into 120.
    """
    with suppress(OSError, ValueError):
        descriptor = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)


def guard(console: Console) -> None:
    """Let the console write through a `QuietStream`: rich ends the program where a pipe breaks."""
    if not isinstance(console.file, QuietStream):
        console.file = cast("IO[str]", QuietStream(console.file))
