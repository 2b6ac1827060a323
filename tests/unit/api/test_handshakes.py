"""Handshakes of TLS that come to nothing: nobody was sent the key, and what is wrong is said."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trustme

from tests.support.raw_server import PROCESSING, RawServer, always, response
from tests.support.run_harness import client_for, settings
from worker.api.verdict import NoAnswer, Reply

DONE = always(response(PROCESSING))


def serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def ask(url: str, tls: ssl.SSLContext, connect_timeout: str = "10s") -> Reply:
    given = settings(api_base_url=url, api_connect_timeout=connect_timeout, api_timeout="20s")
    async with client_for(given, tls=tls) as client:
        return await client.complete("a")


async def test_a_server_without_tls_is_told_nothing(trusting: ssl.SSLContext) -> None:
    async with RawServer(DONE) as server:
        reply = await ask(server.url.replace("http:", "https:"), trusting, "200ms")
        assert isinstance(reply, NoAnswer)
        assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
        assert server.requests == []


async def test_a_handshake_without_an_end_was_certainly_not_sent(trusting: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reply = await ask(f"https://127.0.0.1:{silent.getsockname()[1]}", trusting, "200ms")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


async def test_a_name_that_nobody_knows_was_certainly_not_sent(trusting: ssl.SSLContext) -> None:
    reply = await ask("https://nothing.invalid/v1", trusting)
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)


# --- what a server that is not as it should be is said to be -------------------------------------


async def failure(url: str, tls: ssl.SSLContext) -> str:
    reply = await ask(url, tls)
    assert isinstance(reply, NoAnswer)
    return reply.error.message


async def test_plain_http_on_the_port_is_said(trusting: ssl.SSLContext) -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak_http, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = await failure(url, trusting)
    assert told.startswith("the server does not speak TLS on this port (plain HTTP?): ")


@contextmanager
def handshaking(context: ssl.SSLContext) -> Iterator[str]:
    """A server that answers one handshake to its end, alerts included, as asyncio's does not."""

    def serve() -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as it:
            with suppress(ssl.SSLError):
                it.do_handshake()
            # What is closed while something is unread resets the connection, and its alert is lost.
            with suppress(OSError):
                it.shutdown(socket.SHUT_WR)
                while it.recv(4096):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


async def test_a_server_with_old_tls_alone_is_said(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    old = serving(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    with handshaking(old) as url:
        told = await failure(url, trusting)
    assert told.startswith("the server and this machine have no version of TLS in common")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_wants_a_client_certificate_is_said(
    authority: trustme.CA, trusting: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    strict = serving(authority)
    strict.verify_mode = ssl.CERT_REQUIRED
    strict.minimum_version = strict.maximum_version = version
    authority.configure_trust(strict)
    with handshaking(strict) as url:
        told = await failure(url, trusting)
    assert told.startswith(
        ("the server refuses the TLS handshake", "the server asks for a client certificate")
    )


async def test_a_server_that_hangs_up_in_the_handshake_is_said(trusting: ssl.SSLContext) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reply = await ask(f"https://127.0.0.1:{port}", trusting)
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
    said = f"the connection to 127.0.0.1:{port} was closed before it was ready"
    assert reply.error.message == said


async def test_a_certificate_that_nobody_vouches_for_is_said_and_whom_to_name(
    authority: trustme.CA,
) -> None:
    strangers = ssl.create_default_context()
    async with RawServer(DONE, serving(authority)) as server:
        reply = await ask(server.url, strangers)
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("certificate_invalid", False)
    assert "certificate verify failed" in reply.error.message
    assert reply.error.message.endswith("(a company's own authority is named by SSL_CERT_FILE)")
    assert server.requests == []
