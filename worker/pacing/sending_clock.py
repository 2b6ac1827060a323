"""Time that passes only while requests are sent: idle hours and pauses teach nothing of a rate."""

from __future__ import annotations

import math


class SendingClock:
    """Seconds in which requests were sent, at least one every `longest_gap_s`.

    `now` is the time of any monotonic clock.
    """

    def __init__(self) -> None:
        self.longest_gap_s = 1.0
        self._seconds = 0.0
        self._at = -math.inf
        self._is_paused = False

    def seconds(self, now: float) -> float:
        """What has passed by `now`."""
        if self._is_paused:
            return self._seconds
        return self._seconds + min(now - self._at, self.longest_gap_s)

    def sent(self, now: float) -> float:
        """A request leaves; returns the seconds since the last one, as far as they count."""
        before_s = self._seconds
        self._seconds, self._at = self.seconds(now), now
        return self._seconds - before_s

    def pause(self, now: float) -> None:
        """What is sent from now on does not count."""
        self._seconds = self.seconds(now)
        self._is_paused = True

    def resume(self, now: float) -> None:
        """Go on where the pause began."""
        self._is_paused = False
        self._at = now
