"""How long the rest of a run will take, and when something is due."""

from __future__ import annotations

from datetime import datetime, timedelta

from worker.core.clock import Clock
from worker.core.events import Snapshot
from worker.core.rate_window import RateWindow

_WINDOW_S = 60.0
_ENOUGH_S = 5.0


class Estimate:
    """Goes by the ids that were really settled over the last minute in which nothing was paused.

    Ids that an earlier run has settled are passed over in no time: they are left out of the speed.
    """

    def __init__(self) -> None:
        self._recorded = RateWindow(_WINDOW_S)

    def update(self, snapshot: Snapshot) -> float | None:
        """Seconds left, till --limit or the deadline where one comes first.

        None while they are unknown: no total, a pause, a stop, no headway.
        """
        if snapshot.pause is not None or snapshot.draining:
            self._recorded.clear()
            return None
        self._recorded.read(snapshot.elapsed_s, snapshot.tally.recorded)
        left = ids_left(snapshot)
        if left is None:
            return None
        speed = self._speed(snapshot.rate_allowed)
        if speed <= 0:
            return snapshot.deadline_in_s
        seconds = left / speed
        return seconds if snapshot.deadline_in_s is None else min(seconds, snapshot.deadline_in_s)

    def _speed(self, allowed: float) -> float:
        if self._recorded.seconds < _ENOUGH_S:
            return allowed
        return min(allowed, self._recorded.per_second)


def ids_left(snapshot: Snapshot) -> int | None:
    """How many more the run will have done at its end, by --limit if need be; None if unknown."""
    if snapshot.total is None:
        return None
    left = max(snapshot.total - snapshot.tally.done, 0)
    if snapshot.limit is None:
        return left
    return min(left, max(snapshot.limit - snapshot.tally.recorded, 0))


def moment_in(seconds: float, clock: Clock) -> datetime | None:
    """The time `seconds` from now; None where it lies beyond the calendar."""
    try:
        return clock.utc() + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None
