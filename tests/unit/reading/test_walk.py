"""Going through the list, against a model of it that others create and complete sessions in."""

from __future__ import annotations

import json
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.list_model import BORN_MS, ListModel
from worker.core.errors import RefusedError
from worker.reading.sessions import ListedSession, milliseconds, parse_page, timestamp
from worker.reading.walk import Span, Walk


def model_of(created: list[int]) -> ListModel:
    model = ListModel()
    for offset_ms in sorted(created):
        model.create(offset_ms)
    return model


def turn(walk: Walk, model: ListModel) -> list[ListedSession]:
    return walk.take(model.page(walk.query()))


@given(
    st.lists(st.integers(0, 12), max_size=40),
    st.integers(1, 5),
    st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=30),
)
def test_none_is_missed_and_none_comes_twice_while_others_create_and_complete(
    created: list[int], page_size: int, deeds: list[tuple[bool, int]]
) -> None:
    model = model_of(created)
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
    model = model_of(created)
    walk = Walk(Span(BORN_MS + after, BORN_MS + before), 4)
    seen = []
    while not walk.finished:
        seen += [session.created_ms - BORN_MS for session in turn(walk, model)]
    assert sorted(seen) == sorted(offset for offset in created if after < offset < before)


def test_a_list_that_does_not_heed_the_times_is_refused() -> None:
    model = model_of([1, 2, 4])
    walk = Walk(Span(created_before=BORN_MS + 2))
    page = model.page({})
    with pytest.raises(RefusedError, match="does not heed createdAfter and createdBefore"):
        walk.take(page)


def test_a_list_that_gives_the_same_page_for_ever_is_refused() -> None:
    model = model_of([1, 1, 1])
    walk = Walk(Span(), 3)
    page = msgspec.structs.replace(model.page(walk.query()), pages=10**9)
    for _ in range(4):
        walk.take(page)
    with pytest.raises(RefusedError, match="repeats its pages"):
        walk.take(page)


def test_times_that_are_finer_than_a_millisecond_are_heeded_all_the_same() -> None:
    times = ["2025-01-01T14:06:44.756999Z", "2025-01-01T14:06:44.755001Z"]
    items = [{"id": time, "status": "started", "createdAt": time} for time in times]
    page = parse_page(json.dumps({"items": items, "totalItems": 2, "pages": 1}).encode())
    assert page is not None
    newest, oldest = page.sessions
    assert timestamp(newest.created_ms) == "2025-01-01T14:06:44.756Z"
    walk = Walk(Span(created_after=oldest.created_ms, created_before=newest.created_ms + 1))
    assert [session.id for session in walk.take(page)] == times


@given(st.integers(0, 4 * 10**12))
def test_a_time_is_read_as_it_is_written(since_1970_ms: int) -> None:
    assert milliseconds(datetime.fromisoformat(timestamp(since_1970_ms))) == since_1970_ms


def test_a_list_that_is_not_sorted_newest_first_is_refused() -> None:
    model = model_of([1, 2, 3])
    walk = Walk(Span(), 3)
    page = model.page(walk.query())
    with pytest.raises(RefusedError, match="not sorted by creation"):
        walk.take(msgspec.structs.replace(page, sessions=page.sessions[::-1]))


def test_a_list_that_counts_too_few_pages_is_gone_through_all_the_same() -> None:
    model = model_of(list(range(10)))
    walk = Walk(Span(), 3)
    seen = set()
    while not walk.finished:
        page = msgspec.structs.replace(model.page(walk.query()), pages=1)
        seen |= {session.id for session in walk.take(page)}
    assert len(seen) == 10


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.lists(st.integers(0, 99)))
def test_sessions_that_are_updated_meanwhile_hide_no_others(
    created: list[int], completed: list[int]
) -> None:
    model = model_of(created)
    walk = Walk(Span(updated_before=BORN_MS + 1000), 2)
    seen: list[str] = []
    while not walk.finished:
        seen += [session.id for session in turn(walk, model)]
        for number in completed[:3]:
            model.complete(number)
        completed = completed[3:]
    idle = {each.id for each in model.sessions if each.updated_ms < BORN_MS + 1000}
    assert idle <= set(seen)
    assert len(seen) == len(set(seen))


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
