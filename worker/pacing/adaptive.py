"""The rate that the API lets through, found from its refusals. Time is an argument."""

from __future__ import annotations

import math
from typing import Final

_CUT: Final = 0.7
_FLOOR_SHARE: Final = 0.02
_LOWEST_RATE: Final = 0.05

# Found by simulation: a leaky bucket of 10/s that holds a burst of 10, shared with customers' 4/s,
# answers after 20 to 300 ms. A quicker climb refuses more customers; a slower one is not back at
# 10/s within 30 s of their going. The plateau lies below what got through so that the bucket has
# run half empty before the rate is tried again.
_RECOVERY_S: Final = 8.0
_PLATEAU_SHARE: Final = 0.98
_DOUBLING_S: Final = 21.0
"""Seconds from the plateau's beginning until the rate has doubled."""

_STRAY_SHARE: Final = 0.97
_STRAY_AFTER_S: Final = 3.0
_STRAY_RECOVERY_S: Final = 1.5
"""A 429 after seconds of full speed is jitter between two requests, rarely a neighbour, who would
refuse again at once: it costs a short dip."""


class AdaptiveRate:
    """At most `ceiling` requests a second; 0.7 of it after a 429, climbing back by itself.

    As in CUBIC (RFC 9438) the climb is steep at first, flat around the rate that lately got
    through, and steeper the longer nothing is refused. That rate is the mean since the cut before,
    not the one that was refused: a limiter that allows bursts refuses late, at too high a rate.
    """

    def __init__(self, ceiling: float) -> None:
        self._start = self._plateau = self._ceiling = ceiling
        self._floor = _floor(ceiling)
        self._recovery_s = 0.0
        self._cut_at = -math.inf
        self._paused_at = math.inf

    def throttled(self, now: float, sent_at: float, *, may_be_stray: bool = True) -> bool:
        """A request that left at `sent_at` was answered 429: whether the rate was cut for it.

        It is cut once per round trip: a request that left before the last cut is old news. Where
        the limiter is known to let bursts pass, none `may_be_stray`.
        """
        if sent_at < self._cut_at:
            return False
        refused = self.rate(now)
        through = min(self._mean(now), refused)
        was_steady = self._age_s(now) >= _STRAY_AFTER_S and refused >= self._ceiling * _STRAY_SHARE
        is_stray = may_be_stray and was_steady
        self._recovery_s = _STRAY_RECOVERY_S if is_stray else _RECOVERY_S
        self._start = max(refused * _CUT, self._floor)
        plateau = self._ceiling if is_stray else through * _PLATEAU_SHARE
        self._plateau = max(plateau, self._start)
        self._cut_at = now
        return True

    def limit_to(self, ceiling: float) -> None:
        """From now on at most `ceiling` requests a second; what was learnt still holds."""
        if self._cut_at == -math.inf:
            self._start = self._plateau = ceiling
        self._ceiling = ceiling
        self._floor = _floor(ceiling)
        self._plateau = min(self._plateau, ceiling)
        self._start = min(self._start, ceiling)

    def rate(self, now: float) -> float:
        """Requests a second that may be sent now."""
        if self._cut_at == -math.inf:
            return self._ceiling
        climbing_s = self._age_s(now) - self._recovery_s
        if climbing_s >= 0.0:
            rise = self._plateau * (climbing_s / _DOUBLING_S) ** 4
            return min(self._plateau + rise, self._ceiling)
        left = min(-climbing_s / self._recovery_s, 1.0)
        return self._plateau - self._dip * left**3

    def pause(self, now: float) -> None:
        """Nothing is sent from now on, so that the time that passes teaches nothing."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Go on where the pause began."""
        self._cut_at = min(self._cut_at + now - self._paused_at, now)
        self._paused_at = math.inf

    @property
    def _dip(self) -> float:
        return self._plateau - self._start

    def _age_s(self, now: float) -> float:
        return min(now, self._paused_at) - self._cut_at

    def _mean(self, now: float) -> float:
        """The mean of `rate` since the last cut; the ceiling before the first."""
        since_s = self._age_s(now)
        if since_s <= 0.0 or since_s == math.inf:
            return self.rate(now)
        left_s = max(self._recovery_s - since_s, 0.0)
        lost = self._dip * self._recovery_s / 4.0 * (1.0 - (left_s / self._recovery_s) ** 4)
        climbing_s = max(since_s - self._recovery_s, 0.0)
        whole_climb_s = math.sqrt(math.sqrt(self._ceiling / self._plateau - 1.0)) * _DOUBLING_S
        climbed_s = min(climbing_s, whole_climb_s)
        won = self._plateau * _DOUBLING_S / 5.0 * (climbed_s / _DOUBLING_S) ** 5
        won += (self._ceiling - self._plateau) * (climbing_s - climbed_s)
        return self._plateau + (won - lost) / since_s


def _floor(ceiling: float) -> float:
    return min(ceiling, max(_LOWEST_RATE, ceiling * _FLOOR_SHARE))
