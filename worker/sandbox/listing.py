"""The list of all sessions: what a query asks for, and which sessions that are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

import msgspec

from worker.sandbox.sessions import Sessions, SessionSnapshot

MAX_PAGE_SIZE: Final = 1000
_DEFAULT_PAGE_SIZE: Final = 100
_NUMBER: Final = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII).fullmatch


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list. Times are milliseconds since 1970, and are not part of their range."""

    page: int
    page_size: int
    created_after: float
    created_before: float
    updated_after: float
    updated_before: float

    def holds(self, session: SessionSnapshot) -> bool:
        """Whether the session is on one of the pages."""
        return (
            self.created_after < session.created_ms < self.created_before
            and self.updated_after < session.updated_ms < self.updated_before
        )

    @property
    def filters_updates(self) -> bool:
        """Whether it asks for when sessions were updated."""
        return (self.updated_after, self.updated_before) != (float("-inf"), float("inf"))

    @property
    def place(self) -> slice:
        """Where the page stands among all that are asked for."""
        first = (self.page - 1) * self.page_size
        return slice(first, first + self.page_size)

    def cut(self, sessions: Iterable[SessionSnapshot]) -> tuple[list[SessionSnapshot], int]:
        """The page of the sessions that the query asks for, and how many are on all pages."""
        held = [session for session in sessions if self.holds(session)]
        return held[self.place], len(held)


def page_of(
    sessions: Sessions, query: ListQuery, now: float, lag_s: float
) -> tuple[list[SessionSnapshot], int]:
    """As `ListQuery.cut`, of all sessions as they were `lag_s` ago; no more are looked at than must
    be."""
    created = sessions.created_between(query.created_after, query.created_before)
    if query.filters_updates:
        return query.cut(sessions.snapshots(created, now, lag_s))
    return list(sessions.snapshots(created[query.place], now, lag_s)), len(created)


def parse_query(text: str) -> ListQuery:
    """Parse a query string. Raises ValueError, whose text names the parameter that is wrong."""
    given = {name: values[0] for name, values in parse_qs(text).items()}
    page_size = _number(given, "pageSize", _DEFAULT_PAGE_SIZE)
    if page_size > MAX_PAGE_SIZE:
        raise ValueError(f"pageSize must be {MAX_PAGE_SIZE} at most")
    return ListQuery(
        page=_number(given, "page", 1),
        page_size=page_size,
        created_after=_time(given, "createdAfter", float("-inf")),
        created_before=_time(given, "createdBefore", float("inf")),
        updated_after=_time(given, "updatedAfter", float("-inf")),
        updated_before=_time(given, "updatedBefore", float("inf")),
    )


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not _NUMBER(text):
        raise ValueError(f"{name} must be a positive number")
    return int(text)


def _time(given: Mapping[str, str], name: str, default: float) -> float:
    if name not in given:
        return default
    try:
        moment = datetime.fromisoformat(given[name])
    except ValueError:
        raise ValueError(f"{name} must be a time as 2025-01-01T14:06:44.756Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
