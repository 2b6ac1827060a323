"""The event loop that commands run on: uvloop's, where it is installed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from worker.app.process.streams import tell_all

T = TypeVar("T")


def open_loop() -> asyncio.Runner:
    """What runs coroutines; nothing that goes wrong unseen in the loop shows a secret."""
    logging.lastResort = _ToStandardError(logging.WARNING)
    return asyncio.Runner(loop_factory=_loop_factory())


def run_to_the_end(work: Coroutine[Any, Any, T]) -> T:
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
