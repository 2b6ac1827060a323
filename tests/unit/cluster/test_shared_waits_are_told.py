"""With `-v -v` a run says why it has no permit of the account, and no id of the queue."""

from __future__ import annotations

import asyncio
import logging
import re
from random import Random
from typing import cast

import pytest

from tests.proofs.simulation.cluster.store import Store
from tests.support.model_redis import model_connection
from tests.support.shared_budgets import EPOCH_S, SlowRedis, Way
from tests.support.shared_queues import items, record, shift_on
from tests.support.virtual_time import VirtualClock, in_virtual_time
from worker.cluster.budget import Budget
from worker.cluster.connection import Connection
from worker.cluster.queue import Queue
from worker.cluster.shared_rate import SharedRate
from worker.core.events import OutageBegan, PauseReason
from worker.core.outcomes import Error


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "worker.cluster")
    return caplog


def members(*names: str) -> list[Budget]:
    loop = asyncio.get_running_loop()
    store = Store(lambda: int((EPOCH_S + loop.time()) * 1e6))
    redis = SlowRedis(store, Way(0.01), Random(1))
    connection, clock = cast("Connection", redis), VirtualClock()
    return [Budget(connection, "test", name, clock, lambda _: None) for name in names]


@in_virtual_time
async def test_who_waits_for_a_permit_and_until_when_is_told(
    told: pytest.LogCaptureFixture,
) -> None:
    (budget,) = members("one")
    rate = SharedRate(0.1, lambda *_: None)
    await budget.take(rate)
    assert told.messages[0] == "one waits for Redis to answer with permits of the account"
    told.clear()
    await budget.take(rate)
    assert any(re.fullmatch(r"one has its next permit in 10\.\d+ s", one) for one in told.messages)
    budget.stop()


@in_virtual_time
async def test_a_pause_of_the_account_is_told(told: pytest.LogCaptureFixture) -> None:
    one, other = members("one", "other")
    one.notice(OutageBegan(PauseReason.THROTTLED, 5, Error("429", ""), 5.0, 900.0))
    await asyncio.sleep(1.0)
    await other.take(SharedRate(10.0, lambda *_: None))
    said = [
        text for text in told.messages if text.startswith("the account has no permit for other")
    ]
    assert len(said) >= 10
    assert all(text.endswith("s: 429s of another run pause it") for text in said)
    assert " for 13.9" in said[0]
    assert "asked again in 1.000 s" in said[0]
    other.stop()


@in_virtual_time
async def test_why_no_id_is_taken_from_the_queue_is_told(told: pytest.LogCaptureFixture) -> None:
    queue = Queue(model_connection(), "night")
    await queue.add(items("a", "b"))
    one, other = (shift_on(queue, name, slots=1, clock=VirtualClock()) for name in ("one", "other"))
    await one.take(8)
    await other.take(8)
    full = asyncio.create_task(one.take(8))
    await asyncio.sleep(0.1)
    assert told.messages == [
        "no id is taken from the queue: 1 are in hand, and no more may be",
    ]
    full.cancel()
    told.clear()
    await one.settle([record("a")])
    idle = asyncio.create_task(one.take(8))
    await asyncio.sleep(0.1)
    assert told.messages == ["no id is taken from the queue: none is free"]
    idle.cancel()


@in_virtual_time
async def test_that_leases_are_renewed_first_is_told(told: pytest.LogCaptureFixture) -> None:
    queue = Queue(model_connection(), "night")
    await queue.add(items("a"))
    consumer = shift_on(queue, clock=VirtualClock())
    await consumer.take(8)
    await asyncio.sleep(25.0)
    assert not await consumer.is_sure()
    assert told.messages == [
        "nothing is sent before the leases are renewed: one may end before a request"
    ]
