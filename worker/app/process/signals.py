"""Signals as requests to stop: the first drains, the second stops at once."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from worker.app.process.environment import CODES
from worker.core.errors import WorkerError

_ONE_REQUEST_S: Final = 0.5
"""timeout(1) sends a signal twice, and a shell repeats the hang-up of its terminal: signals that
come together are one request. Held by `test_signals_that_come_together_are_one` and
`test_the_second_signal_ends_at_once_and_the_next_run_reads_first`."""


class SignalledError(WorkerError):
    """A signal asked the run to end."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"{number.name} was received", "Run the same command again to go on")
        self.exit_code = CODES[number]


@contextmanager
def show_on_signal(show: Callable[[], None]) -> Iterator[None]:
    """Within: SIGUSR1 calls `show`, and ends nothing. Must be entered in the loop."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGUSR1)
    loop.add_signal_handler(signal.SIGUSR1, show)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before or signal.SIG_DFL)


@contextmanager
def stop_on_signals(
    stop: Callable[[WorkerError], None], abort: Callable[[WorkerError], None]
) -> Iterator[None]:
    """Within: the first signal calls `stop`, the second `abort`, a third ends the process.

    SIGHUP counts as SIGTERM, unless it was being ignored (nohup); signals within half a second
    count as one. Must be entered in the loop.
    """
    loop = asyncio.get_running_loop()
    received, heeded_at = 0, -math.inf

    def handle(number: signal.Signals) -> None:
        nonlocal received, heeded_at
        if loop.time() - heeded_at < _ONE_REQUEST_S:
            return
        received, heeded_at = received + 1, loop.time()
        cause = SignalledError(number)
        if received > 2:
            os._exit(cause.exit_code)
        (stop if received == 1 else abort)(cause)

    before = {number: signal.getsignal(number) for number in CODES}
    handled = [number for number in CODES if before[number] is not signal.SIG_IGN]
    for number in handled:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number] or signal.SIG_DFL)
