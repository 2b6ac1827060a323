"""How requests leave whose connections are open: one at a time, and none that is not to be sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from worker.core.clock import Clock
from worker.pacing.alarm import Alarm
from worker.pacing.departure_times import DepartureTimes, gap_with_permit
from worker.pacing.permits import Permit
from worker.pacing.spacing import STRICT_GAP_S

_ROUNDING_S: Final = 1e-9
_log: Final = logging.getLogger(__name__)


class DepartureQueue:
    """Lets requests leave, those that waited for a connection in the order in which they got it.

    Args:
        departures: when they may.
        even_gap_s: seconds between two requests at a time of the clock.
        is_valid: whether a permit may still be used.
        on_held_up: is told of each permit whose request leaves later than it was granted.
    """

    def __init__(
        self,
        departures: DepartureTimes,
        clock: Clock,
        *,
        even_gap_s: Callable[[float], float],
        is_valid: Callable[[Permit], bool],
        on_held_up: Callable[[Permit], None],
    ) -> None:
        self._departures = departures
        self._clock = clock
        self._even_gap_s = even_gap_s
        self._is_valid = is_valid
        self._on_held_up = on_held_up
        self._turn = asyncio.Lock()
        self._alarm = Alarm(clock)

    def look_again(self) -> None:
        """Wake whoever waits: its permit may not be valid any more."""
        self._alarm.ring()

    async def pass_through(self, permit: Permit, is_open: Callable[[], bool]) -> Permit | None:
        """Wait until a request whose connection is open may leave; the permit as of then.

        None where its permit is not valid any more. Where `is_open` says no, the permit is returned
        as it is, for another connection.
        """
        self._on_held_up(permit)
        async with self._turn:
            return await self._wait_to_leave(permit, is_open)

    def leaves_with_permit(self, permit: Permit) -> bool:
        """Let a request leave whose connection was there when its permit was granted, if none that
        waited for its own is before it."""
        # The whole process may have stood still since it was granted.
        if self._turn.locked() or not self._is_valid(permit):
            return False
        departures, latest = self._departures, permit.at + _ROUNDING_S
        if departures.next_at(permit.gap_s) > latest:
            # It follows one that left late: what must lie between them may be less.
            gap_s = gap_with_permit(permit.gap_s, self._even_gap_s(permit.at))
            if departures.next_at(gap_s) > latest:
                return False
        departures.departed_with_permit(permit.at)
        return True

    async def _wait_to_leave(self, permit: Permit, is_open: Callable[[], bool]) -> Permit | None:
        while self._is_valid(permit):
            now = self._clock.now()
            gap_s = self._even_gap_s(now)
            due = self._departures.next_at(gap_s)
            if due > now:
                _log.debug("request %d leaves in %.3f s", permit.number, due - now)
                # Were it late, so would be all that follow: none could catch up with its permit.
                await self._alarm.wait(now, due, is_exact=gap_s >= STRICT_GAP_S)
            elif is_open():
                self._departures.departed(now, gap_s)
                return Permit(permit.number, now, gap_s)
            else:
                return permit
        _log.debug("request %d is not sent", permit.number)
        return None


class PermitDeparture:
    """Lets one request leave with its permit; `permit` is as of when it left.

    `is_refused` says that it was not sent: the permit is to be released.
    """

    def __init__(self, queue: DepartureQueue, granted: Permit) -> None:
        self.permit = granted
        self.is_refused = False
        self._queue = queue
        self._granted = granted

    def leaves_at_once(self) -> bool:
        return self._queue.leaves_with_permit(self._granted)

    async def __call__(self, is_open: Callable[[], bool]) -> bool:
        left = await self._queue.pass_through(self._granted, is_open)
        self.is_refused = left is None
        self.permit = left or self._granted
        return left is not None
