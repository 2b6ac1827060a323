"""Time, as an argument: everything that waits takes a clock, so that tests need not wait."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """The machine's clocks. Seconds are monotonic; `utc` is the wall clock."""

    _second = -1
    _prefix = ""

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return time.monotonic()

    def utc(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC)

    def timestamp(self) -> str:
        """The wall clock in UTC, to the millisecond, by RFC 3339."""
        seconds = time.time()
        whole = int(seconds)
        if whole != self._second:
            self._second = whole
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole))
        return f"{self._prefix}{int((seconds - whole) * 1000):03d}Z"

    def nap(self, seconds: float) -> None:
        """Hold up the whole thread, for less than the event loop's timers can tell apart."""
        time.sleep(seconds)

    async def wait(self, event: asyncio.Event, until: float | None = None) -> bool:
        """Park until `event` is set (True) or the clock shows `until` (False; None: for ever)."""
        if event.is_set():
            return True
        if until is None:
            await event.wait()
            return True
        seconds = until - self.now()
        if seconds <= 0:
            return False
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True
