"""When requests leave whose connections took a while to open. Time is an argument.

Permits are evenly spaced, but what waits for a connection keeps its permit: once a server that
accepted nothing accepts again, all of that could leave in one instant.
"""

from __future__ import annotations

import math
from collections import deque

from worker.pacing.spacing import LATENESS_MADE_UP_S, STRICT_GAP_S


class DepartureTimes:
    """No more than `limit` departures in any `period_s` seconds, and a gap before each.

    A request that leaves with its permit needs no gap but its permit's: where all do, as on open
    connections, the departures are the permits.
    """

    def __init__(self, limit: int, period_s: float) -> None:
        self._period_s = period_s
        self._times: deque[float] = deque(maxlen=limit)
        self._last = -math.inf

    def limit_to(self, limit: int, period_s: float) -> None:
        """From now on so many in any `period_s` seconds."""
        self._period_s = period_s
        self._times = deque(self._times, maxlen=limit)

    def next_at(self, gap_s: float) -> float:
        """When the next request may leave, `gap_s` after the last one."""
        is_full = len(self._times) == self._times.maxlen
        earliest = self._times[0] + self._period_s if is_full else -math.inf
        return max(self._last + gap_s, earliest)

    def departed_with_permit(self, at: float) -> None:
        """A request left at `at`, as soon as it had its permit."""
        self._times.append(at)
        self._last = at

    def departed(self, at: float, gap_s: float) -> None:
        """A request left at `at` that had waited for its connection; lateness as in `Spacing`."""
        self._times.append(at)
        due = self._last + gap_s
        is_made_up = gap_s < STRICT_GAP_S and at - due <= LATENESS_MADE_UP_S
        self._last = due if is_made_up else at


def gap_with_permit(permit_gap_s: float, even_gap_s: float) -> float:
    """The gap before a request that leaves with its permit: where the loop cannot wake often enough
    for even ones, permits alone keep the rate."""
    return 0.0 if even_gap_s < STRICT_GAP_S else min(permit_gap_s, even_gap_s)
