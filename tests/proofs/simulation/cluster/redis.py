"""The simulated Redis as runs reach it: latency, refusals, answers that are lost or late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.proofs.simulation.cluster.scenario import RedisPlan
from tests.proofs.simulation.cluster.scripting import Scripts
from tests.proofs.simulation.cluster.store import CommandError, Store
from tests.proofs.simulation.loop import Timeline

_SCRIPTS: Final = Scripts()
_CALL_TIMEOUT_S: Final = 5.0
_LATEST_S: Final = 20.0
_EPOCH_S: Final = 1_795_000_000


class SimulatedRedis:
    """One server, whose data survive whatever befalls it.

    `later` has something done at a time, whoever lives then.
    """

    def __init__(
        self,
        plan: RedisPlan,
        random: Random,
        timeline: Timeline,
        later: Callable[[float, Callable[[], object]], None],
    ) -> None:
        self.store = Store(self._time_us)
        self.is_calm = False
        self.calls = 0
        self._plan = plan
        self._random = random
        self._timeline = timeline
        self._later = later

    def client(self) -> SimulatedRedisClient:
        return SimulatedRedisClient(self)

    async def ask(self, execute: Callable[[], Any]) -> Any:
        """What a command answers that is sent now; raises what redis-py would."""
        self.calls += 1
        kind, now = self._kind(), self._timeline.now
        way_s = self._random.uniform(0.5, 1.5) * self._plan.latency_s / 2
        await asyncio.sleep(way_s)
        if kind == "refused":
            raise RedisConnectionError("Error 111 connecting. Connection refused.")
        if kind == "late":
            at = now + self._random.uniform(_CALL_TIMEOUT_S, _LATEST_S)
            self._later(at, partial(self._execute, execute))
            await asyncio.sleep(_CALL_TIMEOUT_S)
            raise RedisTimeoutError("Timeout reading from socket")
        answer = self._execute(execute)
        if kind == "lost":
            raise RedisConnectionError("Connection closed by server.")
        slow_s = self._random.uniform(0.0, _CALL_TIMEOUT_S) if kind == "slow" else way_s
        await asyncio.sleep(slow_s)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _kind(self) -> str:
        if self.is_calm:
            return "ok"
        if any(begin <= self._timeline.now < end for begin, end in self._plan.away):
            return "refused"
        if self._random.random() < self._plan.trouble:
            return self._random.choice(("refused", "lost", "late", "slow"))
        return "ok"

    def _execute(self, execute: Callable[[], Any]) -> Any:
        try:
            return execute()
        except CommandError as error:
            return ResponseError(str(error))

    def _time_us(self) -> int:
        now, plan = self._timeline.now, self._plan
        seconds = _EPOCH_S + plan.clock_off_s + now
        if plan.clock_set is not None and now >= plan.clock_set[0]:
            seconds += plan.clock_set[1]
        return int(seconds * 1e6)


class SimulatedRedisClient:
    """As much of `redis.asyncio.Redis` as the program uses."""

    def __init__(self, redis: SimulatedRedis) -> None:
        self._redis = redis

    def register_script(self, script: str) -> Callable[..., Awaitable[Any]]:
        def run(keys: Sequence[str], args: Sequence[object]) -> Awaitable[Any]:
            texts = [str(arg) for arg in args]
            return self._redis.ask(lambda: _SCRIPTS.run(self._redis.store, script, keys, texts))

        return run

    async def ping(self) -> Any:
        return await self._redis.ask(lambda: "PONG")

    async def exists(self, *keys: str) -> Any:
        return await self._redis.ask(lambda: self._redis.store.execute("EXISTS", *keys))

    async def xrange(self, key: str, *, min: str, count: int) -> Any:
        found = await self._redis.ask(lambda: self._redis.store.execute("XRANGE", key, min, "+"))
        return [
            (place, dict(zip(fields[::2], fields[1::2], strict=True)))
            for place, fields in found[:count]
        ]

    async def xpending_range(self, key: str, group: str, *, min: str, max: str, count: int) -> Any:
        args = (key, group, min, max, str(count))
        found = await self._redis.ask(lambda: self._redis.store.execute("XPENDING", *args))
        names = ("message_id", "consumer", "time_since_delivered", "times_delivered")
        return [dict(zip(names, one, strict=True)) for one in found]

    async def aclose(self) -> None:
        pass


def _paired(fields: Sequence[str]) -> dict[str, str]:
    return dict(zip(fields[::2], fields[1::2], strict=True))
