"""Goes through the API's list by time, newest first, while sessions come in. Pure: no requests.

By page number a session that comes in meanwhile would push others onto a page that was read, or is
yet to be read again. So each page is asked for by the time at which the last one ended.
"""

from __future__ import annotations

from typing import Final

import msgspec

from worker.core.errors import RefusedError
from worker.reading.sessions import ListedSession, Page, timestamp

PAGE_SIZE: Final = 1000


class Span(msgspec.Struct, frozen=True):
    """Which sessions: times in milliseconds since 1970, not part of their range; None: any."""

    created_after: int | None = None
    created_before: int | None = None
    updated_before: int | None = None


class Walk:
    """One way through the list: ask `query`, give the answer to `take`, until `finished`.

    Pages overlap by a millisecond, in which more sessions may stand than the last page had room
    for; those that were seen are left out. Where one millisecond holds more than a page, its pages
    are turned by number.
    """

    def __init__(self, span: Span, page_size: int = PAGE_SIZE) -> None:
        self.finished = False
        self._span = span
        self._page_size = page_size
        self._before = span.created_before
        self._number = 1
        self._seen: dict[str, int] = {}

    def query(self) -> dict[str, str]:
        """The parameters of the next request."""
        times = {
            "createdAfter": self._span.created_after,
            "createdBefore": self._before,
            "updatedBefore": self._span.updated_before,
        }
        given = {name: timestamp(time) for name, time in times.items() if time is not None}
        return {"page": str(self._number), "pageSize": str(self._page_size)} | given

    def take(self, page: Page) -> list[ListedSession]:
        """The sessions of a page that were not seen before.

        Raises RefusedError where the list does not heed the times that it was asked for.
        """
        self._check(page)
        new = [session for session in page.sessions if session.id not in self._seen]
        if not page.sessions or self._number >= page.pages:
            self.finished = True
            return new
        oldest_ms = min(session.created_ms for session in page.sessions)
        self._remember(page, oldest_ms)
        if self._before is None or oldest_ms + 1 < self._before:
            self._before, self._number = oldest_ms + 1, 1
        else:
            self._number += 1
        return new

    def _remember(self, page: Page, oldest_ms: int) -> None:
        """Only what stands in the overlap can come again: memory does not grow with the list."""
        self._seen |= {session.id: session.created_ms for session in page.sessions}
        self._seen = {key: made for key, made in self._seen.items() if made <= oldest_ms}

    def _check(self, page: Page) -> None:
        after = float("-inf") if self._span.created_after is None else self._span.created_after
        before = float("inf") if self._before is None else self._before
        if not all(after < session.created_ms < before for session in page.sessions):
            raise RefusedError(
                "the API's list does not heed createdAfter and createdBefore",
                "Without them it cannot be gone through while sessions come in",
            )
