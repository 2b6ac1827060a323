"""When the next request may leave: even gaps, a rate that gives way, and two breakers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Final

from asyncio_throttle.throttler import Throttler

from worker.core.clock import Clock
from worker.core.events import Event, Pause
from worker.core.outcomes import Error
from worker.pacing.adaptive import AdaptiveRate
from worker.pacing.breaker import Breaker
from worker.pacing.burst_probe import BurstProbe
from worker.pacing.gate import Gate
from worker.pacing.spacing import Spacing

THROTTLED_AFTER: Final = 5
"""Round trips in a row that brought 429s and no success close the gate for everyone."""

_RETRY_INTERVAL_S: Final = 0.001

_TIMER_STEP_S: Final = 0.001
"""Event loops round timers to whole milliseconds. To be late by one each time would cost 1 % of
10/s: the timer is set for so much earlier, and the rest is slept through."""


class Signal(Enum):
    """What a request taught about the API.

    ANSWERED is any real answer, a 404 or 400 included; THROTTLED is a 429; FAILED is a failure
    that may pass.
    """

    ANSWERED = "answered"
    THROTTLED = "throttled"
    FAILED = "failed"


class Pacer:
    """Says when the next request may leave: no more than `rate` a second, in any second.

    Every permit must be followed by one `heard` or one `release`: while a probe is under way no
    other permit is granted. Times are seconds of `clock`. `notify` is told of `OutageBegan`,
    `ProbeFailed` and `OutageEnded`, from within `heard`. `first_probe` is the burst_probe's.
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
        first_probe: int | None = None,
        adaptive: AdaptiveRate | None = None,
        notify: Callable[[Event], None],
    ) -> None:
        limit = max(1, math.floor(rate))
        self.rate_asked = rate
        self.patience_s = patience_s
        self._clock = clock
        self._adaptive = adaptive or AdaptiveRate(rate)
        self._spacing = Spacing(self._adaptive, BurstProbe(limit, first_probe))
        throttler = Throttler(limit, limit / rate, _RETRY_INTERVAL_S)
        self._pass_throttler: Callable[[], Coroutine[None, None, None]] = throttler.acquire
        outage = Breaker(outage_after, backoff_initial_s, backoff_max_s, patience_s)
        throttle = Breaker(THROTTLED_AFTER, throttle_initial_s, throttle_max_s, patience_s)
        self._outage = Gate("outage", outage, notify)
        self._throttle = Gate("throttled", throttle, notify)
        self._gates = (self._outage, self._throttle)
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
                await self._park(now, due)
                continue
            await self._pass_throttler()
            now = self._clock.now()
            # The throttler may have taken a while: much may have been heard meanwhile.
            if self._may_leave(now):
                return self._grant(now)
        return None

    def permit_at_once(self, now: float) -> float | None:
        """A permit as from `permit`, where one is to be had without waiting; else None.

        Never to be called while somebody waits in `permit`.
        """
        if self._stopped or self._paused_at != math.inf:
            return None
        if self._spacing.next_at(now) > now or not self._passes_throttler():
            return None
        self._spacing.left(now)
        return now

    def _passes_throttler(self) -> bool:
        """Whether the throttler lets a request through now: then it does not suspend."""
        passage = self._pass_throttler()
        try:
            passage.send(None)
        except StopIteration:
            return True
        passage.close()
        return False

    def heard(
        self,
        signal: Signal,
        *,
        sent_at: float,
        retry_after_s: float | None = None,
        error: Error | None = None,
    ) -> None:
        """Learn from the result of the request whose permit was granted at `sent_at`."""
        if signal is Signal.ANSWERED:
            self._spacing.answered(sent_at)
            if not self._is_troubled:
                return
        now = self._clock.now()
        at_least_s = retry_after_s or 0.0
        if signal is Signal.ANSWERED:
            self._outage.succeeded(now)
            self._throttle.succeeded(now, sent_at=sent_at)
        elif signal is Signal.THROTTLED:
            self._outage.succeeded(now)
            # A volley counts once. A probe counts always, and says nothing of the rate.
            if self._throttle.breaker.is_open or self._spacing.throttled(now, sent_at):
                self._throttle.failed(now, at_least_s, sent_at, error)
        else:
            self._outage.failed(now, at_least_s, sent_at, error)
            # A probe that failed for another reason did not open the gate either.
            if self._throttle.breaker.probing:
                self._throttle.failed(now, at_least_s, sent_at, error)
        self._note_pause(now)
        self._wake.set()

    def release(self) -> None:
        """The last permit was not used after all."""
        for gate in self._gates:
            gate.breaker.abandon_probe()
        self._wake.set()

    def stop(self) -> None:
        """Grant nothing any more, to a waiting caller either."""
        self._stopped = True
        self._wake.set()

    def check_patience(self, now: float) -> None:
        """Raise UnavailableError where there is nothing left to wait for."""
        for gate in self._gates:
            if now >= gate.breaker.gives_up_at:
                raise gate.give_up()

    @property
    def last_probe_at(self) -> float:
        """When patience ends for the failures in a row that there are; inf where there are none."""
        return min(gate.breaker.deadline for gate in self._gates)

    @property
    def gives_up_at(self) -> float:
        """When patience ends; inf while no breaker is open, and while a probe is under way."""
        return min(gate.breaker.gives_up_at for gate in self._gates)

    @property
    def is_paused(self) -> bool:
        """Whether nothing but probes may leave."""
        return self._paused_at != math.inf

    @property
    def outage_open(self) -> bool:
        """Whether the API is taken to be down: failures are then nobody's own."""
        return self._outage.breaker.is_open

    @property
    def rate_allowed(self) -> float:
        """Requests a second that may leave at the moment, pauses left aside."""
        return self._adaptive.rate(self._clock.now())

    @property
    def paused_s(self) -> float:
        """Seconds in which nothing but probes left, so far."""
        return self._paused_s + max(self._clock.now() - self._paused_at, 0.0)

    def pause(self, now: float) -> Pause | None:
        """Why nothing leaves at the moment; None where nothing holds the run up."""
        for gate in self._gates:
            if gate.breaker.is_open:
                left_s = 0.0 if gate.breaker.probing else gate.breaker.reopens_at - now
                return Pause(gate.reason, max(left_s, 0.0))
        return None

    @property
    def _is_troubled(self) -> bool:
        return self._outage.breaker.failures > 0 or self._throttle.breaker.failures > 0

    async def _park(self, now: float, due: float) -> None:
        timer = due - _TIMER_STEP_S
        if self._spacing.makes_up_lateness(now):
            await self._wait(max(due, now + _TIMER_STEP_S))
        elif timer > now:
            await self._wait(timer)
        else:
            self._clock.nap(due - now)

    async def _wait(self, until: float) -> None:
        await self._clock.wait(self._wake, None if until == math.inf else until)
        self._wake.clear()

    def _may_leave(self, now: float) -> bool:
        return not self._stopped and self._due(now) <= now

    def _due(self, now: float) -> float:
        due = self._spacing.next_at(now)
        if self._paused_at == math.inf:
            return due
        for gate in self._gates:
            if gate.breaker.probing:
                return math.inf
            if gate.breaker.exhausted:
                raise gate.give_up()
            due = max(due, gate.breaker.reopens_at)
        return due

    def _grant(self, now: float) -> float:
        self._spacing.left(now)
        if self.is_paused:
            for gate in self._gates:
                if gate.breaker.is_open:
                    gate.breaker.begin_probe(now)
        return now

    def _note_pause(self, now: float) -> None:
        is_paused = any(gate.breaker.is_open for gate in self._gates)
        if is_paused and not self.is_paused:
            self._paused_at = now
            self._adaptive.pause(now)
        elif self.is_paused and not is_paused:
            self._paused_s += now - self._paused_at
            self._paused_at = math.inf
            self._adaptive.resume(now)
