"""A run's results log beside a queue: what is on disk here is settled there as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from worker.cluster.consumer import Consumer
from worker.core.outcomes import Outcome, Record
from worker.ledger import Ledger, Standing

_SETTLED_AT_ONCE: Final = 256


class SharedLedger:
    """The results log of this machine, whose outcomes are settled with the queue as well.

    The queue's list of pending entries is the journal.
    """

    def __init__(self, log: Ledger, consumer: Consumer) -> None:
        self._log = log
        self._consumer = consumer
        self._left: set[str] = set()
        self._unsettled: list[Record] = []
        self._due = asyncio.Event()
        self._settling = asyncio.Lock()

    @property
    def recovered(self) -> int:
        return self._log.recovered

    @property
    def doubt_since(self) -> None:
        """Unknown: another host may have sent what the queue gives."""
        return None

    def standing(self, id: str) -> Standing:
        """The queue decides what is to be done; what this machine's log knows of is read first."""
        known = self._log.standing(id) is not Standing.NEW
        return Standing.CHECK if known else Standing.NEW

    def owns(self, id: str) -> bool:
        return self._consumer.owns(id)

    async def enter(self, ids: Sequence[str]) -> None:
        """They stand in the queue's list since they were delivered."""

    def append(self, record: Record) -> None:
        """What fails when the run is about to end is not given up: it stays for others to do."""
        if self._consumer.stopped and record.outcome is Outcome.FAILED:
            self._left.add(record.id)
        self._log.append(record)

    async def serve(self, on_durable: Callable[[Sequence[Record]], None]) -> None:
        def on_disk(records: Sequence[Record]) -> None:
            self._unsettled += [record for record in records if record.id not in self._left]
            self._due.set()
            on_durable(records)

        tasks = [
            asyncio.ensure_future(work)
            for work in (
                self._log.serve(on_disk),
                self._settle_for_ever(),
                self._consumer.renew_for_ever(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def finish(self, *, good_order: bool) -> None:
        await self._log.finish(good_order=good_order)
        await self._settle()
        if good_order:
            await self._consumer.hand_back()

    async def _settle_for_ever(self) -> None:
        while True:
            await self._due.wait()
            await self._settle()

    async def _settle(self) -> None:
        async with self._settling:
            self._due.clear()
            while self._unsettled:
                batch = self._unsettled[:_SETTLED_AT_ONCE]
                await self._consumer.settle(batch)
                del self._unsettled[: len(batch)]
