"""The standard streams, which may be closed, full, or left by their reader."""

from __future__ import annotations

import os
import sys
from typing import Final

from worker.core.secrets import redact
from worker.core.text import visible
from worker.observers.stream import QuietStream

_STDOUT: Final = 1
_STDERR: Final = 2


def hold_standard_streams() -> None:
    """Let /dev/null stand in for those that are closed.

    Else the next file that is opened gets the descriptor of one, and whatever is written to that
    stream goes into the file, were it the results log. And Python makes None of a closed stream,
    which nobody can ask whether it is a terminal.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(_STDOUT, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STDERR, "w", closefd=False)


def tell(text: str) -> None:
    """Write one line to the standard error, if that can be written to."""
    tell_all(visible(text))


def tell_all(text: str) -> None:
    """Write lines of our own to the standard error, if that can be written to; never a secret."""
    safe = redact(text.removesuffix("\n"))
    stream = QuietStream(sys.stderr)
    stream.write(safe + "\n")
    stream.drain()
