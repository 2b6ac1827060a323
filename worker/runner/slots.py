"""Places for requests in flight."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

from worker.core.clock import Clock
from worker.pacing.concurrency import AutoConcurrency, Concurrency, FixedConcurrency
from worker.pacing.permits import Permit
from worker.runner.limits import Limits

_LOOK_AGAIN_S: Final = 0.1
"""Where the bound may grow by mere waiting, who waits for a place looks again so often.
A choice: it grows over seconds, and ten looks in one cost nothing."""

_AT_ONCE_S: Final = 0.001
"""A permit that comes within a timer's step of its place was not waited for. One that comes later
was held up by a pause, and the place would have been of no use before."""

_log: Final = logging.getLogger(__name__)


class Slots:
    """As many places as `concurrency` says at `rate()` requests a second."""

    def __init__(self, concurrency: Concurrency, rate: Callable[[], float], clock: Clock) -> None:
        self._concurrency = concurrency
        self._rate = rate
        self._clock = clock
        self._taken = 0
        self._waits_since = math.inf
        self._acquired_at = self._began_at = -math.inf
        self._late_s = self._held_up_s = 0.0
        self._freed = asyncio.Event()

    async def acquire(self) -> None:
        """Wait for a place. One task at a time may call this."""
        self._late_s = 0.0
        if not self._is_any_free():
            _log.debug("all %d places for requests are taken", self._taken)
            await self._wait()
        self._taken += 1

    def begin(self, permit: Permit) -> None:
        """The request of this permit takes the place that was acquired last."""
        self._concurrency.began(permit.number, permit.at)
        self._began_at = permit.at
        if permit.at - self._acquired_at < _AT_ONCE_S:
            self._held_up_s += self._late_s

    def end(self, permit: Permit, *, answered: bool) -> None:
        """The request of this permit has ended, and its place is free."""
        self._concurrency.ended(permit.number, self._clock.now(), answered=answered)
        self.release()

    def release(self) -> None:
        """The place that was acquired last is not needed."""
        self._taken -= 1
        self._freed.set()

    def held_up_s(self, now: float) -> float:
        """Seconds so far by which requests left later, for want of a place only, than the rate
        allowed; with what has passed of a wait that lasts still."""
        return self._held_up_s + self._overdue_s(now)

    def bound(self, now: float) -> int:
        """How many may be in flight."""
        return self._concurrency.limit(now, self._rate())

    def _overdue_s(self, now: float) -> float:
        rate = self._rate()
        due = max(self._waits_since, self._began_at + 1.0 / rate) if rate else math.inf
        return max(now - due, 0.0)

    def _is_any_free(self) -> bool:
        return self._taken < self._concurrency.adapt(self._clock.now(), self._rate())

    async def _wait(self) -> None:
        self._waits_since = self._clock.now()
        while not self._is_any_free():
            self._freed.clear()
            grows = self._concurrency.grows_by_waiting
            until = self._clock.now() + _LOOK_AGAIN_S if grows else None
            await self._clock.wait(self._freed, until)
        self._acquired_at = self._clock.now()
        self._late_s = self._overdue_s(self._acquired_at)
        self._waits_since = math.inf


def concurrency_of(limits: Limits) -> Concurrency:
    """What bounds the requests in flight."""
    if limits.auto_concurrency:
        return AutoConcurrency(limits.concurrency)
    return FixedConcurrency(limits.concurrency)
