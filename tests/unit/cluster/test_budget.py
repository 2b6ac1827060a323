"""One budget for several runs: the rate, what one learns for all, and Redis going wrong."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.defaults import pacing
from tests.support.redis_server import RedisServer, needs_redis, redis_server
from worker.cluster.budget import Budget, default_account
from worker.cluster.connection import Connection
from worker.cluster.reservations import EVEN
from worker.cluster.shared_pacer import AccountPermits, shared_pacer
from worker.cluster.shared_rate import SharedRate
from worker.core.clock import Clock
from worker.core.errors import UnavailableError
from worker.core.events import Event, OutageBegan, OutageEnded, PauseReason
from worker.core.outcomes import Error
from worker.core.timetable import Timetable
from worker.pacing.permits import Permit

CLOCK = Clock()
KEY = "complete-sessions:{account:test}:budget"


def test_the_accounts_name_tells_nothing_of_the_key() -> None:
    name = default_account("live_abcdefgh12345678")
    assert name == default_account("live_abcdefgh12345678")
    assert name != default_account("live_abcdefgh12345679")
    assert len(name) == 16
    assert "abcd" not in name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), "appendonly no") as one:
        yield one


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    async with Connection(server.url, clock=CLOCK, patience_s=10) as one:
        await one.ask(lambda redis: redis.flushall())
        yield one


class Member:
    """One run's part in the budget."""

    def __init__(self, connection: Connection, name: str, rate: float = 1000.0) -> None:
        self.events: list[Event] = []
        self.budget = Budget(connection, "test", name, CLOCK)
        self.pacer = shared_pacer(
            self.budget,
            Timetable.constant(rate),
            pacing(throttle_initial_s=0.3),
            clock=CLOCK,
            notify=self.events.append,
            is_sure=None,
            first_probe=None,
        )
        self.times: list[float] = []
        self.refused = 0

    async def send(self, until: float) -> None:
        while time.monotonic() < until:
            assert await self.pacer.permit() is not None
            self.times.append(time.monotonic())

    def throttled(self, times: int = 1) -> None:
        for _ in range(times):
            self.refused += 1
            permit = Permit(self.refused, CLOCK.now())
            self.pacer.throttled(permit, error=Error("429", ""))


@needs_redis
async def test_a_clock_that_is_set_back_stalls_nobody(connection: Connection) -> None:
    rate = SharedRate(10, lambda *_: None)
    budget = Budget(connection, "test", "one", CLOCK)
    await budget.take(rate)
    # Both at once: the budget asks ahead, and would mend one before the other is there.
    hour_later = f"""
        for _, field in ipairs({{'now', 'next'}}) do
          redis.call('HINCRBY', '{KEY}', field, 3600000000)
        end
    """
    await connection.ask(lambda redis: redis.eval(hour_later, 0))
    async with asyncio.timeout(30):
        for _ in range(3):
            await budget.take(rate)


@needs_redis
async def test_what_one_run_learns_from_a_429_all_adopt(connection: Connection) -> None:
    one, other, late = (Member(connection, name, 100.0) for name in ("one", "other", "late"))
    await one.pacer.permit()
    await other.pacer.permit()
    one.throttled(times=2)
    await settled(one.budget)
    # Of those that it had asked for before.
    for _ in range(10):
        await other.pacer.permit()
    await late.pacer.permit()
    assert one.pacer.rate_allowed < 99
    assert other.pacer.rate_allowed == pytest.approx(one.pacer.rate_allowed, rel=0.001)
    assert late.pacer.rate_allowed == pytest.approx(one.pacer.rate_allowed, rel=0.001)


@needs_redis
async def test_a_volley_of_429_over_several_runs_cuts_the_rate_once(connection: Connection) -> None:
    members = [Member(connection, str(number), 100.0) for number in range(4)]
    for member in members:
        await member.pacer.permit()
    for member in members:
        member.throttled(times=2)
    for member in members:
        await settled(member.budget)
        await member.pacer.permit()
    assert await connection.ask(lambda redis: redis.hget(KEY, "cuts")) == "1"
    assert all(member.pacer.rate_allowed > 60 for member in members)


