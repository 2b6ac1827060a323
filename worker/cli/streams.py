"""The standard streams, which may be closed, full, or left by their reader."""

from __future__ import annotations

import os
import sys

from worker.observers.stream import QuietStream
from worker.observers.wording import redacted, visible

_LAST_STANDARD_DESCRIPTOR = 2


def hold_standard_streams() -> None:
    """Let /dev/null stand in for those that are closed.

    Else the next file that is opened gets the descriptor of one, and whatever is written to that
    stream goes into the file, were it the results log.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD_DESCRIPTOR:
        pass
    os.close(descriptor)


def tell(text: str) -> None:
    """Write one line to the standard error, if that can be written to."""
    tell_all(visible(text))


def tell_all(text: str) -> None:
    """Write lines of our own to the standard error, if that can be written to; never the key."""
    from worker.settings import KEY_VARIABLE  # noqa: PLC0415 - only where there is something to say

    safe = redacted(text.removesuffix("\n"), [os.environ.get(KEY_VARIABLE, "")])
    stream = QuietStream(sys.stderr)
    stream.write(safe + "\n")
    stream.drain()
