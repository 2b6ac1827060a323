"""Requests that leave early on purpose, so that a full limiter refuses them and not a neighbour's.

Whoever sends evenly at just the rate of a limiter takes each place in it the moment it is free.
Where the limiter lets bursts pass and is full, it then refuses the account's other users only, and
the even sender never learns that they are there. An early request finds the limiter at its fullest:
the refusal is ours, and the rate gives way.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

EARLY: Final = 0.2
"""Early enough for a full limiter to refuse it, and no burst in one instant: held by
`test_no_more_leave_early_than_a_limiter_of_the_rate_of_now_allows`."""

PROBE: Final = (3.4, EARLY, EARLY, EARLY)
"""As long as four even gaps: no more than the rate in any second but for the order."""

LATE: Final = 2.6
"""The gap that begins a round: as much longer than an even one as two early ones are shorter."""

SMALLEST_ROUND: Final = 5
"""A probe is of four gaps; with fewer in a second it would reach into the next one. Held by
`test_at_a_few_requests_a_second_there_is_no_probe`."""

REALLY_EARLY: Final = 0.5
"""A gap of less than this part of an even one tells; an early request may have been held up:
held by `test_an_early_request_that_was_held_up_proves_nothing`."""

_REQUESTS_FOR_A_PROBE: Final = 900
"""A limiter without bursts refuses all three: no more than one request in 300 is to be refused."""

_WARM_UP: Final = 10
"""A choice: a second at 10/s, in which a limit that is simply lower has shown itself."""

_EARLY_KEPT: Final = 256
"""As many as may be in flight at most, by default: older ones have been answered."""

NEXT_PROBE_AFTER: Final = 3000
"""A limiter may have changed; three refusals are one in 1,000 of them. A choice: five minutes at
10/s, till it is known that bursts pass."""


def first_probe(requests: int | None) -> int | None:
    """After how many requests a run may probe that will send about so many (None: not known).

    None where the run is too short for refusals that it brings on itself.
    """
    if requests is None:
        return _REQUESTS_FOR_A_PROBE
    return _WARM_UP if requests >= _REQUESTS_FOR_A_PROBE else None


class EarlyRequests:
    """The requests that left early: those of rounds, lately, and those of the last probe.

    A probe has passed once each of its early requests was let through. One that left too late, is
    refused or never answered cannot be made up for by another probe's.
    """

    def __init__(self) -> None:
        self._probing: set[int] = set()
        self._passed = 0
        self._of_rounds: deque[int] = deque(maxlen=_EARLY_KEPT)

    def begin_probe(self) -> None:
        """What became of the probe before counts no longer."""
        self._probing.clear()
        self._passed = 0

    def departed(self, number: int, *, in_probe: bool) -> None:
        """The request `number` left early."""
        if in_probe:
            self._probing.add(number)
        else:
            self._of_rounds.append(number)

    def answered(self, number: int) -> bool:
        """The request `number` was let through: whether the probe has passed with it."""
        if number not in self._probing:
            return False
        self._probing.remove(number)
        self._passed += 1
        return self._passed == PROBE.count(EARLY)

    def refused(self, number: int) -> bool:
        """The request `number` was answered 429: whether for being early, in a probe."""
        is_probe = number in self._probing
        self._probing.discard(number)
        return is_probe

    def was_early(self, number: int) -> bool:
        """Whether the request `number` left early in a round, lately."""
        return number in self._of_rounds


class BurstProbe:
    """By how much the gaps between requests differ from even ones.

    They are even until a probe, three early requests, has shown that the limiter lets bursts pass.
    From then on each round, a second's requests, begins with a long gap and ends with two short
    ones, and lasts as long as if they were even: that asks less of the limiter than the probe did,
    and no more than even gaps of one that allows so many requests in any second. A probe of which a
    request was held up shows nothing, and another follows soon.
    `longest_round` counts gaps, `first_probe` requests; None: there is no probe.
    """

    def __init__(self, longest_round: int = 0, first_probe: int | None = None) -> None:
        self.is_tolerated = False
        self._until_probe = math.inf if first_probe is None else first_probe
        self._until_another = _WARM_UP
        self._is_repeated = False
        self.resize(longest_round)
        self._sent = EarlyRequests()

    def resize(self, longest_round: int) -> None:
        """From now on a round is of no more gaps than that; the next one begins anew."""
        self._longest_round = longest_round
        self._ahead: list[float] = []

    @property
    def stretch(self) -> float:
        """How long the next gap is, in even gaps."""
        return self._ahead[-1] if self._ahead else 1.0

    def departed(self, number: int, gaps: float, rate: float) -> None:
        """The request `number` left, so many even gaps after the last one, at `rate` a second."""
        if self._ahead and self._ahead.pop() == EARLY:
            if gaps < REALLY_EARLY:
                self._sent.departed(number, in_probe=not self.is_tolerated)
            elif not self.is_tolerated:
                self._probe_again()
        if not self._ahead:
            self._plan(min(math.ceil(rate), self._longest_round))

    def answered(self, number: int) -> None:
        """The request `number` was let through."""
        if self._sent.answered(number):
            self.is_tolerated = True

    def refused(self, number: int) -> bool:
        """The request `number` was answered 429: whether for being early, in a probe."""
        is_probe = self._sent.refused(number)
        if is_probe and self._until_probe < math.inf:
            # Whatever became of the others: that is what the probe was to show.
            self._is_repeated = True
            self._until_probe = max(self._until_probe, NEXT_PROBE_AFTER)
        return is_probe

    def held_up(self, number: int) -> None:
        """The request `number` leaves later than it was to, if it was early."""
        if self._sent.refused(number):
            self._probe_again()

    def was_early(self, number: int) -> bool:
        """Whether the request `number` left early in a round, lately."""
        return self._sent.was_early(number)

    def _probe_again(self) -> None:
        if not self._is_repeated:
            self._is_repeated = True
            self._until_probe = self._until_another
            self._until_another = min(2 * self._until_another, NEXT_PROBE_AFTER)

    def _plan(self, round_size: int) -> None:
        if self.is_tolerated and round_size >= 3:
            self._ahead = [EARLY, EARLY, *[1.0] * (round_size - 3), LATE]
            return
        if round_size < SMALLEST_ROUND:
            return
        self._until_probe -= 1
        if self._until_probe <= 0:
            self._until_probe = NEXT_PROBE_AFTER
            self._is_repeated = False
            self._sent.begin_probe()
            self._ahead = [*reversed(PROBE)]
