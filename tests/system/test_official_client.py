"""The vendor's own client for Python, unchanged, against the stand-in: both speak the same API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import complycube
import pytest
from complycube.error import ComplyCubeAPIError

from tests.support.sandbox_caller import ONE, STARTED, TWO, FrozenClock
from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status

MISSING = "000000000000000000000000"
CANCELLED = "5eb2b61e02df0a0008f1cf2d"


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    config = SandboxConfig(sessions={**STARTED, CANCELLED: Status.CANCELLED})
    async with Sandbox(config, FrozenClock()) as server:
        monkeypatch.setattr(complycube, "_base_url", server.url)
        yield server


async def call(request: Callable[[Any], Any], key: str = "test_key") -> Any:
    """What `request` makes of the client's workflow sessions, in a thread: the client blocks."""

    def send() -> Any:
        client = complycube.ComplyCubeClient(key)
        with client.client_session:
            return request(client.workflow_sessions)

    return await asyncio.to_thread(send)


async def test_it_completes_a_session(sandbox: Sandbox) -> None:
    completed = await call(lambda sessions: sessions.complete(ONE))
    assert completed.status == "processing"
    assert sandbox.stats(full=True)["triggers"] == {ONE: 1, TWO: 0, CANCELLED: 0}


async def test_it_reads_a_session(sandbox: Sandbox) -> None:
    read = await call(lambda sessions: sessions.get(ONE))
    assert (read.id, read.status, read.outcome) == (ONE, "started", None)
    assert read.created_at.startswith("2020-05-06T13:05:34.000")
    assert read.client_id
    assert sandbox.stats()["triggered"] == 0


async def test_it_lists_sessions(sandbox: Sandbox) -> None:
    listed = await call(lambda sessions: sessions.list(page=1, pageSize=2))
    assert [session.id for session in listed] == [CANCELLED, TWO]
    assert (listed.total_items, listed.pages) == (len(sandbox.sessions), 2)


@pytest.mark.usefixtures("sandbox")
async def test_it_lists_sessions_across_pages() -> None:
    listed = await call(lambda sessions: list(sessions.auto_list(pageSize=1)))
    assert [session.id for session in listed] == [CANCELLED, TWO, ONE]


async def test_it_lists_what_was_created_in_a_span_of_time(sandbox: Sandbox) -> None:
    span = {"createdAfter": "2020-05-06T13:05:33Z", "createdBefore": "2020-05-06T13:05:35Z"}
    listed = await call(lambda sessions: sessions.list(pageSize=1000, **span))
    assert len(listed) == len(sandbox.sessions)
    later = await call(lambda sessions: sessions.list(createdAfter="2020-05-06T13:05:34.000Z"))
    assert list(later) == []


@pytest.mark.usefixtures("sandbox")
async def test_it_is_refused_a_page_of_more_than_a_thousand() -> None:
    with pytest.raises(ComplyCubeAPIError, match="pageSize must be 1000 at most"):
        await call(lambda sessions: sessions.list(pageSize=1001))


@pytest.mark.parametrize("request_", ["complete", "get"])
@pytest.mark.usefixtures("sandbox")
async def test_it_is_refused_an_id_that_does_not_exist(request_: str) -> None:
    with pytest.raises(ComplyCubeAPIError, match=f"Invalid workflow session id '{MISSING}'"):
        await call(lambda sessions: getattr(sessions, request_)(MISSING))


@pytest.mark.usefixtures("sandbox")
async def test_it_is_refused_a_session_that_was_cancelled() -> None:
    with pytest.raises(ComplyCubeAPIError, match="is cancelled and cannot be completed"):
        await call(lambda sessions: sessions.complete(CANCELLED))


async def test_it_is_refused_a_wrong_key(sandbox: Sandbox) -> None:
    with pytest.raises(ComplyCubeAPIError, match="Invalid API key"):
        await call(lambda sessions: sessions.complete(ONE), key="wrong")
    assert sandbox.stats()["triggered"] == 0


@pytest.mark.parametrize(("key", "allowed"), [("test_key", 5), ("live_key", 10)])
async def test_it_is_throttled_above_the_limit_of_its_key(
    sandbox: Sandbox, key: str, allowed: int
) -> None:
    def complete_too_often(sessions: Any) -> None:
        for _ in range(allowed):
            sessions.complete(ONE)
        with pytest.raises(ComplyCubeAPIError, match="Too many requests"):
            sessions.complete(ONE)

    await call(complete_too_often, key)
    assert sandbox.stats()["triggered_twice"] == {ONE: allowed}
    assert sandbox.stats()["throttled"] == 1


async def test_an_id_that_it_does_not_quote_reaches_another_path(sandbox: Sandbox) -> None:
    with pytest.raises(ComplyCubeAPIError, match="Cannot POST /v1/clients/x"):
        await call(lambda sessions: sessions.complete("../clients/x?y="))
    assert sandbox.stats()["foreign"] == ["POST /v1/clients/x"]
