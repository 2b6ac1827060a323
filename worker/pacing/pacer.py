"""When the next request may leave: even gaps, a rate that gives way, and two breakers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

from asyncio_throttle.throttler import Throttler

from worker.core.clock import Clock
from worker.core.events import Event, Pause, PauseReason, RateChanged
from worker.core.outcomes import Error
from worker.core.timetable import Timetable
from worker.pacing.adaptive import AdaptiveRate
from worker.pacing.alarm import Alarm
from worker.pacing.burst_probe import BurstProbe
from worker.pacing.ceiling import Ceiling
from worker.pacing.departure_queue import DepartureQueue, PermitDeparture
from worker.pacing.departure_times import DepartureTimes
from worker.pacing.outages import Outages
from worker.pacing.pacer_rules import PacerRules
from worker.pacing.pauses import Pauses
from worker.pacing.permits import Permit, Permits
from worker.pacing.spacing import Bursts, Spacing, requests_in_a_second

_RETRY_INTERVAL_S: Final = 0.001
"""How often the throttler, which polls, looks again: an event loop's timers tell no less apart.
Held by `test_at_high_rates_lateness_of_a_few_ms_is_made_up`."""

_log: Final = logging.getLogger(__name__)


class Pacer:
    """Says when the next request may leave: no more than `rates` allow, in any second.

    What became of each permit must be told by one of `answered`, `throttled`, `failed` and
    `release`: while a probe is under way no other permit is granted. Times are seconds of `clock`.
    `notify` is told of `OutageBegan`,
    `ProbeFailed` and `OutageEnded`, from within those calls, and of `RateChanged`. `first_probe` is
    the burst probe's; `shared` gives permits that are needed beside the own ones. `quiet_s` counts
    the seconds of quiet hours and of holds that have ended: they cost no patience.
    """

    def __init__(
        self,
        rates: Timetable,
        rules: PacerRules,
        *,
        clock: Clock,
        notify: Callable[[Event], None],
        first_probe: int | None = None,
        adaptive: AdaptiveRate | None = None,
        shared: Permits | None = None,
        bursts: Bursts | None = None,
    ) -> None:
        highest = rates.highest_rate
        limit = requests_in_a_second(highest)
        self.patience_s = rules.patience_s
        self.quiet_s = 0.0
        self._clock = clock
        self._ceiling = Ceiling(rates, lambda: clock.utc().timestamp())
        self._adaptive = adaptive or AdaptiveRate(highest)
        self._spacing = Spacing(self._adaptive, bursts or BurstProbe(limit, first_probe))
        self._pass_throttler = _throttler(limit, limit / highest)
        self._shared = shared
        self._outages = Outages(rules.on_outage(), rules.on_throttling(), notify)
        self._departures = DepartureTimes(limit, limit / highest)
        self._departing = DepartureQueue(
            self._departures,
            clock,
            even_gap_s=self._even_gap_s,
            is_valid=self._is_valid,
            on_held_up=self._spacing.held_up,
        )
        self._valid_s = rules.valid_s
        self._notify = notify
        self._pauses = Pauses()
        self._quiet_since = math.inf
        self._last = Permit(0, -math.inf, math.inf)
        self._stopped = False
        self._news = 0
        self._alarm = Alarm(clock)
        self._turn = asyncio.Lock()

    async def permit(self) -> Permit | None:
        """Wait until a request may leave; None after `stop`.

        Whoever waits is served in turn. It does not suspend where a request may leave at once.
        Raises UnavailableError when patience has ended.
        """
        async with self._turn:
            return await self._next_permit()

    async def _next_permit(self) -> Permit | None:
        while not self._stopped:
            now = self._clock.now()
            self._follow_timetable(now)
            due = self._due(now)
            if due > now:
                await self._wait(now, min(due, self._ceiling.ends_at))
                continue
            known = self._news
            await self._pass_throttler()
            if self._shared is not None:
                await self._take_shared(self._shared)
            now = self._clock.now()
            # That may have taken a while: much may have been learnt meanwhile.
            if known == self._news or self._may_leave(now):
                return self._grant(now)
        return None

    def departure(self, permit: Permit) -> PermitDeparture:
        """What its client asks before it sends the request of this permit: nothing is sent any more
        after `stop`, in a pause that began meanwhile, and where the permit is too old."""
        return PermitDeparture(self._departing, permit)

    def answered(self, permit: Permit) -> None:
        """The request had any real answer, a 404 or 400 included."""
        now = self._clock.now()
        self._spacing.answered(permit, now)
        if self._outages.are_untroubled:
            return
        self._outages.on_answer(permit.number, now)
        self._go_on(now)

    def throttled(
        self, permit: Permit, *, error: Error, retry_after_s: float | None = None
    ) -> None:
        """The request was answered 429; `retry_after_s` is what the server asked to wait."""
        now, outages = self._clock.now(), self._outages
        # A volley counts once. A probe counts always, and says nothing of the rate.
        is_news = outages.is_throttled or self._spacing.throttled(permit, now)
        outages.on_throttled(permit.number, now, retry_after_s or 0.0, error, is_news=is_news)
        self._go_on(now)

    def failed(self, permit: Permit, *, error: Error, retry_after_s: float | None = None) -> None:
        """The request failed in a way that may pass; `retry_after_s` as in `throttled`."""
        now = self._clock.now()
        self._outages.on_failure(permit.number, now, retry_after_s or 0.0, error)
        self._go_on(now)

    def release(self, permit: Permit) -> None:
        """The request was not sent after all."""
        _log.debug("permit %d was not used", permit.number)
        self._outages.abandon_probe(permit.number)
        if self._shared is not None and permit.number == self._last.number:
            self._shared.give_back()
        self._alarm.ring()

    def stop(self) -> None:
        """Grant nothing any more, to a waiting caller either."""
        self._stopped = True
        self._news += 1
        self._alarm.ring()
        self._departing.look_again()
        if self._shared is not None:
            self._shared.stop()

    def follow(self, rates: Timetable) -> None:
        """From now on other rates are asked for; higher ones bring no burst either."""
        highest = rates.highest_rate
        limit = requests_in_a_second(highest)
        self._pass_throttler = _throttler(limit, limit / highest)
        self._departures.limit_to(limit, limit / highest)
        self._ceiling.adopt(rates)
        self._follow_timetable(self._clock.now())
        self._alarm.ring()

    def hold(self, *, is_held: bool) -> None:
        """Let nothing leave, probes included, until this is called once more, with False."""
        self._ceiling.hold(is_held=is_held)
        self._follow_timetable(self._clock.now())
        self._alarm.ring()

    def check_patience(self, now: float) -> None:
        """Raise UnavailableError where there is nothing left to wait for."""
        self._follow_timetable(now)
        if not self._ceiling.is_quiet:
            self._outages.check_patience(now)

    @property
    def last_probe_at(self) -> float:
        """When patience ends for the failures in a row that there are; inf where there are none."""
        return self._outages.last_probe_at

    @property
    def gives_up_at(self) -> float:
        """When patience ends; inf while no breaker is open, while a probe is under way, and in
        quiet hours."""
        return math.inf if self._ceiling.is_quiet else self._outages.gives_up_at

    @property
    def is_down(self) -> bool:
        """Whether the API is taken to be down: failures are then nobody's own."""
        return self._outages.is_down

    @property
    def rate_asked(self) -> float:
        """The mean of the rates that were asked for, quiet hours left aside."""
        return self._ceiling.mean_rate(self._clock.now())

    @property
    def rates(self) -> Timetable:
        """The rates that are asked for, by the time of day."""
        return self._ceiling.rates

    @property
    def rate_allowed(self) -> float:
        """Requests a second that may leave at the moment, pauses left aside."""
        return 0.0 if self._ceiling.is_quiet else self._adaptive.rate(self._clock.now())

    @property
    def paused_s(self) -> float:
        """Seconds in which nothing but probes left, so far."""
        shared_s = 0.0 if self._shared is None else self._shared.paused_s
        return self._pauses.total_s(self._clock.now(), shared_s)

    def pause(self, now: float) -> Pause | None:
        """Why nothing leaves at the moment; None where nothing holds the run up."""
        if self._ceiling.is_quiet:
            reason = PauseReason.HELD if self._ceiling.is_held else PauseReason.QUIET
            return Pause(reason, self._ceiling.lasts_s())
        own = self._outages.pause(now)
        return own if own is not None or self._shared is None else self._shared.pause(now)

    async def _take_shared(self, shared: Permits) -> None:
        self._pauses.begin_shared(self._clock.now(), shared.paused_s)
        try:
            await shared.take()
        finally:
            self._pauses.end_shared(self._clock.now(), shared.paused_s)

    async def _wait(self, now: float, due: float) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            pause = self.pause(now)
            reason = pause.reason if pause else f"gaps at {self.rate_allowed:.4g} requests/s"
            _log.debug("nothing leaves for %.3f s: %s", due - now, reason)
        await self._alarm.wait(now, due, is_exact=not self._spacing.makes_up_lateness(now))

    def _is_valid(self, permit: Permit) -> bool:
        is_old = self._clock.now() > permit.latest
        if self._stopped or self._ceiling.is_quiet or is_old:
            return False
        return not self._outages.is_open or self._outages.is_probe(permit.number)

    def _even_gap_s(self, now: float) -> float:
        return 1.0 / self._adaptive.rate(now)

    def _follow_timetable(self, now: float) -> None:
        ceiling = self._ceiling
        is_first, was_quiet = ceiling.rate < 0.0, ceiling.is_quiet
        if not ceiling.follow(now):
            return
        if was_quiet:
            self.quiet_s += now - self._quiet_since
            self._outages.postpone(now - self._quiet_since)
        if ceiling.is_quiet:
            self._quiet_since = now
        else:
            self._spacing.limit_to(ceiling.rate, now)
        if not is_first or ceiling.is_quiet:
            lasts_s = ceiling.lasts_s()
            _log.debug("the timetable allows %g requests/s for %g s", ceiling.rate, lasts_s)
            self._notify(RateChanged(ceiling.rate, lasts_s))
        self._go_on(now)

    def _may_leave(self, now: float) -> bool:
        return not self._stopped and self._due(now) <= now

    def _due(self, now: float) -> float:
        if self._ceiling.is_quiet:
            return self._ceiling.ends_at
        # Permits that are shared are times of the account's: they keep its gaps.
        due = self._spacing.next_at(now) if self._shared is None else -math.inf
        return max(due, self._outages.next_at()) if self._outages.is_open else due

    def _grant(self, now: float) -> Permit:
        last = self._last
        self._last = Permit(last.number + 1, now, now - last.at, now + self._valid_s)
        self._spacing.departed(self._last.number, now)
        if self._outages.is_open:
            self._outages.probe(self._last.number)
        return self._last

    def _go_on(self, now: float) -> None:
        """Note whether a pause began or ended, and let whoever waits look again."""
        self._news += 1
        is_held = self._outages.is_open or self._ceiling.is_quiet
        if is_held != self._pauses.is_own:
            if is_held:
                self._pauses.begin(now)
                self._adaptive.pause(now)
            else:
                self._pauses.end(now)
                self._adaptive.resume(now)
        self._alarm.ring()


def _throttler(limit: int, seconds: float) -> Callable[[], Coroutine[None, None, None]]:
    """What is awaited before each request, so that no more than `limit` leave in `seconds`."""
    return Throttler(limit, seconds, _RETRY_INTERVAL_S).acquire


class MakePacer(Protocol):
    """Makes a run's pacer, as `Pacer` itself does: one may have permits that are shared."""

    def __call__(
        self,
        rates: Timetable,
        rules: PacerRules,
        *,
        clock: Clock,
        notify: Callable[[Event], None],
        first_probe: int | None,
    ) -> Pacer: ...
