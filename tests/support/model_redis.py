"""A connection to a model of Redis, in virtual time: leases pass without being waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.proofs.simulation.cluster.redis import SimulatedRedis, SimulatedRedisClient
from tests.proofs.simulation.cluster.scripting import Scripts
from tests.proofs.simulation.cluster.store import CommandError, Store
from tests.support.shared_budgets import EPOCH_S
from worker.cluster.connection import Connection

_SCRIPTS: Final = Scripts()


def model_connection() -> Connection:
    """Answers at once, as an empty Redis whose clock is that of the running loop."""
    return cast("Connection", _Model())


class _Model:
    is_down = False
    down_s = 0.0

    def __init__(self) -> None:
        self.store = Store(lambda: int((EPOCH_S + asyncio.get_running_loop().time()) * 1e6))

    async def call(self, script: str, keys: Sequence[str], *args: str | int) -> Any:
        texts = [str(arg) for arg in args]
        return await self.execute(lambda: _SCRIPTS.run(self.store, script, keys, texts))

    async def ask(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        client = SimulatedRedisClient(cast("SimulatedRedis", _Server(self)))
        return await command(cast("Redis", client))

    async def execute(self, command: Callable[[], Any]) -> Any:
        try:
            return command()
        except CommandError as error:
            raise ResponseError(str(error)) from None

    def stop(self) -> None:
        """Nothing is waited for."""


class _Server:
    """What the simulated client asks."""

    def __init__(self, model: _Model) -> None:
        self.store = model.store
        self.ask = model.execute
