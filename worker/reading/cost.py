"""How many requests it will take to read the status of many ids. Pure."""

from __future__ import annotations

import math

from worker.reading.search import created_second_ms
from worker.reading.sessions import timestamp
from worker.reading.walk import PAGE_SIZE


class ReadingCost:
    """Counts ids by how they can be read; `now_ms` is the time in milliseconds since 1970."""

    def __init__(self, now_ms: int) -> None:
        self.listable = 0
        self.single = 0
        self._now_ms = now_ms
        self._created = (math.inf, -math.inf)

    def add(self, session_id: str, *, must_be_single: bool = False) -> None:
        """Count an id; one that may have been sent before must be read by itself."""
        created_ms = None if must_be_single else created_second_ms(session_id, self._now_ms)
        if created_ms is None:
            self.single += 1
            return
        self.listable += 1
        first, last = self._created
        self._created = min(first, created_ms), max(last, created_ms)

    @property
    def ids(self) -> int:
        return self.listable + self.single

    @property
    def least(self) -> int:
        """The requests that are needed where every page is full of what is asked for."""
        return self.single + math.ceil(self.listable / PAGE_SIZE)

    def given_total(self, total: int) -> int:
        """The requests that are needed at most where the list holds so many sessions of the time in
        which the listable ids were made."""
        pages = math.ceil(max(total, self.listable) / (PAGE_SIZE - 1))
        return self.single + min(pages, self.listable)

    def query(self) -> dict[str, str]:
        """Asks the list how many sessions there are of that time; there must be a listable id."""
        first, last = map(int, self._created)
        span = {"createdAfter": timestamp(first - 1), "createdBefore": timestamp(last + 1000)}
        return {"page": "1", "pageSize": "1"} | span
