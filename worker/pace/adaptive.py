"""The rate that the API lets through, found from its refusals. Time is an argument."""

from __future__ import annotations

import math
from typing import Final

_CUT: Final = 0.7
_FLOOR_SHARE: Final = 0.02
_LOWEST_RATE: Final = 0.05
_RECOVERY_S: Final = 12.0


class AdaptiveRate:
    """At most `ceiling` requests a second; less after a 429, climbing back by itself."""

    def __init__(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._floor = min(ceiling, max(_LOWEST_RATE, ceiling * _FLOOR_SHARE))
        self._cut_at = -math.inf
        self._refused = ceiling
        self._recovery_s = _RECOVERY_S
        self._recovering = False

    def throttled(self, now: float, sent_at: float) -> bool:
        """A request that left at `sent_at` was answered 429: whether the rate was cut for it.

        It is cut once per round trip: a request that left before the last cut is old news.
        """
        if sent_at < self._cut_at:
            return False
        self._refused = self.rate(now)
        self._cut_at = now
        self._recovering = True
        return True

    def rate(self, now: float) -> float:
        """Requests a second that may be sent now."""
        if not self._recovering:
            return self._ceiling
        distance = (now - self._cut_at) / self._recovery_s - 1.0
        rate = self._refused * (1.0 + (1.0 - _CUT) * distance**3)
        if rate >= self._ceiling:
            self._recovering = False
        return min(max(rate, self._floor), self._ceiling)

    def hold(self, seconds: float) -> None:
        """Nothing was sent for `seconds`: that time taught nothing, so it does not count."""
        self._cut_at += seconds
