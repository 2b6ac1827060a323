"""Which job goes next: a due retry before a fresh one. No clock, no loop: time is an argument."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Schedule(Generic[T]):
    """Fresh jobs in the order of arrival, and retries in the order of their due times.

    Jobs are never compared with each other, so they may be of any type.
    """

    def __init__(self) -> None:
        self._fresh: deque[T] = deque()
        self._retries: list[tuple[float, int, T]] = []
        self._order = 0

    @property
    def waiting(self) -> int:
        """How many jobs wait for a retry, due or not."""
        return len(self._retries)

    @property
    def next_due(self) -> float | None:
        """When the first retry comes due (it may be in the past); None where none waits."""
        return self._retries[0][0] if self._retries else None

    def is_any_due(self, now: float) -> bool:
        """Whether `take` gives a job."""
        return bool(self._fresh) or bool(self._retries and self._retries[0][0] <= now)

    def add(self, job: T) -> None:
        """Take in a job that has not been tried yet."""
        self._fresh.append(job)

    def retry(self, job: T, due: float) -> None:
        """Keep a job until `due`; those due at the same time go in the order they came in."""
        self._order += 1
        heapq.heappush(self._retries, (due, self._order, job))

    def take(self, now: float) -> T | None:
        """The next job, or None where there is nothing fresh and no retry is due."""
        if self._retries and self._retries[0][0] <= now:
            return heapq.heappop(self._retries)[2]
        return self._fresh.popleft() if self._fresh else None

    def clear(self) -> list[T]:
        """Give up all jobs; those that waited for a retry, by due time."""
        waiting = [job for _, _, job in sorted(self._retries, key=lambda entry: entry[:2])]
        self._retries.clear()
        self._fresh.clear()
        return waiting