def test_a_run_keeps_its_rate_where_redis_has_forgotten_it() -> None:
    told: list[str] = []
    other = SharedRate(10.0, lambda _, state: told.append(state))
    for number in range(20):
        other.sent(number / 10)
        other.throttled(number / 10, number / 10)
    rate = SharedRate(10.0, lambda *_: None)
    rate.follow(2.0, 3, told[-1], 0.0)
    learnt = rate.rate(2.0)
    assert learnt < 5.0
    rate.follow(2.0, 0, "", 1e9)
    assert rate.rate(2.0) == learnt
    rate.follow(2.0, 1, told[0], 0.0)
    assert rate.rate(2.0) > 9.0


class SlowAtFirst(Connection):
    """Its first call takes a while."""

    _is_first = True

    async def call(self, script: str, keys: Sequence[str], *args: str | int) -> Any:
        if self._is_first:
            self._is_first = False
            await asyncio.sleep(0.1)
        return await super().call(script, keys, *args)


@needs_redis
async def test_a_pause_that_has_ended_is_not_told_afterwards(connection: Connection) -> None:
    async with SlowAtFirst(connection.name, clock=CLOCK, patience_s=10) as slow:
        budget = Budget(slow, "test", "one", CLOCK)
        budget.notice(OutageBegan(PauseReason.THROTTLED, 5, Error("429", ""), 30.0, 900.0))
        budget.notice(OutageEnded(PauseReason.THROTTLED, 1.0))
        await settled(budget)
    assert await connection.ask(lambda redis: redis.hget(KEY, "pause")) is None


@needs_redis
async def test_a_pause_is_ended_by_the_run_that_probes_and_by_no_other(
    connection: Connection,
) -> None:
    one, other = (Budget(connection, "test", name, CLOCK) for name in ("one", "other"))
    for budget, seconds in ((one, 30.0), (other, 1.0)):
        budget.notice(OutageBegan(PauseReason.THROTTLED, 5, Error("429", ""), seconds, 900.0))
        await settled(budget)
    for budget, is_left in ((other, True), (one, False)):
        budget.notice(OutageEnded(PauseReason.THROTTLED, 1.0))
        await settled(budget)
        pause = await connection.ask(lambda redis: redis.hget(KEY, "pause"))
        assert (pause is not None) == is_left


@needs_redis
async def test_a_pause_is_everybodys_and_one_run_probes(connection: Connection) -> None:
    one, other = Member(connection, "one"), Member(connection, "other")
    while one.pacer.pause(CLOCK.now()) is None:
        await one.pacer.permit()
        one.throttled()
    assert isinstance(one.events[-1], OutageBegan)
    await settled(one.budget)
    waiting = asyncio.create_task(other.pacer.permit())
    probe = await one.pacer.permit()
    assert probe is not None
    assert not waiting.done()
    pause = other.pacer.pause(CLOCK.now())
    assert pause is not None
    assert pause.reason == "throttled"
    one.pacer.answered(probe)
    assert await waiting is not None
    assert 0.2 < other.pacer.paused_s < 2.0


@needs_redis
async def test_a_pause_holds_also_where_bursts_are_let_through(connection: Connection) -> None:
    one, other = Member(connection, "one", 50.0), Member(connection, "other", 50.0)
    one.budget.tolerates_bursts()
    await settled(one.budget)
    while one.pacer.pause(CLOCK.now()) is None:
        await one.pacer.permit()
        one.throttled()
    await settled(one.budget)
    waiting = asyncio.create_task(other.pacer.permit())
    probe = await one.pacer.permit()
    assert probe is not None
    assert not waiting.done()
    one.pacer.answered(probe)
    assert await waiting is not None


