"""Goes through the API's list by time, newest first, while sessions come in. Pure: no requests.

By page number a session that comes in meanwhile would push others onto a page that was read, or is
yet to be read again. So each page is asked for by the time at which the last one ended.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

from worker.core.errors import RefusedError
from worker.reading.sessions import ListedSession, Page, timestamp

PAGE_SIZE: Final = 1000
_BARREN_PAGES: Final = 3
"""So many pages in a row, turned by number, that hold nothing new are the same ones again.
Held by `test_sessions_that_are_updated_meanwhile_hide_no_others` and
`test_a_list_that_gives_the_same_page_for_ever_is_refused`."""


class Span(msgspec.Struct, frozen=True):
    """Which sessions: times in milliseconds since 1970, not part of their range; None: any."""

    created_after: int | None = None
    created_before: int | None = None
    updated_before: int | None = None


class Walk:
    """One way through the list: ask `query`, give the answer to `take`, until `finished`.

    Pages overlap by a millisecond, in which more sessions may stand than the last page had room
    for; those that were seen are left out. Where one millisecond holds more than a page, its pages
    are turned by number. All that was created at `before` or later has been seen, or skipped.
    """

    def __init__(self, span: Span, page_size: int = PAGE_SIZE) -> None:
        self.finished = False
        self.before = span.created_before
        self._span = span
        self._page_size = page_size
        self._number = 1
        self._barren = 0
        self._seen: dict[str, int] = {}

    def skip_to(self, before: int) -> None:
        """Leave out what was created at `before` (milliseconds since 1970) or later."""
        if self.before is None or before < self.before:
            self.before, self._number = before, 1

    def query(self) -> dict[str, str]:
        """The parameters of the next request."""
        times = {"createdAfter": self._span.created_after, "createdBefore": self.before}
        # A session that is updated meanwhile leaves the list of those that are not, and moves all
        # behind it to an earlier place: by number, one would be missed.
        if self._number == 1:
            times["updatedBefore"] = self._span.updated_before
        given = {name: timestamp(time) for name, time in times.items() if time is not None}
        return {"page": str(self._number), "pageSize": str(self._page_size)} | given

    def take(self, page: Page) -> list[ListedSession]:
        """The sessions of a page that were not seen before.

        Raises RefusedError where the list does not heed the times that it was asked for, is not
        sorted by them, or repeats its pages.
        """
        self._check_times(page)
        new = self._new_in(page)
        if self._is_last(page):
            self.finished = True
            return new
        oldest_ms = min(session.created_ms for session in page.sessions)
        self._remember(page, oldest_ms)
        if self.before is None or oldest_ms + 1 < self.before:
            self.before, self._number = oldest_ms + 1, 1
        else:
            self._number += 1
        return new

    def _is_last(self, page: Page) -> bool:
        """By both of its counts: the lesser one would hide sessions."""
        so_far = (self._number - 1) * self._page_size + len(page.sessions)
        return not page.sessions or (self._number >= page.pages and page.total <= so_far)

    def _new_in(self, page: Page) -> list[ListedSession]:
        unseen = {each.id: each for each in page.sessions if each.id not in self._seen}
        self._barren = 0 if unseen or self._number == 1 else self._barren + 1
        if self._barren == _BARREN_PAGES:
            raise RefusedError(
                "the API's list repeats its pages", "It cannot be gone through to its end"
            )
        return list(unseen.values())

    def _remember(self, page: Page, oldest_ms: int) -> None:
        """Only what stands in the overlap can come again: memory does not grow with the list."""
        self._seen |= {session.id: session.created_ms for session in page.sessions}
        self._seen = {key: made for key, made in self._seen.items() if made <= oldest_ms}

    def _check_times(self, page: Page) -> None:
        after = float("-inf") if self._span.created_after is None else self._span.created_after
        before = float("inf") if self.before is None else self.before
        # Times may be finer than a millisecond: what is within one counts as its beginning. And an
        # API that takes the times themselves into the range misses nothing by it.
        if not all(after <= session.created_ms <= before for session in page.sessions):
            raise RefusedError(
                "the API's list does not heed createdAfter and createdBefore",
                "Without them it cannot be gone through while sessions come in",
            )
        if any(later.created_ms > earlier.created_ms for earlier, later in pairwise(page.sessions)):
            raise RefusedError(
                "the API's list is not sorted by creation, newest first",
                "It cannot be gone through while sessions come in",
            )
