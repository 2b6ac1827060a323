"""A circuit breaker: whether anything may be sent, and when to try again. Time is an argument."""

from __future__ import annotations

import math
from enum import Enum, auto


class Change(Enum):
    """What a result meant to a breaker."""

    OPENED = auto()
    PROBE_FAILED = auto()
    CLOSED = auto()


class Breaker:
    """Opens after failures in a row; then lets one probe go at a time, after growing pauses.

    It opens at the `trips_after`-th failure in a row, or at any later failure than the first once
    the row has lasted `patience_s`. The pause before a probe is `initial_s`, doubled with each
    probe that fails up to `maximum_s`, and never shorter than what the server asked for. The last
    probe goes when the row has lasted `patience_s`; a server that asks for more than that is not
    waited for. All times are seconds of one monotonic clock.
    """

    def __init__(
        self, trips_after: int, initial_s: float, maximum_s: float, patience_s: float
    ) -> None:
        self._trips_after = trips_after
        self._initial_s = initial_s
        self._maximum_s = maximum_s
        self.patience_s = patience_s
        self._reset()

    def _reset(self) -> None:
        self.failures = 0
        self.opened_at = math.inf
        self.reopens_at = -math.inf
        self._first_sent_at = -math.inf
        self._deadline = math.inf
        self._gave_up_at = math.inf
        self._not_before = -math.inf
        self._pause_s = self._initial_s
        self._probe_sent_at = math.inf

    @property
    def is_open(self) -> bool:
        return self.opened_at != math.inf

    @property
    def probing(self) -> bool:
        """Whether a probe is under way: nobody else goes until its result is known."""
        return self._probe_sent_at != math.inf

    @property
    def exhausted(self) -> bool:
        """Whether no further probe is allowed."""
        return self._gave_up_at != math.inf

    @property
    def deadline(self) -> float:
        """When patience ends, counted from the first failure in the row; inf before it."""
        return self._deadline

    @property
    def gives_up_at(self) -> float:
        """When there is nothing left to wait for; inf while closed or a probe is under way."""
        if not self.is_open or self.probing:
            return math.inf
        return min(self._gave_up_at, self._deadline)

    def failed(
        self, now: float, at_least_s: float = 0.0, *, sent_at: float | None = None
    ) -> Change | None:
        """A request that left at `sent_at` (None: just now) failed.

        `at_least_s` is what the server asked to wait. While open only the probe's failure makes
        the pause longer; one that left before the probe does not.
        """
        sent_at = now if sent_at is None else sent_at
        if self.failures == 0:
            self._first_sent_at = sent_at
            self._deadline = now + self.patience_s
        self.failures += 1
        self._not_before = max(self._not_before, now + at_least_s)
        if not self.is_open:
            return self._open(now) if self._trips(now) else None
        if self.probing and sent_at >= self._probe_sent_at:
            return self._lengthen(now)
        self._postpone(now, self.reopens_at)
        return None

    def succeeded(self, *, sent_at: float = math.inf) -> Change | None:
        """A request that left at `sent_at` was answered.

        One that left before the row's first failure did is no news, and changes nothing.
        """
        if self.failures == 0 or sent_at < self._first_sent_at:
            return None
        was_open = self.is_open
        self._reset()
        return Change.CLOSED if was_open else None

    def begin_probe(self, now: float) -> None:
        """The request that leaves now decides what happens next."""
        self._probe_sent_at = now

    def abandon_probe(self) -> None:
        """The probe was not sent after all: another may go at once."""
        self._probe_sent_at = math.inf

    def _trips(self, now: float) -> bool:
        if self.failures >= self._trips_after:
            return True
        return self.failures > 1 and now >= self._deadline

    def _open(self, now: float) -> Change:
        self.opened_at = now
        self._postpone(now, now + self._pause_s)
        return Change.OPENED

    def _lengthen(self, now: float) -> Change:
        self._probe_sent_at = math.inf
        self._pause_s = min(self._pause_s * 2.0, self._maximum_s)
        self._postpone(now, now + self._pause_s)
        return Change.PROBE_FAILED

    def _postpone(self, now: float, until: float) -> None:
        self.reopens_at = max(min(until, self._deadline), self._not_before)
        if now >= self._deadline or self._not_before > self._deadline:
            self._gave_up_at = min(self._gave_up_at, now)
