"""The event loop that commands run on: uvloop's, where it is installed."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from worker.app.process.streams import tell_all

T = TypeVar("T")

_COLLECT_AFTER: Final = 10_000
"""As many objects more than before, and the collector looks for cycles: a run makes hardly any. At
Python's own 700, and with all that was imported to go through, it takes a tenth of the processor's
time at full speed (the table "cost" of `make bench`)."""


def open_loop() -> asyncio.Runner:
    """What runs coroutines; nothing that goes wrong unseen in the loop shows a secret.

    What is there by now is never looked through for cycles again.
    """
    logging.lastResort = _ToStandardError(logging.WARNING)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    return asyncio.Runner(loop_factory=_loop_factory())


def run_to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, on a loop of its own that is closed after it."""
    with open_loop() as loop:
        return loop.run(work)


class _ToStandardError(logging.Handler):
    """Shows what asyncio and libraries log: that a task failed of which nobody asked, and such."""

    def emit(self, record: logging.LogRecord) -> None:
        tell_all(self.format(record))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return uvloop.new_event_loop
