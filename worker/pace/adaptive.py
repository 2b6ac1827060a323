"""The rate that the API lets through, found from its refusals. Time is an argument."""

from __future__ import annotations

import math
from typing import Final

_CUT: Final = 0.7
_FLOOR_SHARE: Final = 0.02
_LOWEST_RATE: Final = 0.05

# The constants below were found by simulation: a leaky bucket of 10/s that holds a burst of 10,
# shared with customers' 4/s, answers after 20 to 300 ms. A shorter climb refuses more customers; a
# longer one takes more than 30 s to be back at 10/s when they have gone.
_PLATEAU_SHARE: Final = 0.97
"""A plateau just below what got through lets the bucket run empty before the next probing."""
_RECOVERY_S: Final = 4.0
_DOUBLING_S: Final = 24.0
"""Seconds from the plateau's beginning until the rate has doubled."""

_STRAY_SHARE: Final = 0.97
_STRAY_RECOVERY_S: Final = 1.5
"""A lone 429 after full speed is jitter between two requests, rarely a neighbour: a short dip."""


class AdaptiveRate:
    """At most `ceiling` requests a second; 0.7 of it after a 429, climbing back by itself.

    As in CUBIC (RFC 9438) the climb is steep at first, flat around the rate that lately got
    through, and steeper the longer nothing is refused. That rate is the mean since the cut before,
    not the one that was refused: a limiter that allows bursts refuses late, at too high a rate.
    """

    def __init__(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._floor = min(ceiling, max(_LOWEST_RATE, ceiling * _FLOOR_SHARE))
        self._sent = 0
        self._cut_at = -math.inf
        self._start = ceiling
        self._plateau = ceiling
        self._recovery_s = _RECOVERY_S
        self._is_recovering = False

    def sent(self) -> None:
        """A request leaves."""
        self._sent += 1

    def throttled(self, now: float, sent_at: float) -> bool:
        """A request that left at `sent_at` was answered 429: whether the rate was cut for it.

        It is cut once per round trip: a request that left before the last cut is old news.
        """
        if sent_at < self._cut_at:
            return False
        refused = self.rate(now)
        through = min(self._mean(now), refused)
        is_stray = through >= self._ceiling * _STRAY_SHARE
        self._recovery_s = _STRAY_RECOVERY_S if is_stray else _RECOVERY_S
        self._start = max(refused * _CUT, self._floor)
        self._plateau = max(through if is_stray else through * _PLATEAU_SHARE, self._start)
        self._sent = 0
        self._cut_at = now
        self._is_recovering = True
        return True

    def rate(self, now: float) -> float:
        """Requests a second that may be sent now."""
        if not self._is_recovering:
            return self._ceiling
        left_s = self._cut_at + self._recovery_s - now
        if left_s > 0.0:
            return self._plateau - (self._plateau - self._start) * (left_s / self._recovery_s) ** 3
        rate = self._plateau * (1.0 + (-left_s / _DOUBLING_S) ** 4)
        self._is_recovering = rate < self._ceiling
        return min(rate, self._ceiling)

    def hold(self, seconds: float) -> None:
        """Nothing was sent for `seconds`: that time taught nothing, so it does not count."""
        self._cut_at += seconds

    def _mean(self, now: float) -> float:
        if self._cut_at == -math.inf:
            return self._ceiling
        return self._sent / max(now - self._cut_at, 1e-3)
