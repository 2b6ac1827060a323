"""A queue in Redis and a run's share of it: leases, what comes again, one outcome each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from tests.support import shared_queues
from tests.support.redis_server import SAFE, RedisServer, needs_redis, redis_server
from tests.support.shared_queues import items, outcomes, record
from worker.cluster.connection import Connection
from worker.cluster.consumer import Consumer
from worker.cluster.queue import IdsLostError, Queue, QueueGoneError
from worker.cluster.queue_scripts import PARTS
from worker.cluster.shared_ledger import SharedLedger
from worker.core.clock import Clock
from worker.core.outcomes import Item, Outcome
from worker.core.secrets import learn
from worker.ledger import Ledger, Standing

pytestmark = needs_redis
shift_on = partial(shared_queues.shift_on, clock=Clock())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), *SAFE) as one:
        yield one


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    async with Connection(server.url, clock=Clock(), patience_s=10) as one:
        await one.ask(lambda redis: redis.flushall())
        yield one


@pytest.fixture
async def queue(connection: Connection) -> Queue:
    return Queue(connection, "night")


async def test_an_id_is_queued_once_however_often_it_is_added(queue: Queue) -> None:
    assert await queue.add(items("a", "b", "a")) == 2
    assert await queue.add(items("b", "c")) == 1
    assert (await queue.status()).left == 3


async def test_two_that_add_at_once_add_each_id_once(queue: Queue) -> None:
    ids = items(*(f"id{number}" for number in range(500)))
    added = await asyncio.gather(
        *(queue.add(ids[i : i + 50]) for i in range(0, 500, 50) for _ in "ab")
    )
    assert sum(added) == 500
    assert (await queue.status()).left == 500


async def test_a_settled_id_is_not_queued_again_and_a_failed_one_where_asked(queue: Queue) -> None:
    await queue.add(items("done", "broken"))
    consumer = shift_on(queue)
    await consumer.take(8)
    await consumer.settle([record("done"), record("broken", Outcome.FAILED)])
    assert await queue.add(items("done", "broken")) == 0
    assert await queue.add(items("done", "broken"), "again") == 1
    assert await queue.add(items("done", "broken"), "again") == 0
    assert await consumer.take(8) == [Item("broken", 2, check_first=True)]


async def test_what_stands_in_the_queue_and_is_no_id_or_a_secret_is_never_sent(
    queue: Queue,
) -> None:
    """Other programs may add to the stream, and an id goes into a URL as it is."""
    learn("live_0aMiZu7o3Kq9f3a9")
    wrong = ("live_0aMiZu7o3Kq9f3a9", "x-live_0aMiZu7o3Kq9f3a9", "../clients/x")
    await queue.add([Item(id, 1) for id in (*wrong, "good")])  # noqa: A001
    consumer = shift_on(queue)
    taken = await consumer.take(8)
    assert [item.id for item in taken if item.problem is None] == ["good"]
    assert len({item.id for item in taken}) == 4
    assert "0aMiZu7o3Kq9" not in str(taken)
    await consumer.settle([record(item.id, Outcome.FAILED) for item in taken])
    assert (await queue.status()).left == 0


async def test_what_is_shown_under_another_name_than_it_was_queued_by_is_settled_by_that(
    queue: Queue,
) -> None:
    """A secret is shown nowhere, and of what is no id but a part; blanks around an id are none."""
    learn("live_0aMiZu7o3Kq9f3a9")
    wrong = [Item(id, 1) for id in ("live_0aMiZu7o3Kq9f3a9", "no\nid", "x" * 9000, " blank ")]  # noqa: A001
    await queue.add(wrong)
    consumer = shift_on(queue)
    taken = await consumer.take(8)
    await consumer.settle([record(item.id, Outcome.FAILED) for item in taken])
    status = await queue.status()
    assert (status.queued, status.settled, status.failed) == (4, 4, 4)
    assert status.adds_up
    assert await consumer.take(8) == []
    assert await queue.add(wrong, "repair") == 0
    assert "0aMiZu7o3Kq9" not in str(await queue.outcomes())
    assert await queue.add(wrong, "again") == 4


async def test_an_entry_goes_to_one_run_and_leaves_the_queue_when_it_is_settled(
    queue: Queue,
) -> None:
    await queue.add(items("a", "b"))
    one, other = shift_on(queue, "one", slots=1), shift_on(queue, "other", slots=1)
    assert await one.take(8) == [Item("a", 1)]
    assert await other.take(8) == [Item("b", 2)]
    await one.settle([record("a")])
    await other.settle([record("b")])
    assert await one.take(8) == []
    assert one.exhausted
    status = await queue.status()
    assert (status.left, status.queued, status.outcomes, status.pending) == (0, 2, 2, [])


class LateRenewals(Queue):
    """Renewals that reach Redis when they may."""

    async def renew(self, consumer: str, places: Sequence[str]) -> list[str]:
        await self.may_renew.wait()
        return await super().renew(consumer, places)

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection, name)
        self.may_renew = asyncio.Event()


async def test_a_renewal_that_comes_after_an_id_was_settled_takes_no_harm(
    connection: Connection,
) -> None:
    queue = LateRenewals(connection, "night")
    await queue.add(items("a", "b"))
    consumer = shift_on(queue)
    await consumer.take(2)
    renewing = asyncio.create_task(consumer.renew())
    await asyncio.sleep(0)
    await consumer.settle([record("a")])
    queue.may_renew.set()
    await renewing
    assert not consumer.owns("a")
    assert consumer.owns("b")
    assert consumer.handed_over == 0


async def test_what_is_handed_back_can_be_taken_at_once(queue: Queue) -> None:
    await queue.add(items("a"))
    leaving = shift_on(queue, "leaving", lease_s=30)
    await leaving.take(8)
    await leaving.hand_back()
    assert await shift_on(queue, "next", lease_s=30).take(8) == [Item("a", 1, check_first=True)]


async def test_a_queue_that_is_gone_ends_the_run_and_nothing_of_it_is_sent(
    queue: Queue,
) -> None:
    await queue.add(items("a"))
    consumer = shift_on(queue)
    await consumer.take(8)
    assert await queue.drop()
    with pytest.raises(QueueGoneError, match="lost its data"):
        await consumer.take(8)
    assert not consumer.owns("a")


async def lose(connection: Connection, queue: Queue, session_id: str) -> None:
    """As a script that failed half way, or somebody's hand, would."""
    key = queue._keys[0]
    entries = await connection.ask(lambda redis: redis.xrange(key))
    (place,) = [place for place, fields in entries if fields["id"] == session_id]
    await connection.ask(lambda redis: redis.xdel(key, place))


