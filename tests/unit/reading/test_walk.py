"""Going through the list, against a model of it that others create and complete sessions in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.errors import RefusedError
from worker.reading.sessions import ListedSession, parse_page, timestamp
from worker.reading.walk import Span, Walk
from worker.sandbox import answers
from worker.sandbox.listing import parse_query
from worker.sandbox.sessions import SessionSnapshot, Status

BORN_MS = 1_700_000_000_000


class ListModel:
    """The API's list: newest first, by the same rules as the sandbox's."""

    def __init__(self, created: list[int]) -> None:
        self.sessions: list[SessionSnapshot] = []
        for offset in sorted(created):
            self.create(offset)

    def create(self, offset_ms: int) -> None:
        made = BORN_MS + offset_ms
        self.sessions.append(SessionSnapshot(f"id{len(self.sessions)}", Status.STARTED, made, made))

    def complete(self, number: int) -> None:
        before = self.sessions[number % len(self.sessions)]
        changed = before._replace(status=Status.PROCESSING, updated_ms=BORN_MS + 10**9)
        self.sessions[self.sessions.index(before)] = changed

    def answer(self, query: dict[str, str]) -> bytes:
        asked = parse_query("&".join(f"{name}={value}" for name, value in query.items()))
        newest_first = sorted(self.sessions, key=lambda s: s.created_ms)[::-1]
        items, total = asked.cut(newest_first)
        return answers.page(items, asked.page, asked.page_size, total).body


def turn(walk: Walk, model: ListModel) -> list[ListedSession]:
    page = parse_page(model.answer(walk.query()))
    assert page is not None
    return walk.take(page)


@given(
    st.lists(st.integers(0, 12), max_size=40),
    st.integers(1, 5),
    st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=30),
)
def test_none_is_missed_and_none_comes_twice_while_others_create_and_complete(
    created: list[int], page_size: int, deeds: list[tuple[bool, int]]
) -> None:
    model = ListModel(created)
    there = {session.id for session in model.sessions}
    walk = Walk(Span(), page_size)
    seen: list[str] = []
    while not walk.finished:
        seen += [session.id for session in turn(walk, model)]
        for creates, number in [deeds.pop()] if deeds else []:
            if creates:
                model.create(13 + number)
            elif model.sessions:
                model.complete(number)
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(-1, 10), st.integers(-1, 10))
def test_a_span_holds_what_was_created_within_it(
    created: list[int], after: int, before: int
) -> None:
    model = ListModel(created)
    walk = Walk(Span(BORN_MS + after, BORN_MS + before), 4)
    seen = []
    while not walk.finished:
        seen += [session.created_ms - BORN_MS for session in turn(walk, model)]
    assert sorted(seen) == sorted(offset for offset in created if after < offset < before)


def test_a_list_that_does_not_heed_the_times_is_refused() -> None:
    model = ListModel([1, 2, 3])
    walk = Walk(Span(created_before=BORN_MS + 2))
    page = parse_page(model.answer({}))
    assert page is not None
    with pytest.raises(RefusedError, match="does not heed createdAfter and createdBefore"):
        walk.take(page)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"items": 3}', b'{"items":[{}],"totalItems":1,"pages":1}'],
)
def test_what_is_no_page_is_none(body: bytes) -> None:
    assert parse_page(body) is None


def test_a_session_keeps_all_that_the_list_says_of_it() -> None:
    item = {"id": "a", "status": "started", "createdAt": timestamp(BORN_MS), "more": [1]}
    page = parse_page(json.dumps({"items": [item], "totalItems": 1, "pages": 1}).encode())
    assert page is not None
    (session,) = page.sessions
    assert session.fields == item
    assert (session.created_ms, session.updated_ms) == (BORN_MS, BORN_MS)
