"""Until when a run may be sure of its leases, whose beginning only Redis knows exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from tests.support.sample_events import HandClock
from worker.cluster.consumer import Consumer
from worker.cluster.queue import Queue, QueueEntry
from worker.core.outcomes import Item

LEASE_S = 30.0
REQUEST_S = 10.0


class SlowQueue:
    """Begins a lease when it is asked for, and takes `answer_s` to say so, and until it may."""

    name = "slow"

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.answer_s = 0.0
        self.begun_at = 0.0
        self.fetches_may_end, self.renewals_may_end = asyncio.Event(), asyncio.Event()
        self.fetches_may_end.set()
        self.renewals_may_end.set()
        self._left = ["a", "b"]

    async def fetch(
        self, consumer: str, lease_s: float, most: int
    ) -> tuple[list[QueueEntry], bool]:
        del consumer, lease_s, most
        self._answer()
        session_id = self._left.pop(0)
        await self.fetches_may_end.wait()
        return [QueueEntry(f"{session_id}-1", Item(session_id, 1))], True

    async def renew(self, consumer: str, places: Sequence[str]) -> list[str]:
        del consumer, places
        self._answer()
        await self.renewals_may_end.wait()
        return []

    def _answer(self) -> None:
        self.begun_at = self._clock.now()
        self._clock.seconds += self.answer_s


class Worker:
    """A consumer of a slow queue."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.queue = SlowQueue(self.clock)
        self.consumer = Consumer(
            cast("Queue", self.queue),
            "me",
            slots=8,
            lease_s=LEASE_S,
            request_s=REQUEST_S,
            stays=False,
            clock=self.clock,
        )

    async def is_sure_at(self, seconds: float) -> bool:
        """Without a renewal: one that is not sure asks for it."""
        self.clock.seconds, asked_at = seconds, self.queue.begun_at
        is_sure = await self.consumer.is_sure()
        assert is_sure == (self.queue.begun_at == asked_at)
        return is_sure


async def test_a_lease_is_counted_from_when_it_was_asked_for() -> None:
    worker = Worker()
    worker.queue.answer_s = 4.0
    assert [item.id for item in await worker.consumer.take(1)] == ["a"]
    assert await worker.is_sure_at(LEASE_S - REQUEST_S - 0.1)
    assert not await worker.is_sure_at(LEASE_S - REQUEST_S + 0.1)


async def test_a_renewed_lease_is_counted_from_when_the_renewal_was_asked_for() -> None:
    worker = Worker()
    await worker.consumer.take(1)
    worker.clock.seconds, worker.queue.answer_s = 5.0, 4.0
    await worker.consumer.renew()
    assert await worker.is_sure_at(5.0 + LEASE_S - REQUEST_S - 0.1)
    assert not await worker.is_sure_at(5.0 + LEASE_S - REQUEST_S + 0.1)


async def test_a_second_id_makes_the_lease_of_the_first_no_longer() -> None:
    worker = Worker()
    await worker.consumer.take(1)
    worker.clock.seconds = 8.0
    await worker.consumer.take(1)
    assert await worker.is_sure_at(LEASE_S - REQUEST_S - 0.1)
    assert not await worker.is_sure_at(LEASE_S - REQUEST_S + 0.1)


async def test_a_renewal_that_began_without_an_id_says_nothing_of_its_lease() -> None:
    """As after the whole process has stood still, with the answer to a fetch on its way."""
    worker = Worker()
    await worker.consumer.take(1)
    worker.queue.fetches_may_end.clear()
    worker.queue.renewals_may_end.clear()
    fetching = asyncio.ensure_future(worker.consumer.take(1))
    await asyncio.sleep(0)
    worker.clock.seconds = LEASE_S
    renewing = asyncio.ensure_future(worker.consumer.renew())
    await asyncio.sleep(0)
    worker.queue.fetches_may_end.set()
    assert [item.id for item in await fetching] == ["b"]
    worker.queue.renewals_may_end.set()
    await renewing
    assert not await worker.is_sure_at(LEASE_S + 1.0)
    assert await worker.is_sure_at(LEASE_S + 2.0)
