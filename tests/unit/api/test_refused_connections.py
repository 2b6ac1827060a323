"""What is said of a connection that could not be opened."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from tests.support.run_harness import client_for, settings
from worker.api.failures import describe
from worker.api.verdict import NoAnswer

HERE = ConnectionKey("api.test", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "Connection refused"),
        (OSError(101, "Multiple exceptions: a, b"), "Network is unreachable"),
        (OSError("Multiple exceptions: a, b"), "Multiple exceptions: a, b"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
    ],
)
def test_a_server_that_is_not_reached_is_named_with_the_systems_reason(
    error: OSError, told: str
) -> None:
    said = describe(aiohttp.ClientConnectorError(HERE, error))
    assert said == f"no connection to api.test:443: {told}"


async def test_a_port_on_which_nobody_listens_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with client_for(settings(api_base_url=f"http://127.0.0.1:{port}")) as client:
            reply = await client.complete("a")
    assert isinstance(reply, NoAnswer)
    assert reply.error.message == f"no connection to 127.0.0.1:{port}: Connection refused"
