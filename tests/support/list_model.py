"""A model of the API's list, in which others create and complete sessions."""

from __future__ import annotations

from collections.abc import Mapping

from worker.reading.sessions import Page, parse_page
from worker.sandbox import answers
from worker.sandbox.listing import parse_query
from worker.sandbox.sessions import SessionSnapshot, Status

BORN_MS = 1_700_000_000_000


def object_id(offset_ms: int, number: int) -> str:
    """An id that tells the second which holds `BORN_MS + offset_ms`."""
    return f"{(BORN_MS + offset_ms) // 1000:08x}{number:016x}"


class ListModel:
    """The API's list: newest first, by the same rules as the sandbox's.

    Sessions are created `offset_ms` after BORN_MS.
    """

    def __init__(self) -> None:
        self.sessions: list[SessionSnapshot] = []
        self.requests = 0

    def create(self, offset_ms: int, session_id: str | None = None) -> str:
        made = BORN_MS + offset_ms
        session_id = session_id or object_id(offset_ms, len(self.sessions))
        self.sessions.append(SessionSnapshot(session_id, Status.STARTED, made, made))
        return session_id

    def complete(self, number: int) -> None:
        before = self.sessions[number % len(self.sessions)]
        changed = before._replace(status=Status.PROCESSING, updated_ms=BORN_MS + 10**9)
        self.sessions[self.sessions.index(before)] = changed

    def answer(self, query: Mapping[str, str]) -> bytes:
        self.requests += 1
        asked = parse_query("&".join(f"{name}={value}" for name, value in query.items()))
        newest_first = sorted(self.sessions, key=lambda s: s.created_ms)[::-1]
        items, total = asked.cut(newest_first)
        return answers.page(items, asked.page, asked.page_size, total).body

    def page(self, query: Mapping[str, str]) -> Page:
        page = parse_page(self.answer(query))
        assert page is not None
        return page
