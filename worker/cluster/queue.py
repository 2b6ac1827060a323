"""A queue of ids in Redis, which any number of runs on any number of hosts work off together.

Kept under one hash tag: a stream of ids with one consumer group (an entry goes when it is settled,
so the stream's length is what is left), the set of ids ever queued, a stream of outcomes, and the
set of ids whose last outcome is failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final

import msgspec
from redis.exceptions import ResponseError

from worker.cluster import scripts
from worker.cluster.connection import Connection
from worker.core.errors import UnavailableError
from worker.core.outcomes import Item, Outcome, Record

_AT_ONCE: Final = 500


class QueueGoneError(UnavailableError):
    """There is no such queue, or not any more."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the queue {name!r} is gone: somebody dropped it, or Redis has lost its data",
            "What was settled stands in the results logs. To go on, `enqueue` the source again, and"
            " run with --check-first: Redis no longer knows what was sent",
        )


class Entry(msgspec.Struct, frozen=True):
    """An id that was delivered: its place in the stream, and the item to work on."""

    place: str
    item: Item


class Pending(msgspec.Struct):
    """What a consumer was given and has not settled; `age_s` is since it was given or renewed."""

    consumer: str
    entries: int = 0
    age_s: float = 0.0


class Status(msgspec.Struct, frozen=True):
    """`left` counts pending entries too; `failed` those ids that `enqueue --again` would add."""

    left: int
    queued: int
    outcomes: int
    failed: int
    pending: Sequence[Pending]


class Queue:
    """What can be asked of one queue. Times are seconds."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection
        parts = ("ids", "queued", "outcomes", "failed")
        self._keys = [f"complete-sessions:{{queue:{name}}}:{part}" for part in parts]

    async def add(self, items: Iterable[Item], *, again: bool = False) -> int:
        """Queue those ids that never were, with `again` also those that failed; how many."""
        pairs = [text for item in items for text in (item.id, item.line)]
        return int(await self._connection.call(scripts.ENQUEUE, self._keys, int(again), *pairs))

    async def exists(self) -> bool:
        return bool(await self._connection.ask(lambda redis: redis.exists(self._keys[0])))

    async def fetch(self, consumer: str, lease_s: float, most: int) -> tuple[list[Entry], int]:
        """Up to `most` entries that nobody works on, and how many the queue still holds.

        Those of a consumer whose lease is over come first, this one's own among them.
        """
        lease_ms = round(lease_s * 1000)
        left, found = await self._call(scripts.FETCH, consumer, lease_ms, most)
        return [_entry(*one) for one in found], left

    async def renew(self, consumer: str, places: Sequence[str]) -> list[str]:
        """Begin the lease of these anew; returns those that are the consumer's no more."""
        lost: list[str] = await self._call(scripts.RENEW, consumer, *places)
        return lost

    async def settle(self, consumer: str, records: Iterable[tuple[str, Record]]) -> None:
        """Take entries off the queue and add their outcomes; those of others are left alone."""
        args = [
            text
            for place, record in records
            for text in (
                place,
                msgspec.json.encode(record).decode(),
                record.id if record.outcome is Outcome.FAILED else "",
            )
        ]
        await self._call(scripts.SETTLE, consumer, *args)

    async def release(self, consumer: str, lease_s: float) -> int:
        """Let others take over at once what the consumer still holds; how many that is."""
        return int(await self._call(scripts.RELEASE, consumer, round(lease_s * 1000)))

    async def status(self) -> Status:
        ids, queued, outcomes, failed = self._keys
        return Status(
            left=await self._connection.ask(lambda redis: redis.xlen(ids)),
            queued=await self._connection.ask(lambda redis: redis.scard(queued)),
            outcomes=await self._connection.ask(lambda redis: redis.xlen(outcomes)),
            failed=await self._connection.ask(lambda redis: redis.scard(failed)),
            pending=await self._pending(),
        )

    async def outcomes(self, after: str | None = None) -> list[tuple[str, str]]:
        """Some outcomes, those behind the stream id `after`: stream id and record, as JSON."""
        start = "-" if after is None else f"({after}"
        page = await self._connection.ask(
            lambda redis: redis.xrange(self._keys[2], min=start, count=_AT_ONCE)
        )
        return [(place, fields["record"]) for place, fields in page]

    async def drop(self) -> bool:
        """Delete all of it; whether there was anything."""
        return bool(await self._connection.ask(lambda redis: redis.delete(*self._keys)))

    async def _pending(self) -> list[Pending]:
        found: dict[str, Pending] = {}
        start = "-"
        while page := await self._pending_page(start):
            for one in page:
                pending = found.setdefault(one["consumer"], Pending(one["consumer"]))
                pending.entries += 1
                pending.age_s = max(pending.age_s, one["time_since_delivered"] / 1000)
            start = f"({page[-1]['message_id']}"
        return list(found.values())

    async def _pending_page(self, start: str) -> list[dict[str, Any]]:
        page: list[dict[str, Any]] = await self._if_there(
            self._connection.ask(
                lambda redis: redis.xpending_range(
                    self._keys[0], scripts.GROUP, min=start, max="+", count=_AT_ONCE
                )
            )
        )
        return page

    async def _call(self, script: str, *args: str | int) -> Any:
        return await self._if_there(self._connection.call(script, self._keys, *args))

    async def _if_there(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            raise QueueGoneError(self.name) from error


def _entry(place: str, fields: Sequence[str], delivered: int) -> Entry:
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    check_first = bool(delivered) or "again" in values
    return Entry(place, Item(values["id"], int(values["line"]), check_first=check_first))
