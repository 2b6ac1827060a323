"""A simulated account: a leaky bucket that a worker shares with customers, in made-up time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random
from typing import Any

from worker.pacing.adaptive import AdaptiveRate
from worker.pacing.burst_probe import BurstProbe
from worker.pacing.spacing import Spacing


@dataclass
class LeakyBucket:
    """Admits `rate` a second, and up to `burst` requests early, as nginx does with `nodelay`."""

    rate: float
    burst: float
    _level: float = 0.0
    _last: float = 0.0

    def admits(self, now: float) -> bool:
        level = max(0.0, self._level - (now - self._last) * self.rate) + 1.0
        if level > self.burst + 1.0 + 1e-9:
            return False
        self._level, self._last = level, now
        return True


@dataclass
class Log:
    """When requests left, were answered and were refused; and the same of the customers'."""

    sent: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    customers: list[float] = field(default_factory=list)
    customers_refused: list[float] = field(default_factory=list)

    @property
    def refused_share(self) -> float:
        return len(self.refused) / len(self.sent)

    @property
    def customers_refused_share(self) -> float:
        return len(self.customers_refused) / len(self.customers)

    def accepted_per_s(self, since: float, until: float) -> float:
        return sum(since <= at < until for at in self.accepted) / (until - since)


@dataclass
class Account:
    """One run of the simulation. Answers take `latency_s`, at most `slots` are under way, and the
    worker's timers are up to 1 ms late. `strays` are numbers of requests that are refused anyway.
    `first_probe` is the burst_probe's.
    """

    limiter: LeakyBucket
    asked: float = 10.0
    customers_at: Callable[[float], float] | None = None
    is_poisson: bool = False
    latency_s: tuple[float, float] = (0.02, 0.3)
    slots: int = 32
    strays: Collection[int] = ()
    first_probe: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.log = Log()
        self.now = 0.0
        burst_probe = BurstProbe(int(self.asked), self.first_probe)
        self._spacing = Spacing(AdaptiveRate(self.asked), burst_probe)
        self._random = Random(self.seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._in_flight = 0
        self._is_timer_set = False
        self._set_timer(0.0)
        if self.customers_at is not None:
            self._after(self._random.random(), self._customer)

    def run(self, until: float, requests: int = 10**9) -> Log:
        while self._events and self._events[0][0] <= until and len(self.log.sent) < requests:
            self.now, _, act, args = heapq.heappop(self._events)
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
            self._after(seconds + self._random.uniform(0.0, 0.001), self._try_to_send)

    def _try_to_send(self) -> None:
        self._is_timer_set = False
        due = self._spacing.next_at(self.now)
        if due > self.now:
            self._set_timer(due - self.now)
        elif self._in_flight < self.slots:
            self._send()
            self._set_timer(0.0)

    def _send(self) -> None:
        self._spacing.left(self.now)
        self._in_flight += 1
        self.log.sent.append(self.now)
        latency_s = self._random.uniform(*self.latency_s)
        self._after(latency_s / 2, self._arrive, self.now, len(self.log.sent), latency_s / 2)

    def _arrive(self, sent_at: float, number: int, way_back_s: float) -> None:
        is_admitted = number not in self.strays and self.limiter.admits(self.now)
        self._after(way_back_s, self._hear, sent_at, is_admitted)

    def _hear(self, sent_at: float, is_admitted: bool) -> None:
        self._in_flight -= 1
        if is_admitted:
            self.log.accepted.append(self.now)
            self._spacing.answered(sent_at)
        else:
            self.log.refused.append(self.now)
            self._spacing.throttled(self.now, sent_at)
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
