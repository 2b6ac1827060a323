"""What happens to a request between a connection that is open and its turn to leave."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest
import trustme

from tests.support.loopback import LoopbackServer
from tests.support.raw_server import PROCESSING, RawServer, always, response
from tests.support.run_harness import client_for, settings
from tests.support.virtual_time import in_virtual_time
from worker.api.client import Client
from worker.api.verdict import Answer, NoAnswer

OK = response(PROCESSING)
DONE = Answer(200, PROCESSING)


def client(url: str) -> Client:
    return client_for(settings(api_base_url=url, api_timeout="5s", api_connect_timeout="2s"))


class Turns:
    """Lets a request wait so many seconds on each connection in turn, and leave on the last.

    `close` is called while it waits on any but the last.
    """

    def __init__(self, waits_s: list[float], close: Callable[[], None]) -> None:
        self.asked: list[bool] = []
        self.asked_at_once = 0
        self._waits_s = waits_s
        self._close = close

    def leaves_at_once(self) -> bool:
        self.asked_at_once += 1
        return False

    async def __call__(self, is_open: Callable[[], bool]) -> bool:
        wait_s = self._waits_s[len(self.asked)]
        self.asked.append(self.asked_at_once == 1)
        self.asked_at_once = 0
        if len(self.asked) < len(self._waits_s):
            self._close()
        await asyncio.sleep(wait_s)
        assert is_open() == (len(self.asked) == len(self._waits_s))
        return True


@in_virtual_time
async def test_a_connection_that_closes_while_a_request_waits_is_replaced_and_costs_no_time() -> (
    None
):
    async with RawServer(always(OK)) as server, client(server.url) as it:
        assert await it.complete("first") == DONE
        turns = Turns([7.0, 7.0, 7.0], server.hang_up)
        assert await it.complete("second", turns) == DONE
    assert turns.asked == [True, False, False]
    assert [(each.path, each.connection) for each in server.requests] == [
        ("/v1/workflowSessions/first/complete", 1),
        ("/v1/workflowSessions/second/complete", 3),
    ]
    assert server.requests[1].body == b"{}"


async def test_what_is_not_to_be_sent_leaves_its_connection_to_the_next() -> None:
    class Never:
        def leaves_at_once(self) -> bool:
            return False

        async def __call__(self, is_open: Callable[[], bool]) -> bool:
            return False

    async with RawServer(always(OK)) as server, client(server.url) as it:
        reply = await it.complete("first", Never())
        assert isinstance(reply, NoAnswer)
        assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
        assert await it.complete("second") == DONE
    assert [each.path for each in server.requests] == ["/v1/workflowSessions/second/complete"]
    assert server.accepted == 1


async def test_a_request_that_is_cut_off_before_its_turn_was_not_sent_and_leaves_nothing() -> None:
    class Patient:
        def __init__(self) -> None:
            self.is_asked = asyncio.Event()

        def leaves_at_once(self) -> bool:
            return False

        async def __call__(self, is_open: Callable[[], bool]) -> bool:
            self.is_asked.set()
            return await asyncio.Event().wait()

    async with RawServer(always(OK)) as server, client(server.url) as it:
        turn = Patient()
        waiting = asyncio.create_task(it.complete("first", turn))
        await turn.is_asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await it.complete("second") == DONE
    assert [(each.path, each.connection) for each in server.requests] == [
        ("/v1/workflowSessions/second/complete", 2)
    ]


class Banner(LoopbackServer):
    """Speaks first, as mail servers do and as some that are full do."""

    accepted = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        await reader.read()


async def test_a_server_that_speaks_first_was_certainly_not_sent_to(
    trusting: ssl.SSLContext, authority: trustme.CA
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # So what it says comes with the end of the handshake.
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with Banner(tls) as server:
        url = f"https://127.0.0.1:{server.port}/v1"
        async with client_for(settings(api_base_url=url), tls=trusting) as it:
            async with asyncio.timeout(5.0):
                reply = await it.complete("a")
    assert isinstance(reply, NoAnswer)
    assert (reply.error.type, reply.may_have_arrived) == ("connect_failed", False)
    assert server.accepted == 1
