"""`python -m worker`, and the installed command `complete-sessions`."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Final, NoReturn

_INTERRUPTED: Final = 130
_TERMINATED: Final = 143


def main() -> None:
    """Run a command. A signal ends it with its code also while it is still being imported."""
    # As process 1 of a container this would miss what it does not listen for. What is to be
    # imported takes long enough for a signal.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    try:
        from worker.cli import main as run_command  # noqa: PLC0415 - not before that
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run_command()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(_TERMINATED)


if __name__ == "__main__":
    main()
