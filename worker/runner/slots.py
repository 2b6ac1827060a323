"""Places for requests in flight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from worker.core.clock import Clock
from worker.pacing.concurrency import Concurrency
from worker.pacing.permits import Permit

_LOOK_AGAIN_S: Final = 0.1
"""Where the bound may grow by mere waiting, who waits for a place looks again so often."""

_AT_ONCE_S: Final = 0.001

_log: Final = logging.getLogger(__name__)


class Slots:
    """As many places as `concurrency` says at `rate()` requests a second.

    `held_up_s` counts the seconds in which nothing but a place was missing.
    """

    def __init__(self, concurrency: Concurrency, rate: Callable[[], float], clock: Clock) -> None:
        self.held_up_s = 0.0
        self._concurrency = concurrency
        self._rate = rate
        self._clock = clock
        self._taken = 0
        self._waited_s = 0.0
        self._acquired_at = 0.0
        self._freed = asyncio.Event()

    async def acquire(self) -> None:
        """Wait for a place. One task at a time may call this."""
        began_at = self._clock.now()
        if not self._is_any_free():
            _log.debug("all %d places for requests are taken", self._taken)
            await self._wait()
        self._taken += 1
        self._acquired_at = self._clock.now()
        self._waited_s = self._acquired_at - began_at

    def begin(self, permit: Permit) -> None:
        """The request of this permit takes the place that was acquired last."""
        self._concurrency.began(permit.number, permit.at)
        if permit.at - self._acquired_at < _AT_ONCE_S:
            self.held_up_s += self._waited_s

    def end(self, permit: Permit, *, answered: bool) -> None:
        """The request of this permit has ended, and its place is free."""
        self._concurrency.ended(permit.number, self._clock.now(), answered=answered)
        self.release()

    def release(self) -> None:
        """The place that was acquired last is not needed."""
        self._taken -= 1
        self._freed.set()

    def _is_any_free(self) -> bool:
        return self._taken < self._concurrency.limit(self._clock.now(), self._rate())

    async def _wait(self) -> None:
        while not self._is_any_free():
            self._freed.clear()
            grows = self._concurrency.grows_by_waiting
            until = self._clock.now() + _LOOK_AGAIN_S if grows else None
            await self._clock.wait(self._freed, until)
