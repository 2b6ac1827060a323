"""Finds given ids in the API's list, by as few pages as it takes. Pure: no requests.

An id tells about when its session was created, so a page that begins at that time may show it, and
up to 999 others that were asked for as well. As a database chooses between a scan and look-ups, a
page is asked for where it is expected to show more ids than one; the rest is to be read one by one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from worker.core.durations import DAY_S
from worker.reading.sessions import ListedSession, Page
from worker.reading.walk import PAGE_SIZE, Span, Walk

_is_object_id: Final = re.compile(r"[0-9a-f]{24}", re.ASCII).fullmatch
_FIRST_OBJECT_ID_S: Final = 1_230_768_000
"""2009, in which MongoDB was released: what would be older is another kind of id."""

_SLACK_MS: Final = 2_000
"""Nobody promises that an id and its session are of the same second: so far from it is looked.
A choice: clocks of one cluster differ by less."""

_WINDOW_MS: Final = 1_000 + 2 * _SLACK_MS
"""An id tells a second; with the slack before and behind it, this is where its session may be."""

CREDIT: Final = 20
"""A list that has cost so many requests more than it saved is asked no more: it may lie, or not
hold what is asked for. A choice: a few seconds of requests; held from above by
`test_a_list_that_shows_nothing_costs_no_more_than_its_credit`."""


def created_second_ms(session_id: str, now_ms: int) -> int | None:
    """When the second began in which a session was created, by its id.

    Source: the MongoDB manual on ObjectId, of which the first 4 bytes are a time.

    Args:
        session_id: the id, of any form.
        now_ms: the time, in milliseconds since 1970: what lies more than a day ahead is no time.

    Returns:
        Milliseconds since 1970; None for an id that tells no time.
    """
    if not _is_object_id(session_id):
        return None
    second = int(session_id[:8], 16)
    is_time = second >= _FIRST_OBJECT_ID_S and second * 1000 <= now_ms + 1000 * DAY_S
    return second * 1000 if is_time else None


class Search:
    """One search for many ids: ask `query`, give the answer to `take`, until `query` is None.

    What no page has shown, or is worth a page, is in `rest`: absence from a list proves nothing.
    """

    def __init__(self, ids: Iterable[str], now_ms: int, page_size: int = PAGE_SIZE) -> None:
        self._created: dict[str, int] = {}
        self._rest: list[str] = []
        for session_id in dict.fromkeys(ids):
            created_ms = created_second_ms(session_id, now_ms)
            if created_ms is None:
                self._rest.append(session_id)
            else:
                self._created[session_id] = created_ms
        self._ascending = sorted((made, each) for each, made in self._created.items())
        self._span = self._span_of_all()
        self._walk = Walk(self._span, page_size)
        self._reach_ms = float(self._length_ms())
        self._credit = CREDIT

    @property
    def pages_fail(self) -> bool:
        """Whether the pages have shown too few of the ids that they should have."""
        return self._credit < 0

    @property
    def next_id(self) -> str:
        """The id with which the page of `query` begins."""
        return self._ascending[-1][1]

    def query(self) -> dict[str, str] | None:
        """The parameters of the next page; None where no page is worth its request."""
        while self._ascending:
            created_ms, session_id = self._ascending[-1]
            if not self._walk.finished and not self.pages_fail and self._is_worth_a_page():
                self._walk.skip_to(_end_of_window(created_ms))
                return self._walk.query()
            self._ascending.pop()
            self._leave(session_id)
        return None

    def take(self, page: Page) -> list[ListedSession]:
        """What of the answer was searched for, each once.

        Raises RefusedError where the list is not what it should be; then call `give_up`.
        """
        asked_before = self._before
        wanted = [each for each in self._walk.take(page) if each.id in self._created]
        for session in wanted:
            del self._created[session.id]
        self._credit = min(self._credit + len(wanted) - 1, CREDIT)
        self._learn_reach(page, asked_before)
        self._pass_over()
        return wanted

    def give_up(self) -> None:
        """Ask for no more pages: what was not shown by now is left to be read one by one."""
        self._walk.finished = True
        self._pass_over()

    def rest(self) -> list[str]:
        """The ids that are to be read one by one; each is given once."""
        rest, self._rest = self._rest, []
        return rest

    @property
    def _before(self) -> int:
        before = self._walk.before
        assert before is not None
        return before

    def _span_of_all(self) -> Span:
        if not self._ascending:
            return Span(0, 0)
        oldest_ms, newest_ms = self._ascending[0][0], self._ascending[-1][0]
        return Span(oldest_ms - _SLACK_MS - 1, _end_of_window(newest_ms))

    def _length_ms(self) -> int:
        return self._before - (self._span.created_after or 0)

    def _is_worth_a_page(self) -> bool:
        """Whether the next page is expected to show more ids than the one that it begins with."""
        begin = min(self._before, _end_of_window(self._ascending[-1][0]))
        end = begin - max(self._reach_ms, _WINDOW_MS)
        within = len(self._ascending) - bisect_left(self._ascending, (end + _SLACK_MS, ""))
        return within * min(1.0, self._reach_ms / _WINDOW_MS) > 1

    def _learn_reach(self, page: Page, asked_before: int) -> None:
        """How many milliseconds a page reaches: by its own, or by how many sessions are to come,
        whichever is more. What is thought too far costs little: a page shows the id with which it
        begins."""
        if not page.sessions:
            return
        oldest_ms = min(session.created_ms for session in page.sessions)
        length_ms = asked_before - (self._span.created_after or 0)
        share = len(page.sessions) / max(page.total, len(page.sessions))
        self._reach_ms = max(length_ms * share, float(asked_before - oldest_ms))

    def _pass_over(self) -> None:
        """Leave what should have been shown by now."""
        while self._ascending:
            created_ms, session_id = self._ascending[-1]
            is_over = self._walk.finished or created_ms - _SLACK_MS >= self._before
            if session_id in self._created and not is_over:
                return
            self._ascending.pop()
            self._leave(session_id)

    def _leave(self, session_id: str) -> None:
        if self._created.pop(session_id, None) is not None:
            self._rest.append(session_id)


def _end_of_window(created_ms: int) -> int:
    """The first millisecond in which an id's session was certainly not created."""
    return created_ms + 1_000 + _SLACK_MS
