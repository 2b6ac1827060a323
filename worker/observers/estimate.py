"""How long the rest of a run will take, and when something is due."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from worker.core.clock import Clock
from worker.core.events import PauseReason, Snapshot
from worker.core.rate_window import RateWindow

_WINDOW_S = 60.0
_ENOUGH_S = 5.0


class Estimate:
    """Goes by the ids that were really settled over the last minute in which nothing was paused.

    Ids that an earlier run has settled are passed over in no time: they are left out of the speed.
    """

    def __init__(self) -> None:
        self._recorded = RateWindow(_WINDOW_S)
        self._share = 1.0

    def update(self, snapshot: Snapshot) -> float | None:
        """Seconds left, till --limit or the deadline where one comes first.

        None while they are unknown: no total, a pause that nobody knows the end of, a stop, no
        headway.
        """
        is_quiet = snapshot.pause is not None and snapshot.pause.reason == PauseReason.QUIET
        if snapshot.draining or (snapshot.pause is not None and not is_quiet):
            self._recorded.clear()
            return None
        if is_quiet:
            self._recorded.clear()
        else:
            self._observe(snapshot)
        left = ids_left(snapshot)
        if left is None:
            return None
        seconds = self._seconds_left(snapshot, left)
        if math.isinf(seconds):
            return snapshot.deadline_in_s
        return seconds if snapshot.deadline_in_s is None else min(seconds, snapshot.deadline_in_s)

    def _observe(self, snapshot: Snapshot) -> None:
        """Learn which share of the requests that were asked for settle an id each."""
        self._recorded.read(snapshot.elapsed_s, snapshot.tally.recorded)
        asked = snapshot.rates.period(snapshot.utc_s).rate
        speed = snapshot.rate_allowed
        if self._recorded.seconds >= _ENOUGH_S:
            speed = min(speed, self._recorded.per_second)
        self._share = speed / asked if asked else 1.0

    def _seconds_left(self, snapshot: Snapshot, ids: int) -> float:
        if self._share <= 0:
            return math.inf
        return snapshot.rates.seconds_for(ids / self._share, snapshot.utc_s)


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