async def test_an_id_that_got_lost_is_told_and_put_back_once(
    connection: Connection, queue: Queue
) -> None:
    await queue.add(items("a", "b"))
    await lose(connection, queue, "a")
    assert (await queue.status()).missing == 1
    consumer = shift_on(queue)
    await consumer.take(8)
    await consumer.settle([record("b")])
    with pytest.raises(IdsLostError, match="1 id of it got lost"):
        await consumer.take(8)
    assert await queue.add(items("a", "b"), "repair") == 1
    assert await queue.add(items("a", "b"), "repair") == 0
    assert await shift_on(queue).take(8) == [Item("a", 1, check_first=True)]
    assert (await queue.status()).adds_up


async def test_an_id_whose_consumer_was_deleted_is_told_and_put_back(
    connection: Connection, queue: Queue
) -> None:
    await queue.add(items("a", "b", "c"))
    await shift_on(queue, "deleted", slots=1).take(8)
    await shift_on(queue, "other", slots=1).take(8)
    await connection.ask(
        lambda redis: redis.xgroup_delconsumer(queue._keys[0], "workers", "deleted")
    )
    status = await queue.status()
    assert (status.left, status.missing, status.stranded) == (3, 0, 1)
    assert await queue.add(items("a", "b", "c"), "repair") == 1
    assert await shift_on(queue).take(8) == [Item("c", 3), Item("a", 1, check_first=True)]
    assert (await queue.status()).adds_up


@pytest.mark.parametrize("part", ["ids", "queued", "settled"])
async def test_a_queue_of_which_redis_has_lost_a_part_ends_every_run_on_it(
    connection: Connection, queue: Queue, part: str
) -> None:
    await queue.add(items("a", "b"))
    one, idle = shift_on(queue, "one"), shift_on(queue, "idle")
    await one.take(8)
    await connection.ask(lambda redis: redis.delete(queue._keys[PARTS.index(part)]))
    said = "is gone, or part of it"
    with pytest.raises(QueueGoneError, match=said):
        await one.settle([record("a")])
    with pytest.raises(QueueGoneError, match=said):
        await idle.take(8)
    with pytest.raises(QueueGoneError, match=said):
        await idle.renew()
    with pytest.raises(QueueGoneError, match=said):
        await queue.add(items("c"))


async def test_a_stream_that_is_lost_is_made_good_by_a_repair(
    connection: Connection, queue: Queue
) -> None:
    await queue.add(items("a", "b"))
    consumer = shift_on(queue, slots=1)
    await consumer.take(8)
    await consumer.settle([record("a")])
    await connection.ask(lambda redis: redis.delete(queue._keys[0]))
    assert await queue.add(items("a", "b"), "repair") == 1
    assert await shift_on(queue).take(8) == [Item("b", 2, check_first=True)]


