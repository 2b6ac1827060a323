"""The jobs that a run has in hand: taken in while there is room, given out when they are due."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final

from msgspec.structs import replace

from worker.core.clock import Clock
from worker.runner.intake import Intake
from worker.runner.job import Job
from worker.runner.schedule import Schedule

_LIMIT_GRACE_S: Final = 0.5
"""Whether a live source holds ids beyond --limit shows only when it writes one. A choice: longer
would hold up the end of a run that nobody writes to, shorter would miss who writes slowly."""

_MOST_SETTLING: Final = 20_000
"""Ids that the API may still be at work on: 600 requests a second of which each needs 30 s."""

_UNSYNCED_WINDOWS: Final = 4
"""Settled ids whose lines are not on disk yet may be as many as this many windows. A
choice: memory against a disk that syncs slowly, where each sync waits for so many at most."""

_log: Final = logging.getLogger(__name__)


class Backlog:
    """Between the intake and the slots; `window` bounds the jobs that are not settled.

    What an earlier run may have sent, it sent no later than at `doubt_since` on the clock (None:
    than now), and the API may be at work on it for `settle_s` seconds.

    A job is in hand from `fill` until its outcome is on disk (`now_durable`) or it is let go.
    One task at a time may take jobs and wait for them.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        window: int,
        clock: Clock,
        settle_s: float,
        doubt_since: float | None,
    ) -> None:
        self.intake = intake
        self.in_hand = 0
        self._unsynced = 0
        self._settling: set[str] = set()
        self._settle_s = settle_s
        self._doubt_since = doubt_since
        self._window = window
        self._clock = clock
        self._schedule: Schedule[Job] = Schedule()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._interrupted = False

    @property
    def waiting(self) -> int:
        """How many jobs wait for a retry."""
        return self._schedule.waiting

    @property
    def unsynced(self) -> int:
        """How many jobs are settled, and wait for the disk."""
        return self._unsynced

    @property
    def next_due(self) -> float:
        """When the first retry comes due; inf where none waits."""
        due = self._schedule.next_due
        return math.inf if due is None else due

    @property
    def only_retries_left(self) -> bool:
        """Whether nothing can go before the first retry: no more ids come, or there is no room."""
        is_closed = self.intake.ended or not self._room_for_more()
        return is_closed and self._schedule.waiting == self.in_hand

    @property
    def only_told_to_wait(self) -> bool:
        """Whether only retries are left, and the API may not be at work on any of them."""
        return self.only_retries_left and not self._settling

    async def fill(self) -> None:
        """Take jobs in until the source or the limit ends, or `interrupt` is called."""
        try:
            while not self._interrupted and not self.intake.ended:
                for job in await self.intake.admit(await self._wait_for_room()):
                    self.in_hand += 1
                    self._offer(job)
                self._changed.set()
        finally:
            self.intake.close()
            self._changed.set()

    def is_any_due(self, now: float) -> bool:
        """Whether `take` gives a job."""
        return self._schedule.is_any_due(now)

    def take(self, now: float) -> Job | None:
        """A due retry, or else a fresh job; None where there is neither."""
        job = self._schedule.take(now)
        if job is not None:
            self._settling.discard(job.id)
        return job

    def retry(self, job: Job, due: float, *, settling: bool = False) -> None:
        """Keep a job until `due`; while it is `settling` it takes no place of the window."""
        self._schedule.retry(job, due)
        if settling:
            self._settling.add(job.id)
            self._room.set()
        self._changed.set()

    def now_written(self) -> None:
        """A job was settled: its line is with the ledger, but not on disk yet."""
        self._unsynced += 1

    def now_durable(self, count: int) -> None:
        """The lines of so many settled jobs are on disk."""
        self._unsynced -= count
        self.let_go(count)

    def let_go(self, count: int = 1) -> None:
        """So many jobs are in hand no more."""
        self.in_hand -= count
        self._room.set()
        self._changed.set()

    async def wait(self, until: float) -> None:
        """Park until something changes, or the clock shows `until`."""
        self._changed.clear()
        await self._clock.wait(self._changed, None if until == math.inf else until)

    async def is_used_up(self) -> bool:
        """With nothing in hand: whether nothing more comes. Waits for the source if that is open.

        Nothing comes at the source's end, and where the limit is used up while nobody writes.
        """
        if self.intake.ended:
            return True
        if not self.intake.limit_used_up:
            _log.debug("no id is in hand: the source has yet to give one")
            await self.wait(math.inf)
            return False
        _log.debug("no id is in hand and the limit is used up: does the source hold more?")
        self._changed.clear()
        return not await self._clock.wait(self._changed, self._clock.now() + _LIMIT_GRACE_S)

    def interrupt(self) -> None:
        """Take nothing more in, and wake whoever waits."""
        self._interrupted = True
        self.intake.interrupt()
        self._changed.set()
        self._room.set()

    def clear(self) -> list[Job]:
        """Give all jobs up; those that waited for a retry are returned, and with them those of a
        run that died which wait for their first request."""
        self._settling.clear()
        return self._schedule.clear()

    def _offer(self, job: Job) -> None:
        """The API may still be working on ids of a run that died."""
        if job.unresolved:
            now = self._clock.now()
            since = now if self._doubt_since is None else min(self._doubt_since, now)
            in_doubt = replace(job, settled_at=since + self._settle_s)
            self._schedule.retry(in_doubt, now)
        else:
            self._schedule.add(job)

    async def _wait_for_room(self) -> int:
        """How many ids may be taken in: many at a time, so that the journal is synced seldom."""
        while not self._interrupted:
            room = self._room_for_more()
            if room:
                return room
            self._room.clear()
            _log.debug(
                "no more ids are taken in: %d in hand, %d of them for the disk; the window is %d",
                self.in_hand,
                self._unsynced,
                self._window,
            )
            await self._room.wait()
        return 0

    def _room_for_more(self) -> int:
        settling = min(len(self._settling), _MOST_SETTLING)
        room = self._window - (self.in_hand - self._unsynced - settling)
        is_synced = self._unsynced < _UNSYNCED_WINDOWS * self._window
        return room if is_synced and room >= max(1, self._window // 2) else 0
