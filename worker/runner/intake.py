"""Takes ids from the source and sorts them: to be sent, settled already, duplicates, or no ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from worker.core.errors import WorkerError
from worker.core.outcomes import Item
from worker.core.tally import Tally
from worker.ledger import Standing
from worker.runner.job import Job, Policy
from worker.runner.ports import Ledger, Source

_CHUNK = 1024
"""Ids read ahead, so that a long row of settled ones costs few trips to the reader."""


class Intake:
    """The way from the source into the schedule.

    An id is in the journal, on disk, before `admit` returns it: its request may leave from then on.
    `limit` bounds how many ids are admitted; the first beyond it sets `limit_reached`.
    """

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        tally: Tally,
        policy: Policy,
        *,
        limit: int | None,
        on_invalid: Callable[[Item], None],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._tally = tally
        self._policy = policy
        self._limit = limit
        self._on_invalid = on_invalid
        self._unsorted: deque[Item] = deque()
        self.admitted = 0
        self.ended = False
        self.limit_reached = False
        self.failure: WorkerError | None = None

    @property
    def complete(self) -> bool:
        """Whether every line of the source was seen."""
        return self._source.exhausted and not self._unsorted and self.failure is None

    @property
    def limit_used_up(self) -> bool:
        return self._limit is not None and self.admitted >= self._limit

    async def admit(self, room: int) -> list[Job]:
        """Up to `room` jobs; waits for the source. An empty list where no job came of what was
        read, or at the end (`ended`)."""
        if not self._unsorted:
            await self._read()
        jobs: list[Job] = []
        while self._unsorted and len(jobs) < room and not self.ended:
            job = self._sort(self._unsorted.popleft())
            if job is not None:
                jobs.append(job)
        if jobs:
            await self._enter(jobs)
        return jobs

    async def count_rest(self, until: Callable[[], bool]) -> None:
        """Sort what is left without admitting any of it, till the end or till `until()`."""
        self.ended = True
        while not until():
            while self._unsorted:
                self._sort(self._unsorted.popleft())
            items = await self._take_rest()
            if not items:
                return
            self._unsorted.extend(items)

    async def _enter(self, jobs: list[Job]) -> None:
        try:
            await self._ledger.enter([job.id for job in jobs])
        except BaseException:
            self._tally.not_attempted += len(jobs)
            raise

    async def _read(self) -> None:
        try:
            items = await self._source.take(_CHUNK)
        except WorkerError as error:
            # What was read so far is still completed; the run says afterwards that there is more.
            self.failure = error
            items = []
        self._unsorted.extend(items)
        self.ended = self.ended or not items

    async def _take_rest(self) -> list[Item]:
        try:
            return await self._source.take_rest(_CHUNK)
        except WorkerError as error:
            self.failure = self.failure or error
            return []

    def _sort(self, item: Item) -> Job | None:
        tally = self._tally
        tally.input += 1
        if item.problem is not None:
            self._sort_invalid(item)
            return None
        standing = self._ledger.standing(item.id)
        if standing is Standing.SETTLED:
            tally.settled += 1
        elif standing is Standing.DUPLICATE:
            tally.duplicates += 1
        elif self.ended or self.limit_used_up:
            self.limit_reached = self.limit_reached or not self.ended
            self.ended = True
            tally.not_attempted += 1
        else:
            self.admitted += 1
            recovered = standing is Standing.CHECK or item.check_first
            return Job(
                item,
                check_first=self._policy.check_first,
                unresolved=recovered and self._policy.on_ambiguous != "resend",
                was_ambiguous=recovered,
            )
        return None

    def _sort_invalid(self, item: Item) -> None:
        if self.ended:
            self._tally.not_attempted += 1
        else:
            self._on_invalid(item)
