"""HTTPS: only a server that can prove its name is talked to, and nobody else sees the key."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.support.program import environment, run
from tests.support.raw_server import PROCESSING, RawServer, always, response
from tests.support.run_harness import RunHarness, backlog, client_for, ids, settings
from worker.api.verdict import NoAnswer, Reply
from worker.core.errors import ExitCode, UsageError

DONE = always(response(PROCESSING))

Issue = Callable[[trustme.CA], trustme.LeafCert]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def valid(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1")


def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))


def not_yet_valid(authority: trustme.CA) -> trustme.LeafCert:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    later = tomorrow + timedelta(days=1)
    return authority.issue_cert("127.0.0.1", not_before=tomorrow, not_after=later)


def of_another_name(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("api.example.com")


def of_another_authority(_: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("127.0.0.1")


async def test_a_valid_certificate_is_accepted(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with RawServer(DONE, serving(valid(authority))) as server:
        ended = await RunHarness(tmp_path, server.url).run(ids(3), tls=trusting)
    assert (ended.code, ended.outcomes) == (ExitCode.OK, {"processing": 3})


@pytest.mark.parametrize(
    ("issue", "why"),
    [
        (expired, "expired"),
        (not_yet_valid, "not yet valid"),
        (of_another_name, "IP address mismatch"),
        (of_another_authority, "certificate verify failed"),
    ],
)
async def test_an_invalid_certificate_stops_the_run_before_the_key_is_sent(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext, issue: Issue, why: str
) -> None:
    async with RawServer(DONE, serving(issue(authority))) as server:
        here = RunHarness(tmp_path, server.url, pace_concurrency=1)
        ended = await here.run(ids(9), tls=trusting)
        assert ended.code is ExitCode.REFUSED
        assert "certificate is not valid" in ended.finished.reason
        assert why in ended.finished.reason
        assert ended.outcomes == {"certificate_invalid": 1}
        assert ended.finished.tally.not_attempted == 8
        assert server.requests == []


async def test_the_command_trusts_whom_the_system_trusts(
    tmp_path: Path, authority: trustme.CA
) -> None:
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    async with RawServer(DONE, serving(valid(authority))) as server:
        command = ("run", backlog(tmp_path, *ids(2)), "--base-url", server.url)
        refused = await run(*command)
        assert (refused.code, server.requests) == (3, [])
        done = await run(*command, env=environment() | {"SSL_CERT_FILE": str(roots)})
        assert (done.code, done.last["processing"]) == (0, 2)


async def ask(url: str, tls: ssl.SSLContext) -> Reply:
    given = settings(api_base_url=url, api_connect_timeout="200ms")
    async with client_for(given, tls=tls) as client:
        return await client.complete("a")


async def test_a_server_without_tls_is_told_nothing(trusting: ssl.SSLContext) -> None:
    async with RawServer(DONE) as server:
        reply = await ask(server.url.replace("http:", "https:"), trusting)
        assert isinstance(reply, NoAnswer)
        assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
        assert server.requests == []


async def test_a_handshake_that_breaks_off_was_certainly_not_sent(trusting: ssl.SSLContext) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        reply = await ask(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", trusting)
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


async def test_a_handshake_without_an_end_was_certainly_not_sent(trusting: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reply = await ask(f"https://127.0.0.1:{silent.getsockname()[1]}", trusting)
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


async def test_a_name_that_nobody_knows_was_certainly_not_sent(trusting: ssl.SSLContext) -> None:
    reply = await ask("https://nothing.invalid/v1", trusting)
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "http://10.0.0.1/v1", "ftp://a/v1"])
def test_the_key_goes_nowhere_without_tls_but_to_this_machine(url: str) -> None:
    with pytest.raises(UsageError, match="--base-url"):
        settings(api_base_url=url)
