"""Signals as requests to stop: the first drains, the second stops at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.errors import ExitCode, WorkerError

_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,
}


class SignalledError(WorkerError):
    """A signal asked the run to end."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"{number.name} was received", "Run the same command again to go on")
        self.exit_code = _CODES[number]


@contextmanager
def stop_on_signals(
    stop: Callable[[WorkerError], None], abort: Callable[[WorkerError], None]
) -> Iterator[None]:
    """Within: the first signal calls `stop`, the second `abort`, a third ends the process.

    SIGHUP counts as SIGTERM, unless it was being ignored (nohup). Must be entered in the loop.
    """
    loop = asyncio.get_running_loop()
    received = 0

    def handle(number: signal.Signals) -> None:
        nonlocal received
        received += 1
        cause = SignalledError(number)
        if received > 2:
            os._exit(cause.exit_code)
        (stop if received == 1 else abort)(cause)

    handled = [number for number in _CODES if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
