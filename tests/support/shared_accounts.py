"""Several runs on one account, before a limiter, in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random
from typing import cast

from tests.proofs.simulation.cluster.store import Store
from tests.support.defaults import pacing
from tests.support.shared_budgets import EPOCH_S, LateClock, SlowRedis, Way
from tests.support.virtual_time import run_virtually
from worker.cluster.budget import Budget
from worker.cluster.connection import Connection
from worker.cluster.shared_pacer import shared_pacer
from worker.core.outcomes import Error
from worker.core.timetable import Timetable

RATE = 10.0
GAP_S = 1 / RATE
Allows = Callable[[float], bool]


class Limiter:
    """A leaky bucket of 10/s that holds a burst of so many."""

    def __init__(self, burst: float) -> None:
        self._burst = burst
        self._level = 0.0
        self._at = 0.0

    def allows(self, now: float) -> bool:
        self._level = max(self._level - (now - self._at) * RATE, 0.0)
        self._at = now
        if self._level > self._burst + 0.05:
            return False
        self._level += 1.0
        return True


class Account:
    """Runs on one account whose requests a limiter answers, after 50 ms; beside customers who send
    at even times, where there are any."""

    def __init__(
        self,
        count: int,
        limiter: Limiter,
        seconds: float,
        *,
        customers_per_s: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.sent: list[float] = []
        self.refused: list[float] = []
        self.by: list[int] = []
        self.rates: list[float] = []
        self._limiter = limiter
        self._seconds = seconds
        self._random = Random(seed)
        self._customers_per_s = customers_per_s
        self.customers = self.customers_refused = 0
        run_virtually(self._play(count))

    async def _play(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        store = Store(lambda: int((EPOCH_S + loop.time()) * 1e6))
        runs = (self._send(number, store) for number in range(count))
        await asyncio.gather(self._customers_come(), *runs)

    async def _customers_come(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._random.random())
        while self._customers_per_s and loop.time() < self._seconds:
            self.customers += 1
            self.customers_refused += not self._limiter.allows(loop.time())
            await asyncio.sleep(1 / self._customers_per_s)

    async def _send(self, number: int, store: Store) -> None:
        loop, clock = asyncio.get_running_loop(), LateClock(self._random)
        redis = cast("Connection", SlowRedis(store, Way(0.005), self._random))
        budget = Budget(redis, "test", f"m{number}", clock)
        pacer = shared_pacer(
            budget,
            Timetable.constant(RATE),
            pacing(),
            clock=clock,
            notify=lambda _: None,
            is_sure=None,
            first_probe=10,
        )
        while loop.time() < self._seconds:
            permit = await pacer.permit()
            assert permit is not None
            self.sent.append(loop.time())
            self.by.append(number)
            if self._limiter.allows(loop.time()):
                loop.call_later(0.05, pacer.answered, permit)
            else:
                self.refused.append(loop.time())
                loop.call_later(0.05, partial(pacer.throttled, permit, error=Error("429", "")))
        self.rates.append(pacer.rate_allowed)

    def gaps(self, since: float, until: float = math.inf) -> list[float]:
        some = [at for at in sorted(self.sent) if since <= at < until]
        return [later - at for at, later in pairwise(some)]
