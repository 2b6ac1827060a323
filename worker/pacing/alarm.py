"""Waiting for a moment to the fraction of a millisecond, or for news."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from worker.core.clock import Clock

_TIMER_STEP_S: Final = 0.001
"""Event loops round timers to whole milliseconds. To be late by one each time would cost 1 % of
10/s: the timer is set for so much earlier, and the rest is slept through. Found by
`test_requests_leave_evenly_spaced_from_the_first_one_on`."""


class Alarm:
    """Wakes one waiting task at its time, or when `ring` is called."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or will wait next."""
        self._rung.set()

    async def wait(self, now: float, due: float, *, is_exact: bool) -> None:
        """Wait for `due`, or a little less, from which this is called again. Where it need not be
        exact it may be late by a millisecond."""
        timer = due - _TIMER_STEP_S
        if not is_exact:
            await self._sleep(max(due, now + _TIMER_STEP_S))
        elif timer > now:
            await self._sleep(timer)
        else:
            self._clock.nap(due - now)

    async def _sleep(self, until: float) -> None:
        await self._clock.wait(self._rung, None if until == math.inf else until)
        self._rung.clear()
