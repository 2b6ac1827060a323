"""Knows of many jobs at once whether their sessions are still started, before they are sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from worker.api.verdict import Settled, Unfinished
from worker.core.clock import Clock
from worker.runner.job import Job
from worker.runner.ports import Statuses, StatusSearch

_FRESH_SHARE = 0.5
"""A status that is so old, as a share of what is valid, is read anew before its job is given out:
the job has yet to wait for its turn. Held by
`test_what_is_known_for_too_long_is_read_again_with_others` and
`test_no_status_is_older_than_five_minutes_when_its_session_is_completed`."""


class LookAhead:
    """Jobs whose status is read before they are given out, by as few requests as it takes.

    Those whose session has ended go to `on_settled`; those that the statuses tell nothing of are
    given out to be read one by one, and so are those that may have been sent before: a list may
    lag. What is known is valid for `valid_s` seconds. `on_page` is called for each page of a list.
    """

    def __init__(
        self,
        statuses: Statuses,
        clock: Clock,
        *,
        valid_s: float,
        on_settled: Callable[[Job, Settled], None],
        on_page: Callable[[], None],
    ) -> None:
        self._statuses = statuses
        self._clock = clock
        self._valid_s = valid_s
        self._on_settled = on_settled
        self._on_page = on_page
        self._unknown: dict[str, Job] = {}
        self._ready: deque[Job] = deque()
        self._search: StatusSearch | None = None

    def __len__(self) -> int:
        return len(self._unknown) + len(self._ready)

    def add(self, jobs: Iterable[Job]) -> None:
        """Take jobs in, for `take` to give out once their status is known."""
        for job in jobs:
            if job.unresolved:
                self._ready.append(job)
            else:
                self._unknown[job.id] = job

    async def take(self, room: int) -> list[Job]:
        """Up to `room` jobs, after one request at the most; there may be none yet."""
        self._read_anew_what_is_old()
        if not self._ready and self._unknown:
            await self._read_on()
        return [self._ready.popleft() for _ in range(min(room, len(self._ready)))]

    def stop(self) -> None:
        """Send nothing more."""
        self._statuses.stop()

    def clear(self) -> int:
        """Forget all jobs; returns how many there were."""
        count = len(self)
        self._unknown.clear()
        self._ready.clear()
        return count

    async def _read_on(self) -> None:
        if self._search is None:
            self._search = self._statuses.search(list(self._unknown))
        page = await self._search.next_page()
        if page is None:
            self._ready += (self._unknown.pop(each) for each in self._search.rest())
            self._search = None
            return
        self._on_page()
        valid_until = self._clock.now() + self._valid_s
        for session_id, verdict in page:
            self._learn(self._unknown.pop(session_id), verdict, valid_until)

    def _learn(self, job: Job, verdict: Settled | Unfinished, valid_until: float) -> None:
        if isinstance(verdict, Settled):
            self._on_settled(job, verdict)
        else:
            self._ready.append(job.known_started(valid_until, by_list=True))

    def _read_anew_what_is_old(self) -> None:
        too_old_at = self._clock.now() + self._valid_s * _FRESH_SHARE
        while self._ready and self._ready[0].valid_until < too_old_at:
            job = self._ready.popleft()
            self._unknown[job.id] = job
