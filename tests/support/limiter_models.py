"""A simulated account: a limiter that a worker shares with customers, in made-up time."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from worker.pacing.adaptive import AdaptiveRate
from worker.pacing.burst_probe import BurstProbe
from worker.pacing.permits import Permit
from worker.pacing.spacing import Spacing


class Limiter(Protocol):
    """Decides on requests in the order in which they arrive. Times are seconds."""

    def admits(self, now: float) -> bool: ...


@dataclass
class SlidingLog:
    """Admits no more than `limit` in any `window_s`."""

    limit: int
    window_s: float = 1.0
    _admitted: deque[float] = field(default_factory=deque)

    def admits(self, now: float) -> bool:
        while self._admitted and self._admitted[0] <= now - self.window_s + 1e-9:
            self._admitted.popleft()
        if len(self._admitted) >= self.limit:
            return False
        self._admitted.append(now)
        return True


@dataclass
class FixedWindow:
    """Admits no more than `limit` in each second of the clock."""

    limit: int
    _second: int = -1
    _admitted: int = 0

    def admits(self, now: float) -> bool:
        second = math.floor(now)
        if second != self._second:
            self._second, self._admitted = second, 0
        if self._admitted >= self.limit:
            return False
        self._admitted += 1
        return True


@dataclass
class LeakyBucket:
    """Admits `rate` a second, and up to `burst` requests early, as nginx does with `nodelay`.

    A token bucket of n is one with a burst of n - 1.
    """

    rate: float
    burst: float = 0.0
    _level: float = 0.0
    _last: float = 0.0

    def admits(self, now: float) -> bool:
        level = max(0.0, self._level - (now - self._last) * self.rate) + 1.0
        if level > self.burst + 1.0 + 1e-9:
            return False
        self._level, self._last = level, now
        return True


@dataclass
class Shedding:
    """Refuses a share of all requests, whatever their rate."""

    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def admits(self, _: float) -> bool:
        return self._random.random() >= self.share


@dataclass
class Log:
    """When requests left, were accepted and were refused; and the same of the customers'."""

    sent: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    customers: list[float] = field(default_factory=list)
    customers_refused: list[float] = field(default_factory=list)

    def accepted_per_s(self, since: float, until: float) -> float:
        return _count(self.accepted, since, until) / (until - since)

    def refused_share(self, since: float = 0.0, until: float = math.inf) -> float:
        refused = _count(self.refused, since, until)
        return refused / max(_count(self.accepted, since, until) + refused, 1)

    def customers_refused_share(self, since: float = 0.0, until: float = math.inf) -> float:
        customers = max(_count(self.customers, since, until), 1)
        return _count(self.customers_refused, since, until) / customers


def _count(times: list[float], since: float, until: float) -> int:
    return sum(since <= at < until for at in times)


@dataclass
class Account:
    """One run of the simulation.

    A request is on its way to the limiter for up to `jitter_s`, its answer takes `latency_s`; at
    most `slots` are under way, and the worker's timers are up to 1 ms late. `strays` are numbers of
    requests that are refused anyway. `first_probe` is the burst probe's.
    """

    limiter: Limiter
    asked: float = 10.0
    customers_at: Callable[[float], float] | None = None
    is_poisson: bool = False
    jitter_s: float = 0.0
    latency_s: tuple[float, float] = (0.02, 0.3)
    slots: int = 256
    strays: Collection[int] = ()
    first_probe: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.log = Log()
        self.now = 0.0
        self.adaptive = AdaptiveRate(self.asked)
        self._spacing = Spacing(self.adaptive, BurstProbe(int(self.asked), self.first_probe))
        self._random = Random(self.seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._in_flight = 0
        self._is_timer_set = False
        self._set_timer(self._random.random())
        if self.customers_at is not None:
            self._after(self._random.random(), self._customer)

    def run(self, until: float, requests: int = 10**9) -> Log:
        events, pop, sent = self._events, heapq.heappop, self.log.sent
        while events and events[0][0] <= until and len(sent) < requests:
            self.now, _, act, args = pop(events)
            act(*args)
        return self.log

    def at(self, when: float, act: Callable[[], None]) -> None:
        self._after(when - self.now, act)

    def _after(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now + seconds, self._order, act, args))

    def _set_timer(self, seconds: float) -> None:
        if not self._is_timer_set:
            self._is_timer_set = True
            late_s = 1e-3 if self._spacing.makes_up_lateness(self.now) else 1e-4
            self._after(seconds + self._random.random() * late_s, self._try_to_send)

    def _try_to_send(self) -> None:
        self._is_timer_set = False
        due = self._due()
        if due <= self.now and self._in_flight < self.slots:
            self._send()
            due = self._due()
        if self._in_flight < self.slots:
            self._set_timer(max(due - self.now, 0.0))

    def _due(self) -> float:
        """As the pacer has it: the spacing's word, and never more than asked for in any second."""
        due, sent, limit = self._spacing.next_at(self.now), self.log.sent, int(self.asked)
        return due if len(sent) < limit else max(due, sent[-limit] + limit / self.asked)

    def _send(self) -> None:
        self._in_flight += 1
        self.log.sent.append(self.now)
        permit = Permit(len(self.log.sent), self.now)
        self._spacing.departed(permit.number, self.now)
        way_s = self._random.random() * self.jitter_s
        self._after(way_s, self._arrive, permit)

    def _arrive(self, permit: Permit) -> None:
        is_admitted = permit.number not in self.strays and self.limiter.admits(self.now)
        low, high = self.latency_s
        self._after(low + (high - low) * self._random.random(), self._hear, permit, is_admitted)

    def _hear(self, permit: Permit, is_admitted: bool) -> None:
        self._in_flight -= 1
        if is_admitted:
            self.log.accepted.append(self.now)
            self._spacing.answered(permit, self.now)
        else:
            self.log.refused.append(self.now)
            self._spacing.throttled(permit, self.now)
        if self._in_flight == self.slots - 1:
            self._set_timer(0.0)

    def _customer(self) -> None:
        assert self.customers_at is not None
        rate = self.customers_at(self.now)
        if rate == 0.0:
            self._after(0.1, self._customer)
            return
        self.log.customers.append(self.now)
        if not self.limiter.admits(self.now):
            self.log.customers_refused.append(self.now)
        self._after(self._random.expovariate(rate) if self.is_poisson else 1 / rate, self._customer)
