"""A page of the API's list as values, and times as the API writes them. Pure.

Follows the API's documentation of pagination and of the workflow session.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class ListedSession(msgspec.Struct, frozen=True):
    """A session as the list shows it. Times are milliseconds since 1970.

    `fields` is everything that the list said of it.
    """

    id: str
    status: str
    created_ms: int
    updated_ms: int
    fields: dict[str, Any]


class Page(msgspec.Struct, frozen=True):
    """`total` and `pages` count the sessions and the pages of all that the question is for."""

    sessions: tuple[ListedSession, ...]
    total: int
    pages: int


class _Envelope(msgspec.Struct, rename="camel"):
    items: list[dict[str, Any]]
    total_items: int
    pages: int


class _ListItem(msgspec.Struct, rename="camel"):
    id: str
    status: str
    created_at: datetime
    updated_at: datetime | None = None


def parse_page(body: bytes) -> Page | None:
    """The page in an answer's body; None where it is none, or any session lacks id or times."""
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
        sessions = tuple(map(_session, envelope.items))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Page(sessions, envelope.total_items, envelope.pages)


def _session(fields: dict[str, Any]) -> ListedSession:
    item = msgspec.convert(fields, _ListItem)
    return ListedSession(
        item.id,
        item.status,
        milliseconds(item.created_at),
        milliseconds(item.updated_at or item.created_at),
        fields,
    )


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970; a time without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND


def timestamp(since_1970_ms: int) -> str:
    """As the API writes a time: `2025-01-01T14:06:44.756Z`."""
    moment = datetime.fromtimestamp(since_1970_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
