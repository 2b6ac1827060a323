"""Ids, outcomes and consumers of a queue."""

from __future__ import annotations

import json

from worker.cluster.consumer import Consumer
from worker.cluster.queue import Queue
from worker.core.clock import Clock
from worker.core.outcomes import Error, Item, Outcome, Record, Via


def items(*ids: str) -> list[Item]:
    return [Item(one, line) for line, one in enumerate(ids, 1)]


def record(session_id: str, outcome: Outcome = Outcome.PROCESSING) -> Record:
    error = Error("http_400", "wrong") if outcome is Outcome.FAILED else None
    return Record(session_id, outcome, None, 200, error, 1, Via.COMPLETE, 1.0, 1.0, "", "run", 1)


async def outcomes(queue: Queue) -> list[tuple[str, str]]:
    return [
        (found["id"], found["outcome"])
        for found in (json.loads(text) for _, text in await queue.outcomes())
    ]


def shift_on(
    queue: Queue,
    consumer: str = "me",
    *,
    slots: int = 8,
    lease_s: float = 30.0,
    stays: bool = False,
    clock: Clock,
) -> Consumer:
    """A run's part of the queue; it ends with the queue unless it stays."""
    return Consumer(
        queue,
        consumer,
        slots=slots,
        lease_s=lease_s,
        request_s=lease_s / 3,
        stays=stays,
        clock=clock,
    )
