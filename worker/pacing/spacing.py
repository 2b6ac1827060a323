"""The gaps between requests. Time is an argument."""

from __future__ import annotations

import math
from typing import Final, Protocol

from worker.pacing.adaptive import AdaptiveRate
from worker.pacing.permits import Permit

STRICT_GAP_S: Final = 0.01
"""A loop that wakes a millisecond late loses a tenth of a gap of 10 ms, and more of shorter ones.
Held by `test_at_high_rates_lateness_of_a_few_ms_is_made_up`."""

LATENESS_MADE_UP_S: Final = 0.05
"""Half of the burst of a tenth of a second that limiters of hundreds a second should allow; more
than a busy loop is late by. Held by the same test."""

_MARGIN: Final = 1.005
"""What a request loses on its way must not make the next one's gap too short for a strict limiter:
half a millisecond at 10/s, where some count in whole ones. Much more costs the rate: held by
`test_requests_leave_evenly_spaced_from_the_first_one_on`."""

_OPENING_S: Final = 0.01
"""The first request opens its connection before it leaves. A choice: that takes about so long to a
server near by; held by `test_the_first_request_gives_the_second_ten_more_milliseconds`."""


def requests_in_a_second(rate: float) -> int:
    """How many whole requests a second has at `rate`; one at least."""
    return max(1, math.floor(rate))


class Bursts(Protocol):
    """What is known of whether the limiter lets bursts pass, and which requests leave early for it.

    A run's own is `BurstProbe`; where several share an account Redis says which those are.
    """

    @property
    def is_tolerated(self) -> bool:
        """Whether lateness may be made up."""

    @property
    def stretch(self) -> float:
        """How long the next gap is, in even gaps."""

    def resize(self, longest_round: int) -> None:
        """From now on a second has no more requests than that."""

    def departed(self, number: int, gaps: float, rate: float) -> None:
        """The request `number` left, so many even gaps after the last one, at `rate` a second."""

    def answered(self, number: int) -> None:
        """The request `number` was let through."""

    def refused(self, number: int) -> bool:
        """The request `number` was answered 429: whether for being early, in a probe."""

    def held_up(self, number: int) -> None:
        """The request `number` leaves later than it was to, if it was early."""

    def was_early(self, number: int) -> bool:
        """Whether the request `number` left early in a round, lately."""


class Spacing:
    """Even gaps between requests, with no burst at the start or after a pause.

    A gap of 10 ms or more is counted from when the last request really left: a strict limiter
    refuses whoever makes lateness up. The loop cannot wake often enough for shorter gaps, so there
    lateness of up to 50 ms is made up, and so it is where the limiter is known to let bursts pass;
    more than that is idleness, and gives no credit. `adaptive` says how long a gap is, and in the
    longer ones `bursts` has a say.
    """

    def __init__(self, adaptive: AdaptiveRate, bursts: Bursts) -> None:
        self._adaptive = adaptive
        self._bursts = bursts
        self._last = -math.inf

    def limit_to(self, rate: float, now: float) -> None:
        """From now on at most `rate` requests a second."""
        self._adaptive.limit_to(rate, now)
        self._bursts.resize(requests_in_a_second(rate))

    def next_at(self, now: float) -> float:
        """When the next request may leave, at the rate of now."""
        return self._due(1.0 / self._adaptive.rate(now))

    def _due(self, gap_s: float) -> float:
        if gap_s < STRICT_GAP_S:
            return self._last + gap_s
        margin = 1.0 if self._bursts.is_tolerated else _MARGIN
        return self._last + gap_s * margin * self._bursts.stretch

    def makes_up_lateness(self, now: float) -> bool:
        """Whether a request that is late by a millisecond costs nothing."""
        return 1.0 / self._adaptive.rate(now) < STRICT_GAP_S

    def departed(self, number: int, now: float) -> None:
        """The request `number` leaves now."""
        if self._last == -math.inf:
            self._last = now + _OPENING_S
        else:
            self._follow(number, now)
        self._adaptive.sent(now)

    def _follow(self, number: int, now: float) -> None:
        rate = self._adaptive.rate(now)
        gap_s = 1.0 / rate
        due = self._due(gap_s)
        if gap_s >= STRICT_GAP_S:
            self._bursts.departed(number, (now - self._last) / gap_s, rate)
        if gap_s < STRICT_GAP_S or self._bursts.is_tolerated:
            self._last = due if now - due <= LATENESS_MADE_UP_S else now
        else:
            self._last = now

    def answered(self, permit: Permit, now: float) -> None:
        """The request of this permit was let through."""
        self._bursts.answered(permit.number)
        self._adaptive.answered(permit.at, now)

    def held_up(self, permit: Permit) -> None:
        """The request of this permit leaves later than it was granted."""
        self._bursts.held_up(permit.number)

    def throttled(self, permit: Permit, now: float) -> bool:
        """The request of this permit was answered 429: whether that is news, and says something of
        the rate."""
        if self._bursts.refused(permit.number):
            return False
        was_early = self._bursts.was_early(permit.number)
        return self._adaptive.throttled(permit.at, now, was_early=was_early)
