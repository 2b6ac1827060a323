"""The client, against servers that answer as none should: a reply each time, no exception."""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.raw_server import (
    PROCESSING,
    Answer,
    RawServer,
    Request,
    Sent,
    Then,
    always,
    response,
)
from tests.support.run_harness import KEY, client_for, settings
from tests.support.virtual_time import in_virtual_time
from worker import __version__
from worker.api.bodies import MAX_BODY_BYTES
from worker.api.client import Client
from worker.api.verdict import Answer as Answered
from worker.api.verdict import (
    NoAnswer,
    Reply,
    Settled,
    Throttled,
    Transient,
    Unfinished,
    judge_check,
    judge_completion,
)
from worker.core.addresses import parse_base_url
from worker.core.outcomes import Outcome

OK = response(PROCESSING)
CHUNKED = "Transfer-Encoding: chunked"
GZIP = "Content-Encoding: gzip"


def client(server: RawServer | str, timeout: str = "5s") -> Client:
    url = server if isinstance(server, str) else server.url
    return client_for(settings(api_base_url=url, api_timeout=timeout))


async def post(answer: Answer, timeout: str = "5s") -> Reply:
    async with RawServer(answer) as server, client(server, timeout) as it:
        return await it.complete("abc")


# --- what is sent ------------------------------------------------------------------------------


async def test_a_completion_is_one_post_with_the_key_as_it_is() -> None:
    async with RawServer(always(OK)) as server, client(server) as it:
        assert await it.complete("5eb2") == Answered(200, PROCESSING, None)
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/v1/workflowSessions/5eb2/complete")
    assert (request.body, request.headers["content-type"]) == (b"{}", "application/json")
    assert request.headers["authorization"] == KEY
    assert request.headers["user-agent"] == f"complete-sessions/{__version__}"
    assert request.headers["host"] == urlsplit(server.url).netloc
    assert {*request.headers} == {
        *("host", "authorization", "content-type", "accept", "user-agent", "content-length")
    }


async def test_a_request_leaves_nothing_behind_for_the_collector() -> None:
    async with RawServer(always(OK)) as server, client(server) as it:
        await it.complete("first")  # what is made once is made here
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(20):
                # As in a run: each in a task of its own.
                await asyncio.create_task(it.complete("abc"))
            gc.collect()
            left = [one for one in gc.garbage if isinstance(one, asyncio.Task | asyncio.Timeout)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    assert left == []


async def test_a_check_is_one_get() -> None:
    async with RawServer(always(OK)) as server, client(server) as it:
        await it.check("5eb2")
        await it.list_one()
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/v1/workflowSessions/5eb2"),
        ("GET", "/v1/workflowSessions?page=1&pageSize=1"),
    ]
    assert [request.headers["authorization"] for request in server.requests] == [KEY, KEY]


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_request_s() -> None:
    def answer(request: Request) -> Sent:
        return Sent(OK if "/first/" in request.path else response(b"{}", status="500 Oops"))

    async with RawServer(answer) as server, client(server) as it:
        assert await it.complete("first") == Answered(200, PROCESSING, None)
        await server.say(OK)
        assert await it.complete("second") == Answered(500, b"{}", None)
    assert [request.connection for request in server.requests] == [1, 2]


async def test_cookies_are_not_kept() -> None:
    answer = response(PROCESSING, "Set-Cookie: session=1; Path=/")
    async with RawServer(always(answer)) as server, client(server) as it:
        await it.complete("a")
        await it.complete("b")
    assert ["cookie" in request.headers for request in server.requests] == [False, False]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_carries_the_key_nowhere(status: int) -> None:
    async with RawServer(always(OK)) as elsewhere:
        moved = response(b"", f"Location: {elsewhere.url}/x", status=f"{status} Moved")
        reply = await post(always(moved))
        assert isinstance(reply, Answered)
        assert reply.status == status
        assert elsewhere.accepted == 0


async def test_one_connection_serves_many_requests() -> None:
    async with RawServer(always(OK)) as server, client(server) as it:
        for session_id in "abc":
            await it.complete(session_id)
    assert (server.accepted, len(server.requests)) == (1, 3)


# --- what is understood ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, id="100-continue first"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, id="early hints first"),
        pytest.param(
            response(b"18\r\n" + PROCESSING + b"\r\n0\r\n\r\n", CHUNKED, length=-1), id="chunked"
        ),
        pytest.param(response(gzip.compress(PROCESSING), GZIP), id="gzip, unasked"),
        pytest.param(response(PROCESSING, status="200"), id="no reason phrase"),
        pytest.param(response(PROCESSING, "content-type: text/plain"), id="another type"),
        pytest.param(response(b"\n" + PROCESSING + b"\n"), id="blanks around"),
    ],
)
async def test_an_answer_is_understood_however_it_is_wrapped(data: bytes) -> None:
    verdict = judge_completion(await post(always(data)))
    assert verdict == Settled(Outcome.PROCESSING, 200, "processing")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + PROCESSING, id="HTTP/1.0"),
        pytest.param(response(PROCESSING, length=-1), id="no length"),
        pytest.param(response(PROCESSING, "Connection: close"), id="connection: close"),
    ],
)
async def test_an_answer_may_end_with_its_connection(data: bytes) -> None:
    async with RawServer(always(data, Then.CLOSE)) as server, client(server) as it:
        replies = [await it.complete("a"), await it.complete("b")]
    assert [judge_completion(reply) for reply in replies] == [
        Settled(Outcome.PROCESSING, 200, "processing")
    ] * 2
    assert server.accepted == 2


