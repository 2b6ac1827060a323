"""How fast an amount has grown over the last seconds."""

from __future__ import annotations

from collections import deque


class RateWindow:
    """A rate over a sliding window, from readings of an amount that only grows.

    `span_s` is the window's length in seconds; it may be longer by the time between two readings.
    """

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._readings: deque[tuple[float, float]] = deque()

    def clear(self) -> None:
        """Forget all readings."""
        self._readings.clear()

    def read(self, now: float, amount: float) -> None:
        """Take a reading of the amount at `now`, in seconds of any clock that does not go back."""
        readings = self._readings
        readings.append((now, amount))
        while len(readings) > 2 and readings[1][0] <= now - self._span_s:
            readings.popleft()

    @property
    def seconds(self) -> float:
        """Seconds between the window's first reading and its last."""
        return self._readings[-1][0] - self._readings[0][0] if self._readings else 0.0

    @property
    def per_second(self) -> float:
        """How much the amount has grown a second; 0 where no time has passed."""
        seconds = self.seconds
        if seconds <= 0:
            return 0.0
        return (self._readings[-1][1] - self._readings[0][1]) / seconds
