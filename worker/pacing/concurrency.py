"""How many requests may be in flight at once. Time is an argument."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Protocol

FEWEST: Final = 32
"""Enough for 64/s at half a second an answer before anything is known; few enough for an API that
falls silent: `test_an_api_that_falls_silent_is_sent_no_more_than_a_few`."""

_UNPROVEN: Final = 64
"""As many as one answer after 6 s asks for at 10/s: more only where answers say that it helps.
Held by `test_a_slow_api_costs_no_rate`."""

# Choices, that no test holds to the digit. Headroom lets latencies vary by half; a mean of 64 is of
# the last seconds at 10/s; who takes four times as long as that, and 2 s, is most likely hung.
_HEADROOM: Final = 1.5
_SPARE: Final = 4
_LATENCIES: Final = 64
_HUNG_AFTER_S: Final = 2.0
_HUNG_LATENCIES: Final = 4.0

# By less it takes too long, by more an API that cannot bear it is hit harder: held by
# `test_a_slow_api_that_works_side_by_side_gets_as_many_as_it_takes`.
_GROWTH: Final = 1.5
_WORTH: Final = 1.1
"""A growth by half must bring a tenth more. Found by `tests/unit/pacing/test_concurrency.py`."""

# After a growth the first latency brings answers to what was there before: held by
# `test_a_slow_api_that_works_side_by_side_gets_as_many_as_it_takes`. With quick answers 2 s, a
# choice, hold enough of them.
_SETTLES_IN_LATENCIES: Final = 2.0
_SETTLES_S: Final = 2.0

# Each try costs an API that cannot bear it; much later it comes too late: held by
# `test_an_api_that_has_become_slower_gets_more_although_it_was_quicker_with_fewer`.
_HOLD_S: Final = 60.0


class Concurrency(Protocol):
    """Bounds what is in flight, told of each request's beginning and end.

    `grows_by_waiting` says that the bound may rise while nothing begins or ends.
    """

    grows_by_waiting: bool

    def limit(self, now: float, rate: float) -> int:
        """How many may be in flight at `rate` requests a second."""
        ...

    def adapt(self, now: float, rate: float) -> int:
        """The limit for a request that is about to begin, changed where that is due."""
        ...

    def began(self, number: int, now: float) -> None:
        """The request `number` has begun."""
        ...

    def ended(self, number: int, now: float, *, answered: bool) -> None:
        """The request `number` has ended."""
        ...


class FixedConcurrency:
    """Always as many."""

    grows_by_waiting = False

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def limit(self, now: float, rate: float) -> int:
        """How many may be in flight."""
        del now, rate
        return self._limit

    adapt = limit

    def began(self, number: int, now: float) -> None:
        """Of no interest."""

    def ended(self, number: int, now: float, *, answered: bool) -> None:
        """Of no interest."""


class AutoConcurrency:
    """As many as rate times latency asks for (Little's law), with headroom; `most` at most.

    Requests that take many times as long as the others count beside that bound: while they hang,
    the others go on. Where the bound is reached it grows by half, and only if that brought more
    answers a second does it stay: an API that gets slower the more it is given is not pushed on,
    and asked again after a minute.
    """

    grows_by_waiting = True

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun: dict[int, float] = {}
        self._latencies: deque[float] = deque()
        self._latency_sum_s = 0.0
        self._answered_at = -math.inf
        self._bound = min(_UNPROVEN, most)
        self._proven = self._bound
        self._proven_per_s = 0.0
        self._answers = 0
        self._since = math.inf
        self._held_until = -math.inf
        self._short_at = -math.inf

    def limit(self, now: float, rate: float) -> int:
        """How many may be in flight at `rate` requests a second."""
        latency_s = self._latency_s(now)
        return self._within_bounds(_needed(rate, latency_s), self._hung(now, latency_s))

    def adapt(self, now: float, rate: float) -> int:
        """The limit for a request that is about to begin: it grows, or goes back, where it has held
        requests up for long enough to tell."""
        latency_s = self._latency_s(now)
        hung, needed = self._hung(now, latency_s), _needed(rate, latency_s)
        if needed > self._bound <= len(self._begun) - hung:
            self._short_at = now
        self._weigh(now, latency_s, is_short=now - self._short_at <= _SETTLES_S)
        return self._within_bounds(needed, hung)

    def began(self, number: int, now: float) -> None:
        """The request `number` has begun."""
        self._begun[number] = now

    def ended(self, number: int, now: float, *, answered: bool) -> None:
        """The request `number` has ended."""
        began_at = self._begun.pop(number)
        if answered:
            self._answers += 1
            self._answered_at = now
            self._add_latency(now - began_at)

    def _within_bounds(self, needed: int, hung: int) -> int:
        return min(max(FEWEST, min(needed, self._bound)) + hung, self._most)

    def _add_latency(self, seconds: float) -> None:
        self._latencies.append(seconds)
        self._latency_sum_s += seconds
        if len(self._latencies) > _LATENCIES:
            self._latency_sum_s -= self._latencies.popleft()

    def _latency_s(self, now: float) -> float:
        """What an answer takes: as long as there is none, at least as long as the oldest waits."""
        if self._latencies:
            return self._latency_sum_s / len(self._latencies)
        return now - next(iter(self._begun.values()), now)

    def _hung(self, now: float, latency_s: float) -> int:
        # While nothing is answered at all it is the API that hangs, and not a few requests.
        longest_s = max(latency_s * _HUNG_LATENCIES, _HUNG_AFTER_S)
        hung = 0
        for began_at in self._begun.values():
            if now - began_at <= longest_s or began_at >= self._answered_at:
                break
            hung += 1
        return hung

    def _weigh(self, now: float, latency_s: float, *, is_short: bool) -> None:
        """Where the bound holds requests up: whether a larger one is worth it."""
        if not is_short or not self._latencies or now < self._held_until:
            self._since = math.inf
            return
        if self._since == math.inf:
            self._since, self._answers = now, 0
            return
        seconds = now - self._since
        if seconds < max(latency_s * _SETTLES_IN_LATENCIES, _SETTLES_S):
            return
        per_s = self._answers / seconds
        if per_s > self._proven_per_s * _WORTH:
            self._proven, self._proven_per_s = self._bound, per_s
            self._bound = min(math.ceil(self._bound * _GROWTH), self._most)
        else:
            self._bound = self._proven
            # What was had before may be had no more: the next growth is weighed against what is.
            self._proven_per_s = 0.0
            self._held_until = now + _HOLD_S
        self._since = math.inf


def _needed(rate: float, latency_s: float) -> int:
    return math.ceil(rate * latency_s * _HEADROOM) + _SPARE