# --- what is not -------------------------------------------------------------------------------


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET, Then.HANG])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: appl", id="header without end"),
        pytest.param(response(PROCESSING[:10], length=24), id="half a body"),
        pytest.param(response(PROCESSING, length=500), id="length too long"),
        pytest.param(response(b'5\r\n{"sta\r\n', CHUNKED, length=-1), id="chunks without end"),
    ],
)
@in_virtual_time
async def test_an_answer_that_breaks_off_is_ambiguous(data: bytes, then: Then) -> None:
    reply = await post(always(data, then))
    assert isinstance(reply, NoAnswer)
    assert reply.error.type == ("timeout" if then is Then.HANG else "connection_reset")
    assert reply.may_have_arrived


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00\xff\x13 nonsense\r\n\r\n", id="garbage"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="another protocol"),
        pytest.param(PROCESSING, id="HTTP/0.9"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 50_000 + b"\r\n", id="many headers"),
        pytest.param(response(PROCESSING, length=5), id="length too short"),
        pytest.param(response(PROCESSING, "Content-Length: 3"), id="two lengths"),
        pytest.param(response(PROCESSING, length=-5), id="negative length"),
        pytest.param(response(b"zz\r\n{", CHUNKED, length=-1), id="chunk of no size"),
        pytest.param(response(PROCESSING, status="42 Odd"), id="no status"),
        pytest.param(response(PROCESSING, "X: a\0b"), id="null in a header"),
        pytest.param(response(b"no gzip", GZIP), id="broken gzip"),
    ],
)
async def test_what_is_not_http_is_ambiguous(data: bytes) -> None:
    reply = await post(always(data, Then.CLOSE))
    assert isinstance(reply, NoAnswer)
    assert reply.error.type in ("unexpected_response", "connection_reset")
    assert reply.may_have_arrived
    assert 0 < len(reply.error.message) <= 500
    assert reply.error.message.count("\n") == 0


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"x" * 10_000_000, id="10 MB"),
        pytest.param(b'{"status": "processing", "x": "' + b"y" * 10_000_000 + b'"}', id="JSON"),
    ],
)
async def test_of_a_long_body_only_the_beginning_is_read(body: bytes) -> None:
    reply = await post(always(response(body)))
    assert isinstance(reply, Answered)
    assert len(reply.body) == MAX_BODY_BYTES
    assert isinstance(judge_completion(reply), Transient)


def session_of(size: int, *, first: bytes = b"", last: bytes = b"") -> bytes:
    tasks = b'"tasks": ["' + b"t" * size + b'"]'
    return b"{" + b", ".join(part for part in (first, tasks, last) if part) + b"}"


STATUS = b'"id": "a", "status": "started"'


async def read_session(body: bytes, *headers: str) -> Reply:
    async with RawServer(always(response(body, *headers))) as server, client(server) as it:
        return await it.check("a")


@pytest.mark.parametrize("size", [0, 65_500, 65_536, 1_000_000, 16_000_000])
@pytest.mark.parametrize("where", ["first", "last"])
async def test_a_long_session_is_read_as_far_as_its_status(size: int, where: str) -> None:
    reply = await read_session(session_of(size, **{where: STATUS}))
    assert isinstance(reply, Answered)
    assert len(reply.body) <= MAX_BODY_BYTES
    assert judge_check(reply) == Unfinished(200)


@pytest.mark.parametrize(
    "body",
    [
        session_of(17_000_000, last=STATUS),
        session_of(100_000),
        b"[" + STATUS.replace(b"id", b"x") + b" " * 100_000,
        b"[" * 100_000,
        b"\xff" * 100_000,
    ],
)
async def test_a_long_body_without_a_status_tells_nothing(body: bytes) -> None:
    reply = await read_session(body)
    assert isinstance(reply, Answered)
    assert len(reply.body) <= MAX_BODY_BYTES
    assert isinstance(judge_check(reply), Transient)


async def test_a_page_of_the_list_is_one_get_and_comes_whole() -> None:
    page = b'{"page": 1, "items": [' + b'{"status": "started"}, ' * 10_000 + b"{}]}"
    async with RawServer(always(response(page))) as server, client(server) as it:
        reply = await it.list_sessions({"page": "1", "pageSize": "1000"})
    assert reply == Answered(200, page)
    [request] = server.requests
    assert (request.method, request.body) == ("GET", b"")
    assert request.path == "/v1/workflowSessions?page=1&pageSize=1000"
    assert request.headers["authorization"] == KEY