@needs_redis
async def test_what_holds_a_run_up_twice_counts_once(connection: Connection) -> None:
    one, other = Member(connection, "one"), Member(connection, "other")
    one.budget.notice(OutageBegan(PauseReason.THROTTLED, 5, Error("429", ""), 30.0, 900.0))
    await settled(one.budget)
    began_at = CLOCK.now()
    waiting = asyncio.create_task(other.pacer.permit())
    await asyncio.sleep(0.1)
    for _ in range(10):
        other.pacer.failed(Permit(1, CLOCK.now()), error=Error("timeout", ""))
    assert isinstance(other.events[-1], OutageBegan)
    await asyncio.sleep(0.2)
    one.budget.notice(OutageEnded(PauseReason.THROTTLED, 0.3))
    assert await waiting is not None
    assert 0.3 < other.pacer.paused_s <= CLOCK.now() - began_at


async def settled(budget: Budget) -> None:
    """Wait until what a run has to tell the others is told."""
    while budget._telling:
        await asyncio.gather(*budget._telling)


@needs_redis
async def test_a_permit_is_asked_for_again_where_leases_were_not_sure(
    connection: Connection,
) -> None:
    answers = [False, False, True]

    async def is_sure() -> bool:
        return answers.pop(0)

    budget = Budget(connection, "test", "one", CLOCK)
    pacer = shared_pacer(
        budget,
        Timetable.constant(100),
        pacing(),
        clock=CLOCK,
        notify=lambda _: None,
        is_sure=is_sure,
        first_probe=None,
    )
    assert await pacer.permit() is not None
    assert not answers


@needs_redis
async def test_a_stop_ends_the_wait_for_a_permit(connection: Connection) -> None:
    member = Member(connection, "one", 0.01)
    await AccountPermits(member.budget, SharedRate(0.01, lambda *_: None), None).take()
    waiting = asyncio.create_task(member.pacer.permit())
    await asyncio.sleep(0.05)
    member.pacer.stop()
    assert await waiting is None


@needs_redis
async def test_a_run_that_ends_needs_no_permit_and_no_lease(connection: Connection) -> None:
    budget = Budget(connection, "test", "one", CLOCK)

    async def is_sure() -> bool:
        budget.stop()
        raise UnavailableError("Redis is away", "")

    permits = AccountPermits(budget, SharedRate(10, lambda *_: None), is_sure)
    await permits.take()
    permits.give_back()
    assert permits.last_kind == EVEN


@needs_redis
async def test_without_redis_there_is_no_permit_and_with_it_again_there_is(tmp_path: Path) -> None:
    events: list[Event] = []
    with redis_server(tmp_path, "appendonly no") as server:
        async with Connection(
            server.url, clock=CLOCK, patience_s=10, notify=events.append
        ) as connection:
            member = Member(connection, "one", 50.0)
            await member.pacer.permit()
            server.kill()
            sending = asyncio.create_task(member.send(math.inf))
            while not connection.is_down:  # noqa: ASYNC110 - the connection has no event for it
                await asyncio.sleep(0.01)
            pause = member.pacer.pause(CLOCK.now())
            assert pause is not None
            assert pause.reason == "shared"
            # It comes back empty: there is nothing in it that would be missed.
            server.start()
            while len(events) < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            sent = len(member.times)
            while len(member.times) == sent:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            assert member.pacer.paused_s > 0
            member.pacer.stop()
            await asyncio.gather(sending, return_exceptions=True)
            await member.budget.aclose()
    assert [type(event) for event in events] == [OutageBegan, OutageEnded]


async def test_a_redis_that_stays_away_ends_the_run(tmp_path: Path) -> None:
    async with Connection(RedisServer(tmp_path).url, clock=CLOCK, patience_s=0.2) as connection:
        with pytest.raises(UnavailableError):
            await Member(connection, "one").pacer.permit()
