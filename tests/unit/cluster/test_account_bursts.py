"""The burst probe of an account, in virtual time: one run's is everybody's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random
from typing import cast

import pytest

from tests.proofs.simulation.cluster.store import Store
from tests.support.defaults import pacing
from tests.support.shared_budgets import EPOCH_S, LateClock, SlowRedis, Way
from tests.support.virtual_time import run_virtually
from worker.cluster.account import shared_pacer
from worker.cluster.budget import Budget
from worker.cluster.connection import Connection
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
    """Runs on one account whose requests a limiter answers, after 50 ms."""

    def __init__(self, count: int, limiter: Limiter, seconds: float) -> None:
        self.sent: list[float] = []
        self.refused: list[float] = []
        self.by: list[int] = []
        self.rates: list[float] = []
        self._limiter = limiter
        self._seconds = seconds
        self._random = Random(1)
        run_virtually(self._play(count))

    async def _play(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        store = Store(lambda: int((EPOCH_S + loop.time()) * 1e6))
        await asyncio.gather(*(self._send(number, store) for number in range(count)))

    async def _send(self, number: int, store: Store) -> None:
        loop, clock = asyncio.get_running_loop(), LateClock(self._random)
        redis = cast("Connection", SlowRedis(store, Way(0.005), self._random))
        budget = Budget(redis, "test", f"m{number}", clock)
        rates, options = Timetable.constant(RATE), pacing(first_probe=10)
        pacer = shared_pacer(budget, rates, clock=clock, notify=lambda _: None, **options)
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


@pytest.mark.parametrize("count", [1, 4])
def test_where_bursts_are_let_through_all_runs_leave_early_now_and_then(count: int) -> None:
    account = Account(count, Limiter(burst=10), 20.0)
    gaps = account.gaps(since=5.0)
    early = sum(gap < 0.5 * GAP_S for gap in gaps)
    assert 0.15 * len(gaps) <= early <= 0.25 * len(gaps)
    assert account.refused == []
    assert len(gaps) / 15.0 >= 0.96 * RATE


@pytest.mark.parametrize("count", [1, 4])
def test_where_bursts_are_refused_one_run_has_found_out_for_all(count: int) -> None:
    account = Account(count, Limiter(burst=0), 30.0)
    assert len(account.refused) == 3
    assert min(account.gaps(since=account.refused[-1] + 1.0)) >= 0.9 * GAP_S
    assert min(account.rates) == RATE


def test_a_probe_is_one_runs_and_brings_no_more_within_a_second_than_even_gaps() -> None:
    account = Account(4, Limiter(burst=0), 20.0)
    first, last = account.refused[0], account.refused[-1]
    probing = {by for at, by in zip(account.sent, account.by, strict=True) if first <= at <= last}
    assert len(probing) == 1
    times = sorted(account.sent)
    assert max(sum(at <= one < at + 0.999 for one in times) for at in times) <= RATE
