"""The stand-in's list: pages, filters by time, a list that lags and one that refuses."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sandbox_caller import Caller, FrozenClock, serving
from worker.reading.sessions import timestamp
from worker.sandbox.config import SandboxConfig
from worker.sandbox.listing import page_of, parse_query
from worker.sandbox.sessions import Sessions, Status, created_ms

SECOND = 0x5EB2B61E  # 2020-05-06T13:05:34Z


def made_at(second: int) -> str:
    return f"{second:08x}02df0a0008f1cf2b"


OLDEST, MIDDLE, NEWEST = (made_at(SECOND + number) for number in range(3))
HELD = dict.fromkeys((MIDDLE, NEWEST, OLDEST), Status.STARTED)
LISTED = SandboxConfig(sessions=HELD, limit=0)


async def listed(caller: Caller, **parameters: Any) -> list[str]:
    page = (await caller.send("GET", f"/v1/workflowSessions?{urlencode(parameters)}")).json
    assert page["totalItems"] == len(page["items"])
    return [item["id"] for item in page["items"]]


async def status_of(caller: Caller, session_id: str) -> str:
    items = (await caller.send("GET", "/v1/workflowSessions")).json["items"]
    status: str = next(item["status"] for item in items if item["id"] == session_id)
    return status


async def test_ids_tell_when_a_session_was_made_and_the_newest_come_first() -> None:
    async with serving(LISTED) as caller:
        assert await listed(caller) == [NEWEST, MIDDLE, OLDEST]
        read = (await caller.check(MIDDLE)).json
        assert read["createdAt"] == read["updatedAt"] == "2020-05-06T13:05:35.000Z"


async def test_filters_by_time_leave_out_the_moment_that_they_name() -> None:
    moment = "2020-05-06T13:05:35.000Z"
    async with serving(LISTED) as caller:
        assert await listed(caller, createdAfter=moment) == [NEWEST]
        assert await listed(caller, createdBefore=moment) == [OLDEST]
        after = "2020-05-06T13:05:34.999Z"
        assert await listed(caller, createdAfter=after, createdBefore="2020-05-06T13:05:36Z") == [
            MIDDLE
        ]


async def test_a_completed_session_was_updated_then_and_not_created() -> None:
    async with serving(LISTED) as caller:
        await caller.complete(OLDEST)
        assert await listed(caller, updatedAfter="2026-01-01") == [OLDEST]
        assert await listed(caller, updatedBefore="2026-01-01") == [NEWEST, MIDDLE]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("pageSize=1001", "pageSize must be 1000 at most"),
        ("createdAfter=yesterday", "createdAfter must be a time"),
        ("updatedBefore=", None),
    ],
)
async def test_what_the_list_cannot_mean_is_an_invalid_request(
    query: str, said: str | None
) -> None:
    async with serving(LISTED) as caller:
        reply = await caller.send("GET", f"/v1/workflowSessions?{query}")
        if said is None:
            assert reply.status == 200
        else:
            assert (reply.status, reply.json["type"]) == (400, "invalid_request")
            assert said in reply.json["message"]


async def test_a_list_that_lags_shows_what_was_while_a_session_tells_what_is() -> None:
    clock = FrozenClock()
    config = SandboxConfig(sessions=HELD, limit=0, list_lag_s=5, processing_s=3)
    async with serving(config, clock) as caller:
        await caller.complete(NEWEST)
        assert (await caller.check(NEWEST)).json["status"] == "processing"
        assert await status_of(caller, NEWEST) == "started"
        clock.time_s += 5
        assert (await caller.check(NEWEST)).json["status"] == "complete"
        assert await status_of(caller, NEWEST) == "processing"
        clock.time_s += 3
        assert await status_of(caller, NEWEST) == "complete"


async def test_a_list_can_be_refused_while_sessions_can_be_read() -> None:
    config = SandboxConfig(sessions=HELD, limit=0, list_refused=True)
    async with serving(config) as caller:
        reply = await caller.send("GET", "/v1/workflowSessions")
        assert (reply.status, reply.json["type"]) == (403, "unauthorized")
        assert (await caller.check(NEWEST)).status == 200


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 7))
def test_pages_hold_every_session_once_and_in_order(seconds: list[int], size: int) -> None:
    ids = {f"{SECOND + second:08x}{number:016x}" for number, second in enumerate(seconds)}
    sessions = Sessions(dict.fromkeys(ids, Status.STARTED))
    seen = []
    for number in range(1, len(ids) // size + 2):
        query = parse_query(f"page={number}&pageSize={size}")
        page, total = page_of(sessions, query, now=0.0, lag_s=0.0)
        assert total == len(ids)
        assert len(page) <= size
        seen += [session.id for session in page]
    assert sorted(seen) == sorted(ids)
    assert [created_ms(each) for each in seen] == sorted(map(created_ms, ids), reverse=True)


@given(
    st.lists(st.integers(0, 6), max_size=20),
    st.one_of(st.none(), st.integers(0, 7)),
    st.one_of(st.none(), st.integers(0, 7)),
    st.integers(1, 4),
)
def test_the_quick_way_to_a_page_gives_what_looking_at_all_sessions_gives(
    seconds: list[int], after: int | None, before: int | None, page: int
) -> None:
    ids = [f"{SECOND + second:08x}{number:016x}" for number, second in enumerate(seconds)]
    sessions = Sessions(dict.fromkeys(ids, Status.STARTED))
    times = {"createdAfter": after, "createdBefore": before}
    given_times = {
        name: timestamp((SECOND + second) * 1000)
        for name, second in times.items()
        if second is not None
    }
    query = parse_query(urlencode({"page": page, "pageSize": 3} | given_times))
    everything = sessions.created_between(float("-inf"), float("inf"))
    assert page_of(sessions, query, 0.0, 0.0) == query.cut(sessions.snapshots(everything, 0.0, 0.0))