async def test_a_session_that_unpacks_to_too_much_is_cut() -> None:
    bomb = gzip.compress(session_of(50_000_000, first=STATUS), 9)
    reply = await read_session(bomb, GZIP)
    assert isinstance(reply, Answered)
    assert len(reply.body) <= MAX_BODY_BYTES
    assert isinstance(judge_check(reply), Transient)


async def test_of_a_body_that_unpacks_to_a_lot_only_the_beginning_is_read() -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)
    reply = await post(always(response(bomb, GZIP)))
    assert isinstance(reply, Answered)
    assert len(reply.body) <= MAX_BODY_BYTES


@in_virtual_time
async def test_an_endless_body_that_drips_runs_out_of_time() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"", length=10_000))
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.5)
        except (ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, client(url) as it:
        reply = await it.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("timeout", True)


# --- connections -------------------------------------------------------------------------------


async def test_a_connection_that_closed_between_requests_is_not_used() -> None:
    async with RawServer(always(OK, Then.CLOSE)) as server, client(server) as it:
        for session_id in "abc":
            assert await it.complete(session_id) == Answered(200, PROCESSING, None)
            await until_closed(it)
    assert server.accepted == 3


async def until_closed(it: Client) -> None:
    """Let the client's loop see that the server closed."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_connection_that_breaks_under_a_request_is_ambiguous_and_not_repeated() -> None:
    def answer(request: Request) -> Sent:
        return Sent(OK) if len(server.requests) == 1 else Sent(b"", Then.RESET)

    for method in ("complete", "check"):
        async with RawServer(answer) as server, client(server) as it:
            await getattr(it, method)("a")
            reply = await getattr(it, method)("b")
            assert isinstance(reply, NoAnswer)
            assert (reply.error.type, reply.may_have_arrived) == ("connection_reset", True)
            assert len(server.requests) == 2


async def test_a_connection_that_nobody_accepts_was_certainly_not_sent() -> None:
    async with RawServer(always(OK)) as server:
        url = server.url
    async with client(url) as it:
        reply = await it.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


async def test_a_connection_that_does_not_open_in_time_was_certainly_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            url = f"http://127.0.0.1:{port}/v1"
            given = settings(api_base_url=url, api_connect_timeout="50ms")
            async with client_for(given) as it:
                reply = await it.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


@in_virtual_time
async def test_a_connection_has_its_own_time_and_the_request_none_before_it_is_open() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            url = f"http://127.0.0.1:{port}/v1"
            given = settings(api_base_url=url, api_connect_timeout="10s", api_timeout="6s")
            async with client_for(given) as it:
                reply = await it.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
    assert loop.time() == pytest.approx(10.0, abs=0.01)


async def test_an_answer_to_nobody_is_not_taken_for_the_next_one() -> None:
    answer = response(b'{"type": "resource_not_found", "message": "no"}', status="404 N")

    def twice(request: Request) -> Sent:
        return Sent(OK + OK) if request.path.endswith("/a/complete") else Sent(answer)

    async with RawServer(twice) as server, client(server) as it:
        assert (await it.complete("a")).label == "200"
        assert (await it.complete("b")).label == "404"


async def test_a_name_that_is_not_found_was_certainly_not_sent_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    async with client("https://api.example.org/v1") as it:
        reply = await it.complete("abc")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", fullmatch=True)
HOST = st.one_of(
    st.lists(LABEL, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "invalid"])),
    st.text(min_size=1, max_size=70).map(lambda text: f"{text}.invalid"),
    st.sampled_from(["1", "127.1", "0x7f.1", "xn--.invalid", "xn--a-.invalid", "a" * 64]),
)


@given(HOST, st.one_of(st.none(), st.integers(1, 65535)))
@hypothesis_settings(max_examples=40, deadline=None)
def test_a_base_url_that_is_taken_and_leads_nowhere_was_certainly_not_sent_to(
    host: str, port: int | None
) -> None:
    try:
        url = parse_base_url(f"https://{host}{f':{port}' if port else ''}/v1")
    except ValueError:
        return

    async def ask() -> Reply:
        async with client(url) as it:
            return await it.complete("a")

    reply = asyncio.run(ask())
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


# --- when to come again ------------------------------------------------------------------------


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Nov 2020 01:00:00 GMT"])
async def test_without_a_date_of_the_servers_own_the_clock_here_has_to_do(date: str | None) -> None:
    ten_years_s = 10 * 365 * 86400.0
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=ten_years_s), usegmt=True)
    headers = [f"Retry-After: {until}", *([] if date is None else [f"Date: {date}"])]
    verdict = judge_completion(await post(always(response(b"{}", *headers, status="429 Slow"))))
    assert isinstance(verdict, Throttled)
    assert verdict.retry_after_s == pytest.approx(ten_years_s, rel=0.001)


async def test_a_date_to_retry_after_is_of_the_servers_own_clock() -> None:
    headers = ("Retry-After: Mon, 23 Nov 2020 01:01:30 GMT", "Date: Mon, 23 Nov 2020 01:00:00 GMT")
    verdict = judge_completion(await post(always(response(b"{}", *headers, status="429 Slow"))))
    assert isinstance(verdict, Throttled)
    assert verdict.retry_after_s == 90.0
