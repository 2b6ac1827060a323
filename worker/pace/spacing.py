"""The gaps between requests. Time is an argument."""

from __future__ import annotations

import math
from typing import Final

_STRICT_GAP_S: Final = 0.01
_LATENESS_MADE_UP_S: Final = 0.05
_MARGIN: Final = 1.005
"""What a request loses on its way must not make the next one's gap too short for a strict limiter:
half a millisecond at 10/s, where some count in whole ones."""

_OPENING_S: Final = 0.01
"""The first request opens its connection before it leaves."""


class Spacing:
    """Even gaps between requests, with no burst at the start or after a pause.

    A gap of 10 ms or more is counted from when the last request really left: a strict limiter
    refuses whoever makes lateness up. The loop cannot wake often enough for shorter gaps, so there
    lateness of up to 50 ms is made up; more than that is idleness, and gives no credit.
    """

    def __init__(self) -> None:
        self._last = -math.inf

    def next_at(self, gap_s: float) -> float:
        """When the next request may leave, `gap_s` after the last one."""
        return self._last + (gap_s if gap_s < _STRICT_GAP_S else gap_s * _MARGIN)

    def left(self, now: float, gap_s: float) -> None:
        """A request leaves now; its own gap to the last one was `gap_s`."""
        if self._last == -math.inf:
            self._last = now + _OPENING_S
            return
        due = self._last + gap_s
        makes_up = gap_s < _STRICT_GAP_S and now - due <= _LATENESS_MADE_UP_S
        self._last = due if makes_up else now
