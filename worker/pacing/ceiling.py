"""The rate that may be asked of the API now, by a timetable. Time is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from worker.core.timetable import Timetable

_LOOK_AGAIN_S: Final = 60.0
"""The wall clock may be set while a run waits: what it says is read anew so often. Held by
`test_a_clock_that_is_set_is_heeded_within_a_minute`."""


class Ceiling:
    """Follows a timetable on a monotonic clock.

    Args:
        rates: by the wall clock; 0 are quiet hours.
        utc_s: gives the wall clock, in seconds since 1970.
    """

    def __init__(self, rates: Timetable, utc_s: Callable[[], float]) -> None:
        self.rates = rates
        self.rate = -1.0
        """Requests a second, as of the last `follow`; 0 in quiet hours, -1 before the first."""
        self.ends_at = -math.inf
        """When another rate may begin, in seconds of the monotonic clock."""
        self.is_held = False
        """Whether somebody has said that nothing is to be sent."""
        self._utc_s = utc_s
        self._since = math.inf
        self._open_s = 0.0
        self._requests = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing may be sent, probes included."""
        return self.rate == 0.0

    def adopt(self, rates: Timetable) -> None:
        """From the next `follow` on other rates are asked for."""
        self.rates = rates
        self.ends_at = -math.inf

    def hold(self, *, is_held: bool) -> None:
        """From the next `follow` on nothing may be sent, or what the timetable says."""
        self.is_held = is_held
        self.ends_at = -math.inf

    def follow(self, now: float) -> bool:
        """Look at the timetable where it is time to; returns whether the rate has changed."""
        if now < self.ends_at:
            return False
        self._count(now)
        utc_s = self._utc_s()
        period = self.rates.period(utc_s)
        left_s = max(period.ends_at - utc_s, 0.0)
        self.ends_at = now + left_s
        if not math.isinf(left_s):
            self.ends_at = now + min(left_s, _LOOK_AGAIN_S)
        had, self.rate = self.rate, 0.0 if self.is_held else period.rate
        return had != self.rate

    def lasts_s(self) -> float:
        """Return for how many seconds more the rate holds; inf where nobody knows when it ends."""
        if self.is_held:
            return math.inf
        utc_s = self._utc_s()
        return max(self.rates.period(utc_s).ends_at - utc_s, 0.0)

    def mean_rate(self, now: float) -> float:
        """Return the mean of the rates so far, quiet hours left aside."""
        open_s = self._open_s + self._lasted_s(now)
        if open_s <= 0.0:
            return self.rates.highest_rate
        return (self._requests + self.rate * self._lasted_s(now)) / open_s

    def _count(self, now: float) -> None:
        self._requests += self.rate * self._lasted_s(now)
        self._open_s += self._lasted_s(now)
        self._since = now

    def _lasted_s(self, now: float) -> float:
        return max(now - self._since, 0.0) if self.rate > 0.0 else 0.0
