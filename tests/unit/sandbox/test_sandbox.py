"""The stand-in of the API: what it answers, when it is away, what it counts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

import aiohttp
import pytest
import trustme

from tests.support.sandbox_caller import (
    KEY,
    ONE,
    STARTED,
    TWO,
    UNLIMITED,
    Caller,
    FrozenClock,
    post_raw,
    serving,
    until,
)
from worker.core.errors import UsageError
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.faults import parse_faults
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status


async def test_completing_a_started_session_triggers_its_checks_once() -> None:
    async with serving(UNLIMITED) as caller:
        reply = await caller.complete(ONE)
        assert (reply.status, reply.json) == (200, {"status": "processing"})
        assert (await caller.check(ONE)).json["status"] == "processing"
        assert (await caller.check(TWO)).json["status"] == "started"
        stats = caller.sandbox.stats(full=True)
        assert stats["triggers"] == {ONE: 1, TWO: 0}
        assert (stats["triggered"], stats["triggered_twice"], stats["sessions"]) == (1, {}, 2)


@pytest.mark.parametrize("status", [Status.STARTED, Status.PROCESSING, Status.COMPLETE])
async def test_completing_a_session_again_triggers_its_checks_again(status: Status) -> None:
    async with serving(SandboxConfig(sessions={ONE: status})) as caller:
        for _ in range(3):
            assert (await caller.complete(ONE)).status == 200
        assert caller.sandbox.stats()["triggered_twice"] == {ONE: 3}
        assert caller.sandbox.stats()["triggered"] == 1


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.ABANDONED])
async def test_a_session_that_was_given_up_cannot_be_completed(status: Status) -> None:
    async with serving(SandboxConfig(sessions={ONE: status})) as caller:
        reply = await caller.complete(ONE)
        assert (reply.status, reply.json["type"]) == (400, "invalid_request")
        assert caller.sandbox.stats()["triggered"] == 0
        assert (await caller.check(ONE)).json["status"] == status


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.COMPLETE])
async def test_a_completed_session_can_be_one_that_conflicts(status: Status) -> None:
    held = {ONE: status, TWO: Status.STARTED}
    async with serving(SandboxConfig(sessions=held, limit=0, conflict=True)) as caller:
        reply = await caller.complete(ONE)
        assert (reply.status, reply.json["type"]) == (409, "conflict")
        assert reply.json["message"] == f"Workflow session '{ONE}' is already {status}"
        assert [(await caller.complete(TWO)).status for _ in range(2)] == [200, 409]
        assert caller.sandbox.stats(full=True)["triggers"] == {ONE: 0, TWO: 1}


async def test_an_id_that_is_not_held_is_not_found() -> None:
    async with serving(UNLIMITED) as caller:
        for reply in (await caller.complete("absent"), await caller.check("absent")):
            assert reply.status == 404
            assert reply.json == {
                "type": "resource_not_found",
                "message": "Invalid workflow session id 'absent'",
            }


async def test_any_well_formed_id_exists_where_any_is_asked_for() -> None:
    async with serving(SandboxConfig(any_id=True)) as caller:
        assert (await caller.complete("whatever")).status == 200
        assert (await caller.complete("what%20ever")).status == 404
        assert caller.sandbox.sessions["whatever"].triggers == 1


async def test_a_processing_session_becomes_complete_after_its_time() -> None:
    clock = FrozenClock()
    async with serving(SandboxConfig(sessions=STARTED, processing_s=5), clock) as caller:
        await caller.complete(ONE)
        assert (await caller.check(ONE)).json["status"] == "processing"
        clock.time_s += 5
        read = (await caller.check(ONE)).json
        assert (read["status"], read["outcome"]) == ("complete", "clear")


async def test_the_list_shows_the_newest_first_page_by_page() -> None:
    held = {f"id{number}": Status.STARTED for number in range(5)}
    async with serving(SandboxConfig(sessions=held, limit=0)) as caller:
        page = (await caller.send("GET", "/v1/workflowSessions?page=2&pageSize=2")).json
        assert [item["id"] for item in page.pop("items")] == ["id2", "id1"]
        assert page == {"page": 2, "pageSize": 2, "totalItems": 5, "pages": 3}
        everything = (await caller.send("GET", "/v1/workflowSessions")).json
        assert (everything["pages"], len(everything["items"])) == (1, 5)


@pytest.mark.parametrize("query", ["page=0", "pageSize=x", "page=-1", "page=1e3"])
async def test_a_page_that_is_no_number_is_an_invalid_request(query: str) -> None:
    async with serving(UNLIMITED) as caller:
        reply = await caller.send("GET", f"/v1/workflowSessions?{query}")
        assert (reply.status, reply.json["type"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/workflowSessions/{ONE}/complete"),
        ("POST", f"/v1/workflowsessions/{ONE}/complete"),
        ("POST", f"/v1/workflowSessions/{ONE}"),
        ("POST", "/v1/workflowSessions//complete"),
        ("GET", f"/v1/workflowSessions/{ONE}/complete"),
        ("GET", "/v1"),
        ("PUT", f"/v1/workflowSessions/{ONE}"),
    ],
)
async def test_other_paths_answer_as_a_stranger_and_are_remembered(method: str, path: str) -> None:
    async with serving(UNLIMITED) as caller:
        reply = await caller.send(method, path, key=None)
        assert (reply.status, reply.json) == (404, {"message": f"Cannot {method} {path}"})
        assert caller.sandbox.stats()["foreign"] == [f"{method} {path}"]
        assert caller.sandbox.stats()["triggered"] == 0


@pytest.mark.parametrize("key", [None, "", "Bearer test_key", "sk_key"])
async def test_without_a_key_of_either_kind_nothing_passes(key: str | None) -> None:
    async with serving(UNLIMITED) as caller:
        reply = await caller.complete(ONE, key)
        assert (reply.status, reply.json["type"]) == (401, "unauthorized")
        assert caller.sandbox.stats()["triggered"] == 0


async def test_where_keys_are_named_no_other_one_passes() -> None:
    async with serving(SandboxConfig(sessions=STARTED, keys=frozenset({"live_a"}))) as caller:
        assert (await caller.complete(ONE, "live_b")).status == 401
        assert (await caller.complete(ONE, "live_a")).status == 200


async def leave_amid(caller: Caller) -> None:
    """Send a request, and close its connection once it has arrived."""
    request = asyncio.create_task(caller.complete(ONE))
    await until(lambda: caller.sandbox.stats()["in_flight"] == 1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_request_takes_effect_though_its_client_has_left() -> None:
    config = SandboxConfig(sessions=STARTED, latency_s=(0.5, 0.5))
    async with serving(config) as caller:
        await leave_amid(caller)
        assert caller.sandbox.sessions[ONE].triggers == 0
        await until(lambda: caller.sandbox.sessions[ONE].triggers == 1)
        assert caller.sandbox.stats()["requests"]["by_status"] == {"none": 1}


async def test_an_answer_takes_its_latency_and_requests_in_flight_are_counted() -> None:
    loop = asyncio.get_running_loop()
    async with serving(SandboxConfig(sessions=STARTED, latency_s=(0.03, 0.06))) as caller:
        started_at = loop.time()
        await asyncio.gather(*(caller.check(ONE) for _ in range(4)))
        assert loop.time() - started_at >= 0.03
        assert caller.sandbox.stats()["max_in_flight"] == 4
        assert caller.sandbox.stats()["in_flight"] == 0


@pytest.mark.parametrize(
    ("mode", "status", "body"),
    [
        (OutageMode.FIREWALL, 403, b"Access denied"),
        (OutageMode.NO_BACKEND, 404, b"default backend - 404"),
        (OutageMode.UNAVAILABLE, 503, b"503 Service Temporarily Unavailable"),
    ],
)
async def test_what_stands_in_front_of_an_absent_api_answers_everybody(
    mode: OutageMode, status: int, body: bytes
) -> None:
    async with serving(UNLIMITED) as caller:
        await caller.sandbox.begin_outage(mode)
        reply = await caller.complete(ONE)
        assert reply.status == status
        assert body in reply.body
        assert caller.sandbox.stats()["triggered"] == 0
        await caller.sandbox.end_outage()
        assert (await caller.complete(ONE)).status == 200


async def test_a_refusing_api_keeps_its_port_and_comes_back() -> None:
    async with serving(UNLIMITED) as caller:
        await caller.sandbox.begin_outage(OutageMode.REFUSE)
        with pytest.raises(aiohttp.ClientConnectorError):
            await caller.complete(ONE)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", caller.sandbox.port))
        await caller.sandbox.end_outage()
        assert (await caller.complete(ONE)).status == 200


async def test_a_dying_api_resets_its_connections_and_does_not_act() -> None:
    config = SandboxConfig(sessions=STARTED, latency_s=(2.0, 2.0))
    async with Sandbox(config) as sandbox:
        posting = asyncio.create_task(post_raw(sandbox, ONE))
        await until(lambda: sandbox.stats()["in_flight"] == 1)
        await sandbox.begin_outage(OutageMode.REFUSE)
        _, error = await posting
        assert isinstance(error, ConnectionResetError)
        await sandbox.end_outage()
        await completed_later(sandbox, TWO)
        assert sandbox.stats(full=True)["triggers"] == {ONE: 0, TWO: 1}


async def completed_later(sandbox: Sandbox, session_id: str) -> None:
    """Returns once a request has been answered that was sent after all others."""
    async with aiohttp.ClientSession(headers={"Authorization": KEY}) as http:
        await http.post(f"{sandbox.url}/workflowSessions/{session_id}/complete")


async def test_a_blackhole_takes_connections_and_never_answers() -> None:
    async with serving(UNLIMITED) as caller:
        await caller.sandbox.begin_outage(OutageMode.BLACKHOLE)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(caller.complete(ONE), 0.05)
        assert caller.sandbox.stats()["triggered"] == 0


async def test_who_connects_to_an_api_that_stalls_waits_for_it() -> None:
    async with serving(UNLIMITED) as caller:
        await caller.sandbox.begin_outage(OutageMode.STALL)
        waiting = [asyncio.create_task(caller.complete(ONE)) for _ in range(3)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(connected(caller.sandbox), 0.05)
        assert caller.sandbox.stats()["requests"]["total"] == 0
        await caller.sandbox.end_outage()
        assert [reply.status for reply in await asyncio.gather(*waiting)] == [200] * 3


async def test_an_api_that_stalls_answers_what_it_has_and_closes_what_is_open() -> None:
    config = SandboxConfig(sessions=STARTED, latency_s=(0.05, 0.05))
    async with Sandbox(config) as sandbox:
        reader, writer = await connected(sandbox)
        posting = asyncio.create_task(post_raw(sandbox, ONE))
        await until(lambda: sandbox.stats()["in_flight"] == 1)
        await sandbox.begin_outage(OutageMode.STALL)
        answer, error = await posting
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert error is None
        assert await reader.read() == b""
        writer.close()


async def connected(sandbox: Sandbox) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", sandbox.port)


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_connection_can_be_for_one_request_only(keep_alive: bool) -> None:
    async with Sandbox(SandboxConfig(any_id=True, keep_alive=keep_alive)) as sandbox:
        reader, writer = await connected(sandbox)
        request = (
            f"GET /v1/workflowSessions/{ONE} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n\r\n"
        )
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
        if not keep_alive:
            assert await reader.read() == b""
        writer.close()
    assert (b"Connection: close" in head) is not keep_alive


@pytest.mark.parametrize("mode", list(OutageMode))
async def test_an_outage_begins_and_ends_at_its_times(mode: OutageMode) -> None:
    config = SandboxConfig(sessions=STARTED, outages=((0.0, 0.1),), outage_mode=mode)
    async with serving(config) as caller:
        await until(lambda: caller.sandbox.outage is mode)
        await until(lambda: caller.sandbox.outage is None)
        assert (await caller.complete(ONE)).status == 200


async def test_the_statistics_need_no_key_and_do_not_count_themselves() -> None:
    async with serving(UNLIMITED) as caller:
        await caller.complete(ONE)
        await caller.complete("absent")
        told = (await caller.send("GET", "/sandbox/stats", key=None)).json
        assert told == caller.sandbox.stats()
        everything = (await caller.send("GET", "/sandbox/stats?full=1", key=None)).json
        assert everything == told | {"triggers": {ONE: 1, TWO: 0}}
        assert told["requests"] == {
            "total": 2,
            "by_method": {"POST": 2},
            "by_status": {"200": 1, "404": 1},
        }


@pytest.mark.parametrize(
    "rest",
    [
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
    ids=["chunks", "gzip"],
)
async def test_a_garbled_body_costs_its_connection_and_is_no_defect(
    rest: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(UNLIMITED) as caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", caller.sandbox.port)
        path = f"/v1/workflowSessions/{ONE}/complete"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n{rest}".encode())
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        assert caller.sandbox.sessions.triggered == 0
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_port_that_is_taken_is_a_usage_error() -> None:
    async with Sandbox(UNLIMITED) as sandbox:
        with pytest.raises(UsageError, match=f"port {sandbox.port} is in use"):
            await Sandbox(SandboxConfig(port=sandbox.port)).__aenter__()


async def test_it_serves_tls() -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(SandboxConfig(sessions=STARTED, tls=tls)) as caller:
        url = f"{caller.sandbox.url}/workflowSessions/{ONE}"
        headers = {"Authorization": KEY}
        async with caller.http.get(url, headers=headers, ssl=trusting) as response:
            assert response.status == 200
        caller.sandbox.service.faults = parse_faults("reset_midway=1")
        response = await caller.http.post(f"{url}/complete", headers=headers, ssl=trusting)
        with pytest.raises(aiohttp.ClientError):
            await response.read()
