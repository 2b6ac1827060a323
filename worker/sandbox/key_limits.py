"""How many requests a key may send, and how many it really sent. Pure: the time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

LIVE_PREFIX: Final = "live_"
TEST_PREFIX: Final = "test_"

_LIMITS: Final = {LIVE_PREFIX: 10.0, TEST_PREFIX: 5.0}
_WINDOW_S: Final = 1.0
# Far below any gap between requests, far above the error of adding up floats for days.
_ROUNDING_S: Final = 1e-6


def is_key(text: str) -> bool:
    """Whether a key is of either kind."""
    return text.startswith((LIVE_PREFIX, TEST_PREFIX))


class Bucket:
    """A leaky bucket (GCRA): `rate` requests a second, of which `burst` may come at once.

    A rate of 0 is no limit. Times are seconds and must not run backwards.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._gap_s = 1 / rate if rate > 0 else 0.0
        self._slack_s = (burst - 1) * self._gap_s + _ROUNDING_S
        self._due = 0.0

    def admit(self, now: float) -> bool:
        """Whether a request may pass now. One that is refused does not count."""
        if now < self._due - self._slack_s:
            return False
        self._due = max(now, self._due) + self._gap_s
        return True


class SlidingCount:
    """The most events that any window of one second has seen."""

    def __init__(self) -> None:
        self.most = 0
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        """Count one more, and forget those of a second before."""
        self._times.append(now)
        while self._times[0] <= now - _WINDOW_S:
            self._times.popleft()
        self.most = max(self.most, len(self._times))


class KeyLimits:
    """A bucket for each key: 10 requests a second for a live one, 5 for a test one.

    `limit` overrides both (0: none); `burst` is by default what the limit lets pass in a second.
    """

    def __init__(self, limit: float | None = None, burst: int | None = None) -> None:
        self._limit = limit
        self._burst = burst
        self._keys: dict[str, tuple[Bucket, SlidingCount]] = {}

    def admit(self, key: str, now: float) -> bool:
        """Whether a request of this key may pass now; one that passes is counted."""
        if key not in self._keys:
            self._keys[key] = (self._bucket(key), SlidingCount())
        bucket, accepted = self._keys[key]
        if not bucket.admit(now):
            return False
        accepted.add(now)
        return True

    @property
    def most_accepted_per_s(self) -> int:
        """The most requests of one key that passed within any second."""
        return max((accepted.most for _, accepted in self._keys.values()), default=0)

    def _bucket(self, key: str) -> Bucket:
        limit = _LIMITS[key[: len(LIVE_PREFIX)]] if self._limit is None else self._limit
        return Bucket(limit, max(1, int(limit)) if self._burst is None else self._burst)