async def test_outcomes_that_are_lost_are_told(connection: Connection, queue: Queue) -> None:
    await queue.add(items("a"))
    consumer = shift_on(queue)
    await consumer.take(8)
    await consumer.settle([record("a")])
    assert (await queue.status()).adds_up
    await connection.ask(lambda redis: redis.delete(queue._keys[PARTS.index("outcomes")]))
    status = await queue.status()
    assert (status.outcomes_lost, status.adds_up) == (1, False)


async def test_what_was_handed_back_counts_as_with_no_run(queue: Queue) -> None:
    await queue.add(items("a", "b"))
    leaving = shift_on(queue, slots=1)
    await leaving.take(8)
    await leaving.hand_back()
    status = await queue.status()
    assert (status.left, status.pending) == (2, [])


async def test_outcomes_can_be_read_on_from_where_one_was(queue: Queue) -> None:
    await queue.add(items("a", "b"))
    consumer = shift_on(queue)
    await consumer.take(8)
    await consumer.settle([record("a")])
    ((place, _),) = await queue.outcomes()
    await consumer.settle([record("b")])
    ((_, text),) = await queue.outcomes(place)
    assert json.loads(text)["id"] == "b"
    assert await queue.outcomes("9999999999999-0") == []


async def test_an_error_that_tells_of_no_lost_queue_is_not_taken_for_one(queue: Queue) -> None:
    await queue.add(items("a"))
    with pytest.raises(ResponseError, match="COUNT must be"):
        await queue.fetch("me", 30.0, 10**30)


class Failing(Connection):
    """Fails with what is told."""

    said = ""

    async def call(self, script: str, keys: Sequence[str], *args: str | int) -> Any:
        raise ResponseError(self.said)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("NOGROUP No such key 'a' or consumer group 'workers'", QueueGoneError),
        ("QUEUEGONE script: 104a, on @user_script:1.", QueueGoneError),
        ("value of 'NOGROUP' is not an integer", ResponseError),
        ("unknown command 'QUEUEGONE'", ResponseError),
    ],
)
async def test_a_queue_is_taken_for_gone_by_the_code_of_the_error(
    server: RedisServer, said: str, kind: type[Exception]
) -> None:
    async with Failing(server.url, clock=Clock(), patience_s=10) as failing:
        failing.said = said
        with pytest.raises(kind):
            await Queue(failing, "night").status()


class Book:
    """A results log whose outcomes are settled with the queue."""

    def __init__(self, directory: Path, consumer: Consumer) -> None:
        self.log = Ledger.open(directory / "results.jsonl", "run")
        self.ledger = SharedLedger(self.log, consumer)
        self.durable: list[str] = []
        self.serving = asyncio.ensure_future(self.ledger.serve(self._note))

    def _note(self, records: object) -> None:
        assert isinstance(records, list)
        self.durable += [one.id for one in records]


async def test_an_outcome_is_settled_when_it_is_on_disk(queue: Queue, tmp_path: Path) -> None:
    await queue.add(items("a"))
    consumer = shift_on(queue)
    await consumer.take(8)
    book = Book(tmp_path, consumer)
    await asyncio.sleep(0)
    book.ledger.append(record("a"))
    assert await outcomes(queue) == []
    assert await consumer.take(8) == []
    assert book.durable == ["a"]
    assert await outcomes(queue) == [("a", "processing")]
    await book.ledger.finish(good_order=True)
    await book.serving


async def test_what_fails_when_the_run_is_to_end_stays_for_others(
    queue: Queue, tmp_path: Path
) -> None:
    await queue.add(items("a", "b"))
    consumer = shift_on(queue)
    await consumer.take(8)
    book = Book(tmp_path, consumer)
    await asyncio.sleep(0)
    consumer.interrupt()
    book.ledger.append(record("a", Outcome.FAILED))
    book.ledger.append(record("b"))
    await book.ledger.finish(good_order=True)
    await book.serving
    assert await outcomes(queue) == [("b", "processing")]
    assert await shift_on(queue, "next").take(8) == [Item("a", 1, check_first=True)]


async def test_what_this_machines_log_knows_of_is_read_first(queue: Queue, tmp_path: Path) -> None:
    book = Book(tmp_path, shift_on(queue))
    assert book.ledger.standing("a") is Standing.NEW
    assert book.ledger.standing("a") is Standing.CHECK
    await book.ledger.finish(good_order=False)
    await book.serving
