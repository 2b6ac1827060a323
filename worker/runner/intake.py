"""Takes ids from the source and sorts them: to be sent, settled already, duplicates, or no ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from worker.core.errors import WorkerError
from worker.core.outcomes import Item
from worker.core.tally import Tally
from worker.ledger import Standing
from worker.runner.job import Job, Policy
from worker.runner.look_ahead import LookAhead
from worker.runner.ports import LedgerPort, SourcePort

_CHUNK = 1024
"""Ids read ahead, so that a long row of settled ones costs few trips to the reader."""


class Intake:
    """The way from the source into the schedule.

    An id is in the journal, on disk, before `admit` returns it: its request may leave from then on.
    `limit` bounds how many ids are admitted; the first beyond it sets `limit_reached`. With a
    `look_ahead` the status of up to `ahead` ids is read before they are returned.
    """

    def __init__(
        self,
        source: SourcePort,
        ledger: LedgerPort,
        tally: Tally,
        policy: Policy,
        *,
        limit: int | None,
        on_invalid: Callable[[Item], None],
        look_ahead: LookAhead | None,
        ahead: int,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._tally = tally
        self._policy = policy
        self._limit = limit
        self._on_invalid = on_invalid
        self._look_ahead = look_ahead
        self._ahead = ahead
        self._unsorted: deque[Item] = deque()
        self.admitted = 0
        self._is_closed = False
        self.limit_reached = False
        self.failure: WorkerError | None = None

    @property
    def complete(self) -> bool:
        """Whether every line of the source was seen."""
        return self._source.exhausted and not self._unsorted and self.failure is None

    @property
    def ended(self) -> bool:
        """Whether no more jobs come."""
        return self._is_closed and not self._look_ahead

    @property
    def limit_used_up(self) -> bool:
        """Whether every job that the limit allows was returned."""
        return self._is_limit_used_up and not self._look_ahead

    @property
    def _is_limit_used_up(self) -> bool:
        return self._limit is not None and self.admitted >= self._limit

    async def admit(self, room: int) -> list[Job]:
        """Up to `room` jobs; waits for the source. An empty list where no job came of what was
        read, or at the end (`ended`)."""
        jobs = await self._sort_next(room) if self._look_ahead is None else await self._known(room)
        if jobs:
            await self._enter(jobs)
        return jobs

    def interrupt(self) -> None:
        """End what `admit` waits for, as far as it is the status of what is ahead."""
        if self._look_ahead is not None:
            self._look_ahead.stop()

    def close(self) -> None:
        """Admit nothing more; what is ahead is not attempted."""
        self._is_closed = True
        if self._look_ahead is not None:
            self._tally.not_attempted += self._look_ahead.clear()

    async def count_rest(self, until: Callable[[], bool]) -> None:
        """Sort what is left without admitting any of it, till the end or till `until()`."""
        self.close()
        while not until():
            while self._unsorted:
                self._sort(self._unsorted.popleft())
            items = await self._take_rest()
            if not items:
                return
            self._unsorted.extend(items)

    async def _known(self, room: int) -> list[Job]:
        assert self._look_ahead is not None
        if not self._look_ahead:
            self._look_ahead.add(await self._sort_next(self._ahead))
        return await self._look_ahead.take(room)

    async def _sort_next(self, most: int) -> list[Job]:
        """Up to `most` of what has come from the source; waits where nothing has."""
        if not self._unsorted:
            await self._read(max(_CHUNK, most))
        jobs: list[Job] = []
        while self._unsorted and len(jobs) < most and not self._is_closed:
            job = self._sort(self._unsorted.popleft())
            if job is not None:
                jobs.append(job)
        return jobs

    async def _enter(self, jobs: list[Job]) -> None:
        try:
            await self._ledger.enter([job.id for job in jobs])
        except BaseException:
            self._tally.not_attempted += len(jobs)
            raise

    async def _read(self, most: int) -> None:
        try:
            items = await self._source.take(most)
        except WorkerError as error:
            # What was read so far is still completed; the run says afterwards that there is more.
            self.failure = error
            items = []
        self._unsorted.extend(items)
        self._is_closed = self._is_closed or not items

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
        elif self._is_closed or self._is_limit_used_up:
            self.limit_reached = self.limit_reached or not self._is_closed
            self._is_closed = True
            tally.not_attempted += 1
        else:
            self.admitted += 1
            recovered = standing is Standing.CHECK or item.check_first
            return Job.of(
                item,
                check_first=self._policy.check_first,
                unresolved=recovered and self._policy.on_ambiguous != "resend",
                was_ambiguous=recovered,
            )
        return None

    def _sort_invalid(self, item: Item) -> None:
        if self._is_closed:
            self._tally.not_attempted += 1
        else:
            self._on_invalid(item)
