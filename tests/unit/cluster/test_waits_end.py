"""Every wait for Redis ends: by its answer, by a cancellation, or by an error that is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.redis_server import RedisServer, needs_redis, redis_server
from tests.support.shared_queues import shift_on
from worker.cluster.budget import Budget
from worker.cluster.connection import Connection
from worker.cluster.queue import Queue
from worker.cluster.shared_rate import SharedRate
from worker.core.clock import Clock
from worker.core.errors import RefusedError
from worker.core.events import Event
from worker.core.outcomes import Item

pytestmark = needs_redis
CLOCK = Clock()
BUDGET = "complete-sessions:{account:test}:budget"
MEMBERS = "complete-sessions:{account:test}:members"
LONG_S = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), "appendonly no") as one:
        yield one


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def connection(server: RedisServer, events: list[Event]) -> AsyncIterator[Connection]:
    async with Connection(server.url, clock=CLOCK, patience_s=10, notify=events.append) as one:
        await one.ask(lambda redis: redis.flushall())
        yield one


@pytest.mark.parametrize("error", [None, RedisTimeoutError("too late"), RuntimeError("closed")])
async def test_a_cancellation_that_the_client_loses_ends_the_call(
    connection: Connection, error: Exception | None
) -> None:
    """redis-py sends with asyncio.wait_for, which loses one now and then before Python 3.12."""
    was_sent = asyncio.Event()

    async def lose(_: Redis) -> str:
        was_sent.set()
        try:
            await asyncio.sleep(LONG_S)
        except asyncio.CancelledError:
            if error is not None:
                raise error from None
        return "PONG"

    call = asyncio.create_task(connection.ask(lose))
    await was_sent.wait()
    call.cancel()
    async with asyncio.timeout(LONG_S):
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_call_is_made_after_a_cancellation_as_ever(connection: Connection) -> None:
    answers: list[object] = []

    async def clean_up() -> None:
        try:
            await asyncio.sleep(LONG_S)
        finally:
            answers.append(await connection.ask(lambda redis: redis.ping()))

    cleaning = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    cleaning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cleaning
    assert answers == [True]


async def test_renewals_end_whenever_they_are_cancelled(connection: Connection) -> None:
    queue = Queue(connection, "row")
    await queue.add([Item("a", 1)])
    consumer = shift_on(queue, slots=1, lease_s=1e-6, clock=CLOCK)
    for steps in range(40):
        renewing = asyncio.create_task(consumer.renew_for_ever())
        for _ in range(steps):
            await asyncio.sleep(0)
        renewing.cancel()
        async with asyncio.timeout(LONG_S):
            with pytest.raises(asyncio.CancelledError):
                await renewing


async def test_a_permit_that_cannot_be_asked_for_is_an_error_and_no_wait(
    connection: Connection,
) -> None:
    await connection.ask(lambda redis: redis.hset(MEMBERS, "another program's", "text"))
    budget = Budget(connection, "test", "me", CLOCK)
    async with asyncio.timeout(LONG_S):
        with pytest.raises(ResponseError):
            await budget.take(SharedRate(10.0, lambda *_: None))


async def test_a_refusal_is_told_where_the_refused_right_is_the_budgets(
    server: RedisServer, connection: Connection
) -> None:
    await connection.ask(
        lambda redis: redis.acl_setuser(
            "worker", enabled=True, passwords="+pw", keys=["*"], commands=["+@all", "-hmget"]
        )
    )
    url = f"redis://worker:pw@127.0.0.1:{server.port}"
    async with Connection(url, clock=CLOCK, patience_s=LONG_S) as refused:
        budget = Budget(refused, "test", "me", CLOCK)
        async with asyncio.timeout(LONG_S):
            with pytest.raises(RefusedError, match="does not let this user"):
                await budget.take(SharedRate(10.0, lambda *_: None))


@pytest.mark.parametrize("steps", [0, 1, 5])
async def test_a_budget_that_is_closed_has_told_the_others_and_asks_no_more(
    server: RedisServer, events: list[Event], steps: int
) -> None:
    async with Connection(server.url, clock=CLOCK, patience_s=10, notify=events.append) as one:
        await one.ask(lambda redis: redis.flushall())
        budget = Budget(one, "test", "me", CLOCK)
        taking = asyncio.create_task(budget.take(SharedRate(1000.0, lambda *_: None)))
        for _ in range(steps):
            await asyncio.sleep(0)
        budget.cut(0, "")
        await budget.aclose()
        assert await taking is None
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await one.ask(lambda redis: redis.hget(BUDGET, "cuts")) == "1"
    assert events == []


async def test_a_budget_that_cannot_tell_the_others_is_closed_all_the_same(tmp_path: Path) -> None:
    async with Connection(RedisServer(tmp_path).url, clock=CLOCK, patience_s=LONG_S) as away:
        budget = Budget(away, "test", "me", CLOCK)
        budget.cut(1, "")
        async with asyncio.timeout(LONG_S):
            await budget.aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_connection_that_cannot_be_closed_costs_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with Connection(server.url, clock=CLOCK, patience_s=10) as one:

            async def fail() -> None:
                raise RedisConnectionError("Timed out closing connection after 5.0")

            await one.ask(lambda redis: _replace(redis, fail))


async def _replace(redis: Redis, aclose: object) -> None:
    redis.aclose = aclose  # type: ignore[method-assign,assignment]
