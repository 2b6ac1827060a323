"""How fast requests really left over the last seconds."""

from __future__ import annotations

from collections import deque

_SPAN_S = 5.0


class RateMeter:
    """A rate over a sliding span of about 5 s, from counts read at any times."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def rate(self, now: float, count: int) -> float:
        """Requests a second since the oldest reading within the span; takes this reading."""
        marks = self._marks
        marks.append((now, count))
        while len(marks) > 2 and marks[1][0] <= now - _SPAN_S:
            marks.popleft()
        seconds = now - marks[0][0]
        return (count - marks[0][1]) / seconds if seconds > 0 else 0.0
