"""Requests through a proxy: what it reads, and what its refusals mean."""

from __future__ import annotations

import asyncio
import base64
import ssl

import pytest
import trustme
import uvloop

from tests.support.proxy import Proxy
from tests.support.raw_server import PROCESSING, RawServer, always, response
from tests.support.run_harness import KEY, client_for, settings
from worker import __version__
from worker.api.verdict import Answer, NoAnswer, Refused, Reply, judge_completion


@pytest.fixture(scope="module")
def serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.test").configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("credentials", "user_and_password"),
    [
        ("", None),
        ("jo:pw@", b"jo:pw"),
        ("jo@", b"jo:"),
        ("jo:@", b"jo:"),
        ("dom%5Cjo:p%40w%3A%2F%C3%A9@", b"dom\\jo:p@w:/\xc3\xa9"),
        ("jo:\u00e9@", b"jo:\xc3\xa9"),
    ],
)
async def test_a_proxy_reads_the_api_s_name_and_its_own_credentials_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
    trusting: ssl.SSLContext,
    serving: ssl.SSLContext,
    credentials: str,
    user_and_password: bytes | None,
) -> None:
    answer = always(response(PROCESSING))
    async with RawServer(answer, serving) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("https_proxy", f"http://{credentials}{proxy.address}")
        async with client_for(settings(api_base_url="https://api.test/v1"), tls=trusting) as client:
            replies = [await client.complete("a"), await client.check("a")]
    assert replies == [Answer(200, PROCESSING), Answer(200, PROCESSING)]
    [head] = proxy.heads
    first, *headers = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    assert first == "CONNECT api.test:443 HTTP/1.1"
    expected = {"Host: api.test", f"User-Agent: complete-sessions/{__version__}"}
    if user_and_password is not None:
        encoded = base64.b64encode(user_and_password).decode()
        expected.add(f"Proxy-Authorization: Basic {encoded}")
    assert {line for line in headers if not line.startswith("Accept")} == expected
    assert KEY.encode() not in head + proxy.tunnelled
    for request in server.requests:
        assert request.headers["authorization"] == KEY
        assert "proxy-authorization" not in request.headers


REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (REFUSAL, "proxy_refused", "the proxy answered 407: it does not accept the user and"),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>",
            "connect_failed",
            "the proxy opened no tunnel: it answered 502 Bad Gateway",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\n\r\n<html>",
            "connect_failed",
            "the proxy opened no tunnel: it answered 403 Forbidden",
        ),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.test\r\n\r\n",
            "connect_failed",
            "the proxy opened no tunnel: it answered 301 Moved",
        ),
        (b"", "connect_failed", "the proxy opened no tunnel: Server disconnected"),
        (b"HTTP/1.1 20", "connect_failed", "the proxy opened no tunnel"),
        (b"<html>Welcome</html>\r\n\r\n", "connect_failed", "the proxy opened no tunnel"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "connect_failed", "the proxy opened no tunnel"),
    ],
)
async def test_where_a_proxy_opens_no_tunnel_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, kind: str, told: str
) -> None:
    async with Proxy(answer=answer) as proxy:
        monkeypatch.setenv("https_proxy", f"http://jo:hunter22@{proxy.address}")
        async with client_for(settings(api_base_url="https://api.test/v1")) as client:
            reply = await client.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == (kind, False)
    assert reply.error.message.startswith(told)
    assert "hunter22" not in reply.error.message
    assert isinstance(judge_completion(reply), Refused) == (kind == "proxy_refused")


async def test_a_proxy_that_is_not_there_was_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://jo:hunter22@127.0.0.1:9")
    async with client_for(settings(api_base_url="https://api.test/v1")) as client:
        reply = await client.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
    assert reply.error.message.startswith("no connection to the proxy: ")
    assert "hunter22" not in reply.error.message


async def test_a_server_behind_a_proxy_that_speaks_no_tls_was_told_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with RawServer(always(b"HTTP/1.1 400 Bad\r\n\r\n")) as plain, Proxy(plain.port) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        given = settings(api_base_url="https://api.test/v1", api_connect_timeout="1s")
        async with client_for(given) as client:
            reply = await client.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
    assert KEY.encode() not in b"".join(proxy.heads) + proxy.tunnelled


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_proxy_that_is_spoken_to_by_tls_opens_a_tunnel_within_that(
    monkeypatch: pytest.MonkeyPatch,
    trusting: ssl.SSLContext,
    serving: ssl.SSLContext,
    authority: trustme.CA,
    loop: str,
) -> None:
    """On either loop: TLS within TLS is more than some event loops can."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(own)

    async def ask_twice() -> list[Reply]:
        answer = always(response(PROCESSING))
        async with RawServer(answer, serving) as server, Proxy(server.port, tls=own) as proxy:
            monkeypatch.setenv("https_proxy", f"https://jo:pw@{proxy.address}")
            api = settings(api_base_url="https://api.test/v1")
            async with client_for(api, tls=trusting) as client:
                replies = [await client.complete("a"), await client.check("a")]
        [head] = proxy.heads
        assert head.startswith(b"CONNECT api.test:443 HTTP/1.1\r\n")
        assert KEY.encode() not in head + proxy.tunnelled
        return replies

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(ask_twice()) == [Answer(200, PROCESSING), Answer(200, PROCESSING)]
