"""A queue of ids in Redis, which any number of runs on any number of hosts work off together.

Kept under one hash tag; `queue_scripts.PARTS` says what.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
from redis.exceptions import ResponseError

from worker.cluster import queue_scripts as scripts
from worker.cluster.connection import Connection
from worker.cluster.refusals import code_of
from worker.core.errors import UnavailableError
from worker.core.outcomes import Item, Outcome, Record
from worker.core.text import count
from worker.sources import item_of

_AT_ONCE: Final = 500
_GONE: Final = ("NOGROUP", "QUEUEGONE")


Mode = Literal["new", "again", "repair"]
"""Which ids to add: those that never were in the queue; also those that failed; also those that
count as queued and are lost."""


QUEUE_GONE: Final = "queue_gone"


class QueueGoneError(UnavailableError):
    """There is no such queue, or not any more, or not all of it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the queue {name!r} is gone, or part of it: somebody dropped it, or Redis has lost"
            " its data",
            "What was settled stands in the results logs. `enqueue SOURCE --repair` puts back the"
            " rest. Where it says the same, `queue drop --yes`, `enqueue` the source again, and run"
            " with --check-first: Redis no longer knows what was sent",
            QUEUE_GONE,
        )


class IdsLostError(UnavailableError):
    """The queue counts ids that it does not hold."""

    def __init__(self, name: str, lost: int) -> None:
        super().__init__(
            f"the queue {name!r} is worked off, but {count(lost, 'id')} of it got lost: queued,"
            " and neither left nor settled",
            f"`complete-sessions enqueue SOURCE --queue {name} --repair` puts back what is missing",
            QUEUE_GONE,
        )


class QueueEntry(msgspec.Struct, frozen=True):
    """An id that was delivered: its place in the stream, and the item to work on."""

    place: str
    item: Item


class Pending(msgspec.Struct):
    """What a consumer was given and has not settled; `age_s` is since it was given or renewed."""

    consumer: str
    entries: int = 0
    age_s: float = 0.0


class QueueStatus(msgspec.Struct, frozen=True):
    """What became of the ids of a queue.

    Of all that were `queued`, `settled` have an outcome, and the others are `left`, `missing` or
    `stranded`. `left` counts pending and stranded ones, too; `missing` stand nowhere, and
    `stranded` where no run will be given them. `failed` are those that `enqueue --again` would add.
    """

    left: int
    queued: int
    outcomes: int
    failed: int
    pending: Sequence[Pending]
    settled: int = 0
    missing: int = 0
    stranded: int = 0

    @property
    def lost(self) -> int:
        """Ids that nobody would complete, until `enqueue --repair`."""
        return self.missing + self.stranded

    @property
    def outcomes_lost(self) -> int:
        """Settled ids of which no outcome is kept here."""
        return max(self.settled - self.outcomes, 0)

    @property
    def adds_up(self) -> bool:
        return not self.lost and not self.outcomes_lost


class Queue:
    """What can be asked of one queue. Times are seconds."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection
        self._keys = [f"complete-sessions:{{queue:{name}}}:{part}" for part in scripts.PARTS]

    async def add(self, items: Iterable[Item], mode: Mode = "new") -> int:
        """Queue those ids that `mode` names; how many that were."""
        pairs = [text for item in items for text in (item.id, item.line)]
        return int(await self._call(scripts.ENQUEUE, mode, *pairs))

    async def exists(self) -> bool:
        """Whether there is anything of it."""
        return bool(await self._connection.ask(lambda redis: redis.exists(*self._keys)))

    async def hold_open(self, writer: str, for_s: float) -> None:
        """Have no run end on the queue for `for_s` seconds more, for `writer` adds to it; 0: it
        does so no longer."""
        await self._call(scripts.HOLD_OPEN, writer, round(for_s * 1000))

    async def fetch(
        self, consumer: str, lease_s: float, most: int
    ) -> tuple[list[QueueEntry], bool]:
        """Up to `most` entries that nobody works on, and whether there is or will be more.

        Those of a consumer whose lease is over come first, this one's own among them. Raises
        IdsLostError where nothing is left and not everything is settled.
        """
        lease_ms = round(lease_s * 1000)
        left, lost, is_open, found = await self._call(scripts.FETCH, consumer, lease_ms, most)
        if lost:
            raise IdsLostError(self.name, lost)
        return [_entry(*one) for one in found], bool(left or is_open)

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
                record.id,
                int(record.outcome is Outcome.FAILED),
                msgspec.json.encode(record).decode(),
            )
        ]
        await self._call(scripts.SETTLE, consumer, *args)

    async def release(self, consumer: str) -> int:
        """Let others take over at once what the consumer still holds; how many that is."""
        return int(await self._call(scripts.RELEASE, consumer))

    async def status(self) -> QueueStatus:
        """Where the ids are. Raises QueueGoneError where part of the queue is lost."""
        left, open_ids, settled, failed, outcomes, given, waiting = await self._call(scripts.STATUS)
        return QueueStatus(
            left=left,
            queued=open_ids + settled,
            outcomes=outcomes,
            failed=failed,
            pending=await self._pending(),
            settled=settled,
            missing=max(open_ids - left, 0),
            stranded=0 if waiting < 0 else max(left - given - waiting, 0),
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
                if one["consumer"] == scripts.RELEASED:
                    continue
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
            if code_of(error) not in _GONE:
                raise
            raise QueueGoneError(self.name) from error


def _entry(place: str, fields: Sequence[str], delivered: int) -> QueueEntry:
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    item = item_of(values["id"], int(values["line"]))
    if item.problem is not None:
        # Where a text is hidden or cut two of them may look alike; their places differ.
        return QueueEntry(place, msgspec.structs.replace(item, id=f"{item.id} at {place}"))
    check_first = bool(delivered) or "again" in values
    return QueueEntry(place, msgspec.structs.replace(item, check_first=check_first))
