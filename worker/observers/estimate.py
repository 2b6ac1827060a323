"""How long the rest of a run will take, and when something is due."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from worker.core.clock import Clock
from worker.core.events import Snapshot

_WINDOW_S = 60.0
_ENOUGH_S = 5.0


class Estimate:
    """Goes by the ids that were really settled over the last minute in which nothing was paused.

    Ids that an earlier run has settled are passed over in no time: they are left out of the speed.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, snapshot: Snapshot) -> float | None:
        """Seconds left, till --limit or the deadline where one comes first.

        None while they are unknown: no total, a pause, a stop, no headway.
        """
        if snapshot.pause is not None or snapshot.draining:
            self._seen.clear()
            return None
        self._remember(snapshot.elapsed_s, snapshot.tally.recorded)
        if snapshot.total is None:
            return None
        speed = self._speed(snapshot.rate_allowed)
        if speed <= 0:
            return snapshot.deadline_in_s
        seconds = _ids_left(snapshot, snapshot.total) / speed
        return seconds if snapshot.deadline_in_s is None else min(seconds, snapshot.deadline_in_s)

    def _remember(self, elapsed_s: float, recorded: int) -> None:
        self._seen.append((elapsed_s, recorded))
        while len(self._seen) > 1 and self._seen[1][0] <= elapsed_s - _WINDOW_S:
            self._seen.popleft()

    def _speed(self, allowed: float) -> float:
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        if last_s - first_s < _ENOUGH_S:
            return allowed
        return min(allowed, (last - first) / (last_s - first_s))


def _ids_left(snapshot: Snapshot, total: int) -> int:
    left = max(total - snapshot.tally.done, 0)
    if snapshot.limit is None:
        return left
    return min(left, max(snapshot.limit - snapshot.tally.recorded, 0))


def moment_in(seconds: float, clock: Clock) -> datetime | None:
    """The time `seconds` from now; None where it lies beyond the calendar."""
    try:
        return clock.utc() + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None
