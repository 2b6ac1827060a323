"""The leases of a queue's ids, in virtual time: who may work on what, and who waits for it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.support import shared_queues
from tests.support.model_redis import model_connection
from tests.support.shared_queues import items, outcomes, record
from tests.support.virtual_time import VirtualClock, in_virtual_time
from worker.cluster.consumer import Consumer
from worker.cluster.queue import Queue
from worker.core.outcomes import Item, Outcome

LEASE_S = 30.0

shift_on = partial(shared_queues.shift_on, lease_s=LEASE_S, clock=VirtualClock())


async def lease_over() -> None:
    await asyncio.sleep(LEASE_S + 1.0)


@pytest.fixture
def queue() -> Queue:
    return Queue(model_connection(), "night")


@in_virtual_time
async def test_a_dead_runs_ids_are_taken_over_when_their_lease_is_over_and_read_first(
    queue: Queue,
) -> None:
    await queue.add(items("a"))
    assert await shift_on(queue, "dead").take(8)
    survivor = shift_on(queue, "survivor")
    assert await survivor.take(8) == [Item("a", 1, check_first=True)]


@in_virtual_time
async def test_a_run_that_renews_keeps_its_ids(queue: Queue) -> None:
    await queue.add(items("a"))
    keeper = shift_on(queue, "keeper")
    await keeper.take(8)
    renewing = asyncio.create_task(keeper.renew_for_ever())
    await lease_over()
    entries, is_open = await queue.fetch("other", LEASE_S, 8)
    renewing.cancel()
    assert (entries, is_open) == ([], True)
    assert keeper.owns("a")


@in_virtual_time
async def test_a_run_that_slept_learns_what_others_took_over_before_it_sends(
    queue: Queue,
) -> None:
    await queue.add(items("a", "b"))
    sleeper = shift_on(queue, "sleeper")
    await sleeper.take(8)
    await lease_over()
    other = shift_on(queue, "other", slots=1)
    (taken,) = await other.take(8)
    assert not await sleeper.is_sure()
    assert await sleeper.is_sure()
    assert not sleeper.owns(taken.id)
    assert sleeper.owns("b" if taken.id == "a" else "a")
    assert sleeper.handed_over == 1


async def taken_over(queue: Queue) -> tuple[Consumer, Consumer]:
    """Who stood still with the id a, and who has it now."""
    await queue.add(items("a"))
    sleeper, other = (shift_on(queue, name) for name in ("sleeper", "other"))
    await sleeper.take(8)
    await lease_over()
    await other.take(8)
    return sleeper, other


@in_virtual_time
async def test_the_outcome_of_an_id_that_another_took_over_is_the_others_to_tell(
    queue: Queue,
) -> None:
    sleeper, other = await taken_over(queue)
    await sleeper.settle([record("a", Outcome.NOT_FOUND)])
    assert await outcomes(queue) == []
    await other.settle([record("a")])
    assert await outcomes(queue) == [("a", "processing")]


@in_virtual_time
async def test_ones_own_entries_whose_lease_was_over_are_let_go_and_read_first(
    queue: Queue,
) -> None:
    await queue.add(items("a", "b"))
    consumer = shift_on(queue, slots=2)
    await consumer.take(1)
    await lease_over()
    assert [item.id for item in await consumer.take(1)] == ["b"]
    assert not consumer.owns("a")
    assert await consumer.take(1) == [Item("a", 1, check_first=True)]
    assert consumer.owns("a")


@pytest.mark.parametrize("knows", [True, False], ids=["it knows of the other", "it was away"])
@in_virtual_time
async def test_an_id_that_comes_back_waits_until_the_runner_has_let_it_go(
    queue: Queue, knows: bool
) -> None:
    await queue.add(items("a"))
    one = shift_on(queue, "one")
    await one.take(8)
    await lease_over()
    await shift_on(queue, "dies").take(8)
    if knows:
        await one.renew()
    await lease_over()
    waiting = asyncio.create_task(one.take(8))
    await asyncio.sleep(LEASE_S)
    assert not waiting.done()
    assert not one.owns("a")
    assert await waiting == [Item("a", 1, check_first=True)]
    assert one.owns("a")


@in_virtual_time
async def test_only_as_many_ids_are_taken_as_there_are_free_slots(queue: Queue) -> None:
    await queue.add(items("a", "b", "c"))
    consumer = shift_on(queue, slots=2)
    assert len(await consumer.take(1024)) == 2
    waiting = asyncio.create_task(consumer.take(1024))
    await asyncio.sleep(5.0)
    assert not waiting.done()
    await consumer.settle([record("a")])
    assert [item.id for item in await waiting] == ["c"]


@in_virtual_time
async def test_a_run_waits_for_what_others_hold_and_ends_when_they_have_settled_it(
    queue: Queue,
) -> None:
    await queue.add(items("a"))
    holder, waiter = shift_on(queue, "holder"), shift_on(queue, "waiter")
    await holder.take(8)
    await holder.renew()
    waiting = asyncio.create_task(waiter.take(8))
    await asyncio.sleep(5.0)
    assert not waiting.done()
    await holder.settle([record("a")])
    assert await waiting == []


@in_virtual_time
async def test_a_run_stays_while_somebody_adds_ids(queue: Queue) -> None:
    await queue.add([])
    await queue.hold_open("writer", 60)
    await queue.hold_open("dead", -1)
    consumer = shift_on(queue)
    waiting = asyncio.create_task(consumer.take(8))
    await asyncio.sleep(5.0)
    assert not waiting.done()
    await queue.add(items("late"))
    assert await waiting == items("late")
    await consumer.settle([record("late")])
    await queue.hold_open("writer", 0)
    assert await consumer.take(8) == []


@in_virtual_time
async def test_a_run_that_stays_waits_for_more_until_it_is_told_to_stop(queue: Queue) -> None:
    await queue.add([])
    consumer = shift_on(queue, stays=True)
    waiting = asyncio.create_task(consumer.take(8))
    await asyncio.sleep(5.0)
    assert not waiting.done()
    consumer.interrupt()
    assert await waiting == []
    assert not consumer.exhausted


@in_virtual_time
async def test_the_status_tells_who_holds_how_much_for_how_long(queue: Queue) -> None:
    await queue.add(items("a", "b", "c"))
    await shift_on(queue, "one", slots=2).take(8)
    await asyncio.sleep(5.0)
    (pending,) = (await queue.status()).pending
    assert (pending.consumer, pending.entries) == ("one", 2)
    assert pending.age_s == 5.0


@in_virtual_time
async def test_an_outcome_of_an_id_that_was_lost_is_told_to_nobody_and_ends_its_work(
    queue: Queue,
) -> None:
    sleeper, _ = await taken_over(queue)
    await sleeper.renew()
    await sleeper.settle([record("a")])
    assert await outcomes(queue) == []
    assert (sleeper.owns("a"), sleeper.handed_over) == (False, 0)


@in_virtual_time
async def test_an_id_that_came_back_and_is_lost_again_before_it_is_taken_is_forgotten(
    queue: Queue,
) -> None:
    await queue.add(items("a"))
    consumer = shift_on(queue)
    await consumer.take(8)
    await lease_over()
    waiting = asyncio.create_task(consumer.take(8))
    await asyncio.sleep(5.0)
    assert not consumer.owns("a")
    waiting.cancel()
    await lease_over()
    await shift_on(queue, "other").take(8)
    await consumer.renew()
    assert not consumer.owns("a")
    assert consumer.handed_over == 1
