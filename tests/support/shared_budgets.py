"""Several runs on one account's budget in virtual time: the real scripts in a model of Redis."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, cast

from tests.proofs.simulation.cluster.scripting import Scripts
from tests.proofs.simulation.cluster.store import Store
from tests.support.virtual_time import VirtualClock, run_virtually
from worker.cluster.budget import Budget
from worker.cluster.connection import Connection
from worker.cluster.shared_rate import SharedRate

_SCRIPTS: Final = Scripts()
EPOCH_S: Final = 1_795_000_000
_STEADY_AFTER_S: Final = 2.0


@dataclass
class Way:
    """The way to Redis: how long a call takes there and back, more or less a fifth; and from when
    to when nothing is answered."""

    round_trip_s: float = 0.0002
    stalls: tuple[float, float] = (math.inf, math.inf)


class SlowRedis:
    """One run's connection to the model."""

    is_down = False
    down_s = 0.0

    def __init__(self, store: Store, way: Way, random: Random) -> None:
        self.calls = 0
        self._store = store
        self._way = way
        self._random = random

    async def call(self, script: str, keys: Sequence[str], *args: str | int) -> Any:
        self.calls += 1
        await self._travel()
        answer = _SCRIPTS.run(self._store, script, keys, [str(arg) for arg in args])
        await self._travel()
        return answer

    async def _travel(self) -> None:
        await asyncio.sleep(self._way.round_trip_s / 2 * self._random.uniform(0.9, 1.1))
        begins, ends = self._way.stalls
        now = asyncio.get_running_loop().time()
        if begins <= now < ends:
            await asyncio.sleep(ends - now)

    def stop(self) -> None:
        """Nothing is waited for."""


class LateClock(VirtualClock):
    """Wakes up to a millisecond late, as event loops do."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def wait(self, event: asyncio.Event, until: float | None = None) -> bool:
        is_set = await super().wait(event, until)
        await asyncio.sleep(self._random.uniform(0.0, 0.001))
        return is_set


@dataclass
class Member:
    """A run that sends whenever it may, from `starts_at` until `ends_at`."""

    rate: float
    starts_at: float = 0.0
    ends_at: float = math.inf
    sent: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    calls: int = 0


class Account:
    """Plays the members at once; `sent` are the times of all requests, in order."""

    def __init__(self, members: Sequence[Member], way: Way, seconds: float) -> None:
        self.members = members
        self._way = way
        self._seconds = seconds
        self._random = Random(1)
        run_virtually(self._play())
        self.sent = sorted(at for one in members for at in one.sent)

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        store = Store(lambda: int((EPOCH_S + loop.time()) * 1e6))
        await asyncio.gather(
            *(self._send(f"m{number}", one, store) for number, one in enumerate(self.members))
        )

    async def _send(self, name: str, member: Member, store: Store) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(member.starts_at + self._random.uniform(0.0, 0.3))
        redis = SlowRedis(store, self._way, self._random)
        connection, clock = cast("Connection", redis), LateClock(self._random)
        budget = Budget(connection, "test", name, clock, member.warnings.append)
        rate = SharedRate(member.rate, budget.cut)
        while (now := loop.time()) < min(self._seconds, member.ends_at):
            await budget.take(rate)
            if (now := loop.time()) < self._seconds:
                member.sent.append(now)
        budget.stop()
        member.calls = redis.calls

    @property
    def most_per_s(self) -> int:
        return max(
            bisect_left(self.sent, at + 1.0 - 1e-9) - number for number, at in enumerate(self.sent)
        )

    def per_s(self, since: float = _STEADY_AFTER_S, until: float = math.inf) -> float:
        """The mean rate between two times."""
        some = [at for at in self.sent if since <= at < until]
        return (len(some) - 1) / (some[-1] - some[0])

    @property
    def fairness(self) -> float:
        """Jain's index: 1 where all have sent the same number."""
        counts = [len(one.sent) for one in self.members]
        return sum(counts) ** 2 / (len(counts) * sum(one**2 for one in counts))


def alike(count: int, rate: float) -> list[Member]:
    return [Member(rate) for _ in range(count)]
