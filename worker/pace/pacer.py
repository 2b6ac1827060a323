"""When the next request may leave: even gaps, a rate that gives way, and two breakers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from asyncio_throttle.throttler import Throttler

from worker.clock import Clock
from worker.errors import UnavailableError
from worker.events import Event, OutageBegan, OutageEnded, Pause, ProbeFailed
from worker.outcomes import Error
from worker.pace.adaptive import AdaptiveRate
from worker.pace.breaker import Breaker, Change

THROTTLED_AFTER: Final = 5
"""429s in a row, with no success between them, that close the gate for everyone."""

_RETRY_INTERVAL_S: Final = 0.001


class Signal(Enum):
    """What a request taught about the API.

    ANSWERED is any real answer, a 404 or 400 included; THROTTLED is a 429; FAILED is a failure
    that may pass.
    """

    ANSWERED = "answered"
    THROTTLED = "throttled"
    FAILED = "failed"


class Spacing:
    """Even gaps between requests, with no burst at the start or after a pause.

    A gap of 10 ms or more is counted from when the last request really left: a strict limiter
    refuses whoever makes lateness up. The loop cannot wake often enough for shorter gaps, so there
    lateness of up to 50 ms is made up; more than that is idleness, and gives no credit.
    """

    _STRICT_GAP_S: Final = 0.01
    _CREDIT_S: Final = 0.05

    def __init__(self) -> None:
        self._last = -math.inf

    def next_at(self, gap_s: float) -> float:
        return self._last + gap_s

    def left(self, now: float, gap_s: float) -> None:
        due = self._last + gap_s
        makes_up = gap_s < self._STRICT_GAP_S and now - due <= self._CREDIT_S
        self._last = due if makes_up else now


class Gate:
    """A breaker that tells what it does, and what to say when it gives up."""

    def __init__(self, reason: str, breaker: Breaker, notify: Callable[[Event], None]) -> None:
        self.reason = reason
        self.breaker = breaker
        self.error = Error(reason, "")
        self._notify = notify

    def failed(self, now: float, at_least_s: float, sent_at: float, error: Error | None) -> None:
        if error is not None:
            self.error = error
        change = self.breaker.failed(now, at_least_s, sent_at=sent_at)
        next_probe_s = self.breaker.reopens_at - now
        patience_s = max(self.breaker.deadline - now, 0.0)
        if change is Change.OPENED:
            failures = self.breaker.failures
            self._notify(OutageBegan(self.reason, failures, self.error, next_probe_s, patience_s))
        elif change is Change.PROBE_FAILED:
            self._notify(ProbeFailed(self.reason, self.error, next_probe_s, patience_s))

    def succeeded(self, now: float, sent_at: float = math.inf) -> None:
        opened_at = self.breaker.opened_at
        if self.breaker.succeeded(now, sent_at=sent_at) is Change.CLOSED:
            self._notify(OutageEnded(self.reason, now - opened_at))


class Pacer:
    """Says when the next request may leave: no more than `rate` a second, in any second.

    Every permit must be followed by one `heard` or one `release`; after a permit that was a probe,
    no other is granted before that. Times are seconds of `clock`. `notify` is told of
    `OutageBegan`, `ProbeFailed` and `OutageEnded`, from within `heard`.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Clock,
        outage_after: int = 10,
        backoff_initial_s: float = 1.0,
        backoff_max_s: float = 60.0,
        throttle_initial_s: float = 30.0,
        throttle_max_s: float = 300.0,
        patience_s: float = 900.0,
        notify: Callable[[Event], None],
    ) -> None:
        self.rate_asked = rate
        self._clock = clock
        self._adaptive = AdaptiveRate(rate)
        self._spacing = Spacing()
        limit = max(1, math.floor(rate))
        throttler = Throttler(limit, limit / rate, _RETRY_INTERVAL_S)
        self._pass_throttle: Callable[[], Awaitable[None]] = throttler.acquire
        outage = Breaker(outage_after, backoff_initial_s, backoff_max_s, patience_s)
        throttle = Breaker(THROTTLED_AFTER, throttle_initial_s, throttle_max_s, patience_s)
        self._outage = Gate("outage", outage, notify)
        self._throttle = Gate("throttled", throttle, notify)
        self._gates = (self._outage, self._throttle)
        self._patience_s = patience_s
        self._paused_at = math.inf
        self._paused_s = 0.0
        self._stopped = False
        self._wake = asyncio.Event()

    async def permit(self) -> float | None:
        """Wait until a request may leave; the time at which it may, or None after `stop`.

        One task at a time may call this. Raises UnavailableError when patience has ended.
        """
        while not self._stopped:
            now = self._clock.now()
            due = self._due(now)
            if due > now:
                await self._clock.wait(self._wake, None if due == math.inf else due)
                self._wake.clear()
                continue
            await self._pass_throttle()
            now = self._clock.now()
            if self._may_leave(now):
                return self._grant(now)
        return None

    def heard(
        self,
        signal: Signal,
        *,
        sent_at: float,
        retry_after_s: float | None = None,
        error: Error | None = None,
    ) -> None:
        """Learn from the result of the request whose permit was granted at `sent_at`."""
        if signal is Signal.ANSWERED and not self._is_troubled:
            return
        now = self._clock.now()
        at_least_s = retry_after_s or 0.0
        if signal is Signal.FAILED:
            self._outage.failed(now, at_least_s, sent_at, error)
            if self._throttle.breaker.probing:
                self._throttle.failed(now, at_least_s, sent_at, error)
        elif signal is Signal.THROTTLED:
            self._outage.succeeded(now)
            self._adaptive.throttled(now, sent_at)
            self._throttle.failed(now, at_least_s, sent_at, error)
        else:
            self._outage.succeeded(now)
            self._throttle.succeeded(now, sent_at)
        self._note_pause(now)
        self._wake.set()

    def release(self) -> None:
        """The last permit was not used after all."""
        for gate in self._gates:
            gate.breaker.abandon_probe(self._clock.now())
        self._wake.set()

    def stop(self) -> None:
        """Grant nothing any more, to a waiting caller either."""
        self._stopped = True
        self._wake.set()

    def check_patience(self, now: float) -> None:
        """Raise UnavailableError where there is nothing left to wait for."""
        for gate in self._gates:
            if now >= gate.breaker.gives_up_at:
                raise self._unavailable(gate)

    @property
    def gives_up_at(self) -> float:
        """When patience ends; inf while no breaker is open, and while a probe is under way."""
        return min(gate.breaker.gives_up_at for gate in self._gates)

    @property
    def is_paused(self) -> bool:
        return self._paused_at != math.inf

    @property
    def outage_open(self) -> bool:
        return self._outage.breaker.is_open

    @property
    def rate_allowed(self) -> float:
        """Requests a second that may leave at the moment, pauses left aside."""
        return self._adaptive.rate(self._clock.now())

    @property
    def paused_s(self) -> float:
        """Seconds in which nothing but probes was sent, so far."""
        return self._paused_s + max(self._clock.now() - self._paused_at, 0.0)

    def pause(self, now: float) -> Pause | None:
        """Why nothing is sent at the moment; None where nothing holds the run up."""
        for gate in self._gates:
            if gate.breaker.is_open:
                left_s = 0.0 if gate.breaker.probing else gate.breaker.reopens_at - now
                return Pause(gate.reason, max(left_s, 0.0))
        return None

    @property
    def _is_troubled(self) -> bool:
        return self._outage.breaker.failures > 0 or self._throttle.breaker.failures > 0

    def _may_leave(self, now: float) -> bool:
        return not self._stopped and self._due(now) <= now

    def _due(self, now: float) -> float:
        due = self._spacing.next_at(1.0 / self._adaptive.rate(now))
        if self._paused_at == math.inf:
            return due
        for gate in self._gates:
            if gate.breaker.exhausted:
                raise self._unavailable(gate)
            if gate.breaker.probing:
                return math.inf
            due = max(due, gate.breaker.reopens_at)
        return due

    def _grant(self, now: float) -> float:
        self._spacing.left(now, 1.0 / self._adaptive.rate(now))
        if self._paused_at != math.inf:
            for gate in self._gates:
                if gate.breaker.is_open:
                    gate.breaker.begin_probe(now)
        return now

    def _note_pause(self, now: float) -> None:
        is_paused = any(gate.breaker.is_open for gate in self._gates)
        if is_paused and self._paused_at == math.inf:
            self._paused_at = now
        elif not is_paused and self._paused_at != math.inf:
            self._paused_s += now - self._paused_at
            self._adaptive.hold(now - self._paused_at)
            self._paused_at = math.inf

    def _unavailable(self, gate: Gate) -> UnavailableError:
        patience = f"{self._patience_s:g} s"
        if gate is self._throttle:
            return UnavailableError(
                f"The API answered 429 to everything for longer than {patience}: "
                "the rate limit or the monthly quota is exhausted",
                "Check the account's usage and what else runs on it, or lower --rate; "
                "then run the same command again",
            )
        error = gate.error
        return UnavailableError(
            f"The API stayed unavailable for longer than {patience}; "
            f"the last error was {error.type}: {error.message}",
            "Run the same command again once it answers; --patience says how long to wait for it",
        )
